// A policy served on ROS 2, from the look at its file and its robot to the loop's end: what `configure` begins.
import { FarsightError } from '../contract/errors.js';
import { actingPolicy } from '../contract/loop.js';
import { type PolicyFile, readPolicyFile } from '../contract/policyFile.js';
import { type LoopHandle, startLoop } from '../controller/controller.js';
import type { Guard } from '../controller/guard.js';
import { checkMap } from '../controller/ros/link/checkMap.js';
import {
  commandStates,
  conflictStates,
  contestedSensors,
  linkCounters,
  sensorStates,
} from '../controller/ros/link/linkState.js';
import { loopNode } from '../controller/ros/link/loopNode.js';
import { defaultRobotMap, type RobotMap, readRobotMap } from '../controller/ros/link/robotMap.js';
import { survey } from '../controller/ros/link/survey.js';
import { LoopWatch } from '../controller/ros/management/loopState.js';
import type { ManagementState } from '../controller/ros/management/messages.js';
import { NODE_NAME } from '../controller/ros/management/node.js';
import type { ManagementParameters } from '../controller/ros/management/parameters.js';
import type { RosNodeOptions } from '../controller/ros/rcl/rcl.js';
import { say } from './command.js';
import { type CompanionOptions, Companions } from './companions.js';
import { type ControlOptions, type ControlResult, usualRate } from './control.js';

/** Seconds of one look at the robot's topics. */
const SURVEY = 2;
/** Milliseconds between two signs of life of this thread to the loop. */
const BEAT_MS = 50;

/** Reads the file at `path` as the parameters want it. Throws a `FarsightError` when it does not do. */
export function readServedPolicy(path: string, parameters: ManagementParameters): PolicyFile {
  if (path === '')
    throw new FarsightError('no policy: give --policy, or set the parameter policy to its path');
  const { task, sensor_timeout: sensorTimeout } = parameters;
  return asServed(readPolicyFile(path, task || undefined), sensorTimeout);
}

function asServed(policy: PolicyFile, sensorTimeout: number): PolicyFile {
  if (sensorTimeout === 0) return policy;
  const { manifest } = policy;
  return { ...policy, manifest: { ...manifest, safety: { ...manifest.safety, sensorTimeout } } };
}

export interface ServedPolicyOptions extends Omit<CompanionOptions, 'policy'> {
  path: string;
  parameters: ManagementParameters;
  rosArguments: readonly string[];
  guard: Guard;
  /** Told, now and then, what the robot still lacks. */
  waiting: (reasons: string) => void;
  /** Ends the wait for the robot. */
  signal: AbortSignal;
}

/** The robot does not fit the policy, or not yet. */
export class RobotError extends FarsightError {}

interface Parts {
  path: string;
  policy: PolicyFile;
  map: RobotMap;
  /** As `linkCounters` makes them. */
  counters: Float64Array;
  loop: LoopHandle;
  /** What is to run beside the loop. */
  companions: CompanionOptions;
}

export class ServedPolicy {
  readonly loop: LoopHandle;
  readonly #path: string;
  readonly #policy: PolicyFile;
  readonly #map: RobotMap;
  readonly #counters: Float64Array;
  readonly #watch: LoopWatch;
  readonly #companions = new Companions();
  readonly #companionOptions: CompanionOptions;
  readonly #beat: NodeJS.Timeout;

  private constructor({ path, policy, map, counters, loop, companions }: Parts) {
    this.#companionOptions = companions;
    this.#path = path;
    this.#policy = policy;
    this.#map = map;
    this.#counters = counters;
    this.loop = loop;
    this.#watch = new LoopWatch(loop.view);
    this.#beat = setInterval(() => loop.beat(), BEAT_MS);
  }

