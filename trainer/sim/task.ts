// A task made ready: found by its name or path, read, checked against its robot.
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { checkSafety } from '../../contract/safetyCheck.js';
import { firstFinding } from '../../contract/schemaErrors.js';
import { checkStopTime } from '../../contract/stopTime.js';
import { jointsOf, type TaskInterface, termName } from '../../contract/terms.js';
import { type TaskDefinition, type TaskSource, taskSchema } from './defineTask.js';
import { type Mjcf, readMjcf } from './mjcf.js';
import { Physics } from './physics.js';

/** A task that is known to fit its robot. */
export interface Task extends TaskDefinition {
  /** The name or path that `loadTask` found it by. */
  source: string;
  /** Of one's own: another when its file, its MJCF or what that names is another. What the file imports does not count. */
  digest?: string;
  /** Of the physics, seconds. */
  timestep: number;
  /** Of the policy, Hz. */
  controlRate: number;
  /** Range of each joint of the terms that the MJCF limits, rad or m. */
  jointRanges: ReadonlyMap<string, readonly [number, number]>;
}

const builtIn: Record<string, () => Promise<{ default: TaskSource }>> = {
  'inverted-pendulum': () => import('./tasks/inverted-pendulum.js'),
  hopper: () => import('./tasks/hopper.js'),
  walker2d: () => import('./tasks/walker2d.js'),
  'half-cheetah': () => import('./tasks/half-cheetah.js'),
  ant: () => import('./tasks/ant.js'),
  humanoid: () => import('./tasks/humanoid.js'),
};

/** The names that `loadTask` takes beside paths. */
export const taskNames: readonly string[] = Object.keys(builtIn);

/** Whether `loadTask` takes it for the path of a file. */
export const isTaskPath = (nameOrPath: string): boolean => /[/\\]|\.[cm]?[jt]s$/.test(nameOrPath);

/**
 * Loads a task by its built-in name, or by the path of an ES module whose default export is the task. Throws a
 * `FarsightError` that names the task and the field at fault.
 */
export async function loadTask(nameOrPath: string): Promise<Task> {
  const isPath = isTaskPath(nameOrPath) || (!Object.hasOwn(builtIn, nameOrPath) && existsSync(nameOrPath));
  if (!isPath && !Object.hasOwn(builtIn, nameOrPath)) {
    throw new UsageError(
      `unknown task '${nameOrPath}': choose one of ${taskNames.join(', ')}, or give the path of a task's file`,
    );
  }
  const load = isPath ? () => importFile(nameOrPath) : builtIn[nameOrPath];
  const parsed = taskSchema.safeParse((await load()).default);
  if (!parsed.success) {
    const { path, message } = firstFinding(parsed.error);
    const field = path.length > 0 ? `field '${path.join('.')}'` : 'its default export';
    throw new FarsightError(`task '${nameOrPath}': ${field}: ${message}`);
  }
  const mjcf = await readMjcf(parsed.data.mjcf, dirname(resolve(nameOrPath)), nameOrPath);
  const { name } = parsed.data;
  const definition = {
    ...parsed.data,
    mjcf,
    reward: placed(name, 'reward', parsed.data.reward),
    terminated: placed(name, 'terminated', parsed.data.terminated),
  };
  const physics = await Physics.create(definition);
  try {
    tryFunctions(definition, physics);
    const { timestep } = physics;
    // Whole nanohertz: 1 / (0.002 * 4) is 125, not 124.99999999999999.
    const controlRate = Math.round(1e9 / (timestep * definition.frameSkip)) / 1e9;
    const source = isPath ? resolve(nameOrPath) : nameOrPath;
    const digest = isPath ? await digestOf(source, mjcf) : undefined;
    try {
      checkSafety(definition);
      checkStopTime(definition, controlRate);
      checkStart(definition, physics);
    } catch (error) {
      throw new FarsightError(`task '${nameOrPath}': ${messageOf(error)}`);
    }
    return { ...definition, source, digest, timestep, controlRate, jointRanges: physics.jointRanges() };
  } finally {
    physics.dispose();
  }
}

async function digestOf(path: string, { xml, assets }: Mjcf): Promise<string> {
  const hash = createHash('sha256');
  for (const part of [await readFile(path), xml, ...[...assets].flat()])
    hash.update(`${part.length}:`).update(part);
  return hash.digest('hex').slice(0, 32);
}

