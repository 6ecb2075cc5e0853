// Loads rclnodejs when it can be loaded without harm, and the types of the part of it that is used here.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { FarsightError, messageOf } from '../../../contract/errors.js';
import { installCommand } from '../../../contract/packages.js';

/** A ROS message as rclnodejs takes and gives it: fields by name; 64-bit integers are bigint. */
export type RosMessage = Record<string, unknown>;

export interface RosPublisher {
  publish(message: RosMessage): void;
}
export interface RosResponse {
  readonly template: RosMessage;
  send(message: RosMessage): void;
}
export interface RosParameter {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}
export interface RosNode {
  name(): string;
  getFullyQualifiedName(): string;
  getLogger(): Record<'debug' | 'info' | 'warn' | 'error', (text: string) => void> & {
    setLoggerLevel(level: number): void;
  };
  now(): { readonly secondsAndNanoseconds: { seconds: bigint | number; nanoseconds: bigint | number } };
  /** Private: what ROS arguments say in the sections named `/**` and as `name()` says. */
  _getNativeParameterOverrides(): ReadonlyMap<string, RosParameter>;
  getParameterNames(): string[];
  getParameter(name: string): RosParameter;
  setParameters(parameters: RosParameter[]): { successful: boolean; reason: string }[];
  createPublisher(type: string, topic: string, options?: object): RosPublisher;
  createService(
    type: string,
    name: string,
    options: object,
    callback: (request: RosMessage, response: RosResponse) => void,
  ): unknown;
  /** Called by the native executor with what is ready; what it throws ends the process. */
  execute(handles: unknown[]): void;
  spin(timeoutMs?: number): void;
}
export interface Rclnodejs {
  init(context: undefined, argv: string[]): Promise<void>;
  removeSignalHandlers(): void;
  shutdown(): void;
  Node: new (name: string, namespace: string, context: undefined, options: object) => RosNode;
  Parameter: new (name: string, type: number, value: unknown) => RosParameter;
  QoS: new (history: number, depth: number, reliability: number, durability: number) => object;
  QoSOverridingOptions: { withDefaultPolicies(): object };
}

const REMEDY = `source ROS 2's setup.bash, then ${installCommand('rclnodejs')}, and start farsight from that shell`;

/**
 * What keeps rclnodejs from being loaded, and how to mend it; undefined when nothing does. Nothing is loaded to find
 * out: importing an installation that was built from source, without ROS 2 sourced, deletes what was built.
 * `messages` are the message packages that are wanted.
 */
export function rclnodejsProblem(messages: readonly string[]): string | undefined {
  const { AMENT_PREFIX_PATH, ROS_DISTRO, LD_LIBRARY_PATH } = process.env;
  if (!AMENT_PREFIX_PATH || !ROS_DISTRO) return `ROS 2 is not sourced: ${REMEDY}`;
  if (!(LD_LIBRARY_PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'librcl.so')))) {
    return `no directory of LD_LIBRARY_PATH holds librcl.so: ${REMEDY}`;
  }
  const directory = packageDirectory();
  if (!directory) return `rclnodejs is not installed: ${REMEDY}`;
  if (
    !existsSync(join(directory, 'build', 'Release', 'rclnodejs.node')) &&
    !hasPrebuilt(directory, ROS_DISTRO)
  )
    return `the addon of rclnodejs is not built: with ROS 2 sourced, npm rebuild rclnodejs (it wants a C++ compiler and python3)`;
  const missing = messages.filter((name) => !existsSync(join(directory, 'generated', name)));
  if (missing.length > 0) {
    return `rclnodejs has no JavaScript for the messages of ${missing.join(', ')}: install ros-${ROS_DISTRO}-${missing[0].replaceAll('_', '-')}, then npx generate-ros-messages`;
  }
  return undefined;
}

/** Throws a `FarsightError` that says what is missing. One thread of one process only. */
export async function loadRclnodejs(messages: readonly string[]): Promise<Rclnodejs> {
  const problem = rclnodejsProblem(messages);
  if (problem) throw new FarsightError(problem);
  // Not a literal: an optional dependency, absent where this is compiled.
  const name: string = 'rclnodejs';
  try {
    return (await import(name)).default;
  } catch (error) {
    throw new FarsightError(`rclnodejs does not load: ${messageOf(error)}; ${REMEDY}`);
  }
}

function packageDirectory(): string | undefined {
  return (createRequire(import.meta.url).resolve.paths('rclnodejs') ?? [])
    .map((folder) => join(folder, 'rclnodejs'))
    .find((folder) => existsSync(join(folder, 'package.json')));
}

/** The package holds addons for some releases of Ubuntu; their names say which. */
function hasPrebuilt(directory: string, distribution: string): boolean {
  const folder = join(directory, 'prebuilds', `${process.platform}-${process.arch}`);
  if (!existsSync(folder) || !existsSync('/etc/os-release')) return false;
  const [, codename] = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? [];
  return readdirSync(folder).some((file) =>
    file.startsWith(`${distribution}-${codename}-${process.arch}-node-`),
  );
}