  /**
   * Loads, verifies and warms a policy beside whatever is served, and starts its loop on standby: nothing leaves before
   * `begin`. Waits for the robot's topics for as long as the parameters say. Throws a `FarsightError` that lists what is
   * wrong, a `RobotError` when it is the robot.
   */
  static async prepare(options: ServedPolicyOptions): Promise<ServedPolicy> {
    const { path, parameters, rosArguments, guard } = options;
    const policy = readServedPolicy(path, parameters);
    const { manifest } = policy;
    const map = parameters.robot_map ? readRobotMap(parameters.robot_map) : defaultRobotMap(manifest);
    const rateHz = parameters.rate || usualRate(policy);
    const node = loopNode(NODE_NAME, rosArguments, parameters);
    const wrong = checkMap(manifest, map);
    if (wrong.length > 0) throw new FarsightError(misfit(wrong));
    await robotIsThere(options, map, manifest, { ...node, name: `${node.name}_survey` }, rateHz);

    const counters = linkCounters(map);
    const loop = await startLoop({
      policy,
      name: path,
      rateHz,
      interpolation: parameters.interpolation as ControlOptions['interpolation'],
      alignTo: parameters.align_to === 'sensors' ? 'sensors' : undefined,
      blendTime: parameters.blend_time < 0 ? undefined : parameters.blend_time,
      core: parameters.core < 0 ? undefined : parameters.core,
      heartbeatTimeout: 1000 * parameters.heartbeat_timeout,
      guard,
      whenInactive: map.whenInactive,
      otherPublishers: map.otherPublishers,
      contested: () => contestedSensors(map, counters, Number(process.hrtime.bigint()) / 1e9),
      standby: true,
      ros: { node, map, counters },
    });
    const adapt = (other: PolicyFile) => asServed(other, parameters.sensor_timeout);
    return new ServedPolicy({ path, policy, map, counters, loop, companions: { ...options, policy, adapt } });
  }

  /** Takes the robot over, at a tick, from `before`, which then ends. Resolves with what that came to. */
  async begin(before?: ServedPolicy): Promise<ControlResult | undefined> {
    before?.loop.yield();
    await this.loop.begin();
    const result = await before?.stop();
    await this.#companions.start(this.loop, this.#companionOptions);
    for (const note of this.loop.notes) say(`note: ${note}`);
    return result;
  }

  /** The state but for the stage and the stop, which are the controller's. */
  state(): Omit<ManagementState, 'stage' | 'stop'> {
    const sha256 = actingPolicy(this.loop.view);
    const { task } = this.#policy.manifest;
    const path = sha256 === this.#policy.sha256 ? this.#path : '';
    const now = Number(process.hrtime.bigint()) / 1e9;
    return {
      policy: { path, sha256, task },
      loop: this.#watch.state(),
      sensors: sensorStates(this.#map, this.#counters, now),
      commands: commandStates(this.#map, this.#counters, now),
      conflicts: conflictStates(this.#map, this.#counters),
    };
  }

  /** Ends the loop, whose last command is the safe one, and what runs beside it. */
  async stop(): Promise<ControlResult> {
    try {
      const report = await this.loop.stop();
      await this.#companions.stop();
      const { recording } = this.#companions;
      const { controlRate } = this.#policy.manifest;
      return { ...report, policyRateHz: controlRate, ...(recording !== undefined && { recording }) };
    } finally {
      clearInterval(this.#beat);
      // Nothing runs any more but after a failed loop.
      await this.#companions.stop();
    }
  }
}

const misfit = (wrong: readonly string[]) => `the robot does not fit the policy: ${wrong.join('; ')}`;

/** Looks until the robot's topics are as the map says; a driver may be slow to start. */
async function robotIsThere(
  { parameters, waiting, signal }: ServedPolicyOptions,
  map: RobotMap,
  task: PolicyFile['manifest'],
  node: RosNodeOptions,
  rateHz: number,
): Promise<void> {
  for (const end = performance.now() + 1000 * parameters.robot_timeout; ; ) {
    const left = (end - performance.now()) / 1000;
    const wrong = checkMap(task, map, await survey(map, node, Math.min(SURVEY, Math.max(0.1, left)), rateHz));
    if (wrong.length === 0) return;
    if (signal.aborted || performance.now() >= end) throw new RobotError(misfit(wrong));
    waiting(wrong.join('; '));
  }
}