/** Throws when the robot would fault where every episode starts. */
function checkStart({ observation, action, safety }: TaskDefinition, physics: Physics): void {
  const joints = jointsOf({ observation, action });
  const [position, velocity] = [new Float64Array(joints.length), new Float64Array(joints.length)];
  physics.measure(position, velocity);
  const outside = (value: number, [low, high]: readonly [number, number]) => value < low || value > high;
  for (const { joint, position: range } of safety.joints) {
    const value = position[joints.indexOf(joint)];
    if (range && outside(value, range))
      throw new FarsightError(
        `joint '${joint}' starts at ${value}, outside its safety limits [${range.join(', ')}]`,
      );
  }
  for (const { term, range } of safety.bounds ?? []) {
    const { kind, joint } = observation.find((each) => termName(each) === term)!;
    const value = (kind === 'jointPosition' ? position : velocity)[joints.indexOf(joint)];
    if (outside(value, range))
      throw new FarsightError(
        `'${term}' starts at ${value}, outside its safety bounds [${range.join(', ')}]`,
      );
  }
}

/** What the policy file and the robot need to know of a task. */
export function taskInterface(task: Task): TaskInterface {
  const { name, controlRate, observation, action, safety } = task;
  return { task: name, controlRate, observation, action, safety };
}

async function importFile(path: string): Promise<{ default: TaskSource }> {
  if (!existsSync(path)) throw new FarsightError(`task '${path}': no such file`);
  if (statSync(path).isDirectory()) {
    const inside = join(path, 'task.mjs');
    throw new UsageError(
      `task '${path}' is a directory: give the task's file${existsSync(inside) ? `, '${isAbsolute(path) ? inside : `./${inside}`}'` : ' in it'}`,
    );
  }
  if (!/\.[cm]?[jt]s$/.test(path))
    throw new UsageError(
      `task '${path}' is no JavaScript: give the file that exports the task, where the robot's MJCF is the field mjcf; farsight new writes both`,
    );
  const url = pathToFileURL(resolve(path));
  // Node keeps what it has imported; a process that lives on is to have the file as it is now.
  url.search = String(statSync(path).mtimeMs);
  try {
    return await import(url.href);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ERR_UNKNOWN_FILE_EXTENSION'
        ? `Node ${process.version} does not run TypeScript; compile it to JavaScript first`
        : messageOf(error);
    throw new FarsightError(`task '${path}' cannot be loaded: ${why}`);
  }
}

/** Calls a task's functions once at the start state, so that a slip in them shows here and not hours later. */
function tryFunctions(task: TaskDefinition, physics: Physics): void {
  const start = physics.snapshot();
  physics.capture(start);
  const observation = new Float32Array(task.observation.length);
  physics.observe(observation);
  const action = new Float32Array(task.action.length);
  const dt = physics.timestep * task.frameSkip;
  const refuse = (name: string, wanted: string, value: unknown) => {
    throw new FarsightError(
      `task '${task.name}': ${name} must return ${wanted}, it returns ${String(value)} at the start state`,
    );
  };
  const reward = task.reward({ previous: start, next: start, action, dt });
  if (!Number.isFinite(reward)) refuse('reward', 'a finite number', reward);
  const terminated = task.terminated(observation);
  if (typeof terminated !== 'boolean') refuse('terminated', 'true or false', terminated);
}

/** A task's function whose throw says whose it is and where. */
function placed<Argument, Value>(
  task: string,
  name: string,
  work: (argument: Argument) => Value,
): (argument: Argument) => Value {
  return (argument) => {
    try {
      return work(argument);
    } catch (error) {
      throw new FarsightError(`task '${task}': ${name} throws${placeOf(error)}: ${messageOf(error)}`);
    }
  };
}

/** The file and line where an error began, but for what a task asks of a Snapshot. */
function placeOf(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  for (const [, place, line] of stack.matchAll(
    /(?:\(|at )((?:file:\/\/|\/|[A-Z]:\\)[^()]*):(\d+):\d+\)?$/gm,
  )) {
    const path = place.startsWith('file:') ? fileURLToPath(place) : place;
    if (!/[\\/]sim[\\/]snapshot\.[jt]s$/.test(path)) return ` at ${path}:${line}`;
  }
  return '';
}
