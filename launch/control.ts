// Runs a policy in real time on the simulated robot: the loop, the robot and what runs beside, started and stopped together.
import type { BrokerOptions } from '../bridge/connection.js';
import { messageOf } from '../contract/errors.js';
import { isLatched, type LoopReport, reportOf, statusOf } from '../contract/loop.js';
import { type PolicyFile, readPolicyFile } from '../contract/policyFile.js';
import { robotNameOf } from '../contract/telemetry.js';
import { jointsOf } from '../contract/terms.js';
import { type LoopHandle, type LoopOptions, startLoop } from '../controller/controller.js';
import { Guard } from '../controller/guard.js';
import type { FoundFault } from '../controller/latch.js';
import type { SensorState } from '../controller/ros/management/messages.js';
import { say } from './command.js';
import { Companions } from './companions.js';
import type { DeliveryOptions, OpenDelivery } from './delivery.js';
import { pause } from './pause.js';
import { policyTask } from './policyTask.js';
import { changeFaults, HEALTHY } from './robot/faults.js';

/** The loop's rate when none is asked for: the multiple of the policy's own that is nearest to this. */
const USUAL_RATE = 500;

/** Seconds that the simulated robot may take to be heard. */
const START = 10;

/** What a person may ask of whatever runs; what it comes to is said. */
export type Operator = Record<'activate' | 'deactivate' | 'emergencyStop' | 'rearm', () => void>;

export interface ControlOptions extends Pick<LoopOptions, 'interpolation' | 'blendTime' | 'core'> {
  /** Path of the policy file. */
  policy: string;
  /** Name, or path of the file, of the task that the policy must be for; what its manifest says when left out. */
  task?: string;
  /** Of the loop, Hz. */
  rateHz?: number;
  /**
   * Directory that keeps what is latched across a restart: it is then still latched, and only rearming clears it.
   * Without one a restart forgets it.
   */
  stateDirectory?: string;
  /** Seconds from the activation; until `signal` when left out. */
  duration?: number;
  /** What the robot is called in recordings and telemetry; `robotNameOf` this computer when left out. */
  name?: string;
  /** Directory to record to. */
  record?: string;
  /** Seconds of a file of it at most. */
  segment?: number;
  /** Where telemetry goes. */
  mqtt?: BrokerOptions;
  /** Where other policies are delivered from, while the loop runs. */
  deliver?: DeliveryOptions;
  /** Of the simulated robot's start states. */
  seed?: number;
  /** What is wrong with the simulated robot, `key=value`. */
  faults?: readonly string[];
  /** Ends the run early, safely. */
  signal?: AbortSignal;
  /**
   * The terminal on standard input, which must be raw, is an operator's: space stops the robot, whatever this thread is
   * doing, and the other keys are told to this.
   */
  keys?: (pressed: string) => void;
  /** Called when an operator may ask for something; the rate is 0 while no loop runs yet. */
  started?: (operator: Operator, rateHz: number) => void;
  /** Called about once a second with the seconds since the activation, and the sensors' topics of a robot on ROS 2. */
  watch?: (report: LoopReport, seconds: number, sensors?: readonly SensorState[]) => void;
}

export type ControlResult = LoopReport & {
  /** The rate at which the policy acts, Hz: it is inferred on every `rateHz / policyRateHz`th tick. */
  policyRateHz: number;
  /** The recording's directory. */
  recording?: string;
};

/** The rate of the loop when nobody says which, Hz. */
export function usualRate({ manifest: { controlRate } }: PolicyFile): number {
  return controlRate * Math.max(1, Math.round(USUAL_RATE / controlRate));
}

/**
 * Runs π₀ against the simulated robot. Whatever ends it, the last command tells the robot to damp, and the recording
 * is whole. Throws a `FarsightError` for a policy, task, rate, directory or broker that does not do.
 */
export async function control(options: ControlOptions): Promise<ControlResult> {
  const guard = await Guard.start({
    robot: options.name ?? robotNameOf(),
    keys: options.keys,
    pressed: (by) => say(`emergency stop: ${by}`),
  });
  try {
    if (options.stateDirectory !== undefined) sayFound(await guard.keep(options.stateDirectory));
    return await guarded(options, guard);
  } finally {
    await guard.close();
  }
}

