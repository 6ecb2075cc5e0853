// Runs a policy in real time on the simulated robot: the loop, the robot and what runs beside, started and stopped together.
import { type LoopReport, reportOf } from '../contract/loop.js';
import { type PolicyFile, readPolicyFile } from '../contract/policyFile.js';
import { robotNameOf } from '../contract/telemetry.js';
import { type LoopHandle, type LoopOptions, startLoop } from '../controller/controller.js';
import type { SensorState } from '../controller/ros/managementMessages.js';
import { say } from './command.js';
import { Companions } from './companions.js';

/** The loop's rate when none is asked for: the multiple of the policy's own that is nearest to this. */
const USUAL_RATE = 500;

/** What a person may ask of whatever runs. */
export type Operator = Pick<LoopHandle, 'activate' | 'deactivate' | 'emergencyStop' | 'rearm'>;

export interface ControlOptions
  extends Pick<LoopOptions, 'interpolation' | 'blendTime' | 'core' | 'stateDirectory'> {
  /** Path of the policy file. */
  policy: string;
  /** Name, or path of the file, of the task that the policy must be for; what its manifest says when left out. */
  task?: string;
  /** Of the loop, Hz. */
  rateHz?: number;
  /** Seconds from the activation; until `signal` when left out. */
  duration?: number;
  /** What the robot is called in recordings and telemetry; `robotNameOf` this computer when left out. */
  name?: string;
  /** Directory to record to. */
  record?: string;
  /** `embedded` or a broker's URL: telemetry goes there. */
  mqtt?: string;
  /** Of the simulated robot's start states. */
  seed?: number;
  /** Ends the run early, safely. */
  signal?: AbortSignal;
  /** Called when everything runs. */
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
  const { signal, duration = Infinity, seed = 1, name = robotNameOf() } = options;
  const taskName =
    options.task && (await (await import('../trainer/sim/task.js')).loadTask(options.task)).name;
  const policy = readPolicyFile(options.policy, taskName);
  const { manifest } = policy;
  const rateHz = options.rateHz ?? usualRate(policy);
  const { interpolation, blendTime, core, stateDirectory } = options;
  const loop = await startLoop({
    policy,
    name: options.policy,
    rateHz,
    interpolation,
    blendTime,
    core,
    stateDirectory,
    robot: name,
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
    await companions.start(loop, { policy, name, record: options.record, mqtt: options.mqtt });
    const { startSimulatedRobot } = await import('./robot/thread.js');
    companions.add(
      await startSimulatedRobot({ task: options.task ?? manifest.task, seed, buffers: loop.robot }),
    );
    for (const note of loop.notes) say(`note: ${note}`);
    options.started?.(loop, rateHz);
    await watchOver(loop, duration, signal, options.watch);
  });
  // The loop first: its last command tells the robot to damp. Then the robot, telemetry, and the recorder at last.
  const report = await attempt(() => loop.stop());
  await attempt(() => companions.stop());
  if (failure !== undefined || !report) throw failure;
  const { recording } = companions;
  return { ...report, policyRateHz: manifest.controlRate, ...(recording !== undefined && { recording }) };
}

/** Activates the policy and waits for the end of `duration` (s), for `signal`, or for the loop to fail. */
async function watchOver(
  loop: LoopHandle,
  duration: number,
  signal?: AbortSignal,
  watch?: ControlOptions['watch'],
): Promise<void> {
  loop.activate();
  const start = performance.now();
  for (;;) {
    const seconds = (performance.now() - start) / 1000;
    if (seconds > 0.5) watch?.(reportOf(loop.view), seconds);
    if (seconds >= duration || signal?.aborted) return;
    await Promise.race([pause(Math.min(1, duration - seconds), signal), loop.ended]);
  }
}

/** Resolves after `seconds`, or at once when `signal` comes. */
export function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal?.addEventListener('abort', end);
    if (signal?.aborted) end();
  });
}