/** Says what the process before left latched. */
export function sayFound(found: FoundFault | undefined): void {
  if (!found) return;
  const since = found.time === undefined ? '' : ` since ${found.time}`;
  say(`note: latched${since}: ${found.fault}; look at the robot, then rearm`);
}

async function guarded(options: ControlOptions, guard: Guard): Promise<ControlResult> {
  const taskName =
    options.task && (await (await import('../trainer/sim/task.js')).loadTask(options.task)).name;
  const deliver = options.deliver && (await import('./delivery.js')).openDelivery(options.deliver);
  try {
    return await served(options, guard, taskName, deliver);
  } finally {
    deliver?.store.close();
  }
}

async function served(
  options: ControlOptions,
  guard: Guard,
  taskName: string | undefined,
  deliver: OpenDelivery | undefined,
): Promise<ControlResult> {
  const { signal, duration = Infinity, seed = 1, name = robotNameOf() } = options;
  const path = deliver
    ? (await import('./delivery.js')).startingPolicy(options.policy, deliver)
    : options.policy;
  const policy = readPolicyFile(path, taskName);
  const task = await policyTask(path, policy.manifest, options.task);
  const faults = changeFaults(HEALTHY, options.faults ?? [], jointsOf(policy.manifest), '--fault');
  const rateHz = options.rateHz ?? usualRate(policy);
  const { interpolation, blendTime, core } = options;
  const loop = await startLoop({
    policy,
    name: path,
    rateHz,
    interpolation,
    blendTime,
    core,
    guard,
  });
  const companions = new Companions();
  let failure: unknown;
  // Whatever fails, all that runs is stopped, and the first failure is the one that is told.
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      failure ??= error;
      return undefined;
    }
  };
  await attempt(async () => {
    await companions.start(loop, {
      policy,
      name,
      record: options.record,
      segment: options.segment,
      mqtt: options.mqtt,
      guard,
      deliver,
    });
    const { startSimulatedRobot } = await import('./robot/thread.js');
    const robot = await startSimulatedRobot({ task, seed, buffers: loop.robot });
    companions.add(robot);
    robot.setFaults(faults);
    for (const note of loop.notes) say(`note: ${note}`);
    options.started?.(operatorOf(loop), rateHz);
    await activateWhenHeard(loop, signal);
    await watchOver(loop, duration, signal, options.watch);
  });
  // The loop first: its last command tells the robot to damp. Then the robot, telemetry, and the recorder at last.
  const report = await attempt(() => loop.stop());
  await attempt(() => companions.stop());
  if (failure !== undefined || !report) throw failure;
  const { recording } = companions;
  return {
    ...report,
    policyRateHz: policy.manifest.controlRate,
    ...(recording !== undefined && { recording }),
  };
}

function operatorOf(loop: LoopHandle): Operator {
  const told = (work: () => unknown) => () =>
    void (async () => work())().catch((error: Error) => say(error.message));
  return {
    activate: told(() => loop.activate()),
    deactivate: told(() => loop.deactivate()),
    emergencyStop: told(() => loop.emergencyStop()),
    rearm: told(() => loop.rearm()),
  };
}

/** Activates the policy as soon as the robot is heard. What is latched waits for whoever rearms. */
async function activateWhenHeard(loop: LoopHandle, signal?: AbortSignal): Promise<void> {
  for (const end = performance.now() + 1000 * START; !signal?.aborted; ) {
    try {
      return await loop.activate();
    } catch (error) {
      const { mode } = statusOf(loop.view);
      const latched = isLatched(mode);
      if (!latched && performance.now() < end) continue;
      if (!latched) throw error;
      say(messageOf(error));
      return;
    }
  }
}

/** Waits for the end of `duration` (s), for `signal`, or for the loop to fail. */
async function watchOver(
  loop: LoopHandle,
  duration: number,
  signal?: AbortSignal,
  watch?: ControlOptions['watch'],
): Promise<void> {
  const start = performance.now();
  for (;;) {
    const seconds = (performance.now() - start) / 1000;
    if (seconds > 0.5) watch?.(reportOf(loop.view), seconds);
    if (seconds >= duration || signal?.aborted) return;
    await Promise.race([pause(Math.min(1, duration - seconds), signal), loop.ended]);
  }
}
