// Runs a policy on a robot in real time: the loop, the robot's side, the recorder and telemetry, started and stopped together.
import { type LoopReport, reportOf } from '../contract/loop.js';
import { readPolicyFile } from '../contract/policyFile.js';
import { robotNameOf } from '../contract/telemetry.js';
import { type LoopHandle, startLoop } from '../controller/controller.js';
import { say } from './command.js';

/** The loop's rate when none is asked for: the multiple of the policy's own that is nearest to this. */
const USUAL_RATE = 500;

export interface ControlOptions {
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
  /** Called when everything runs, with what an operator needs. */
  started?: (loop: LoopHandle) => void;
  /** Called about once a second with the seconds since the activation. */
  watch?: (report: LoopReport, seconds: number) => void;
}

export type ControlResult = LoopReport & {
  /** The rate at which the policy acts, Hz: it is inferred on every `rateHz / policyRateHz`th tick. */
  policyRateHz: number;
  /** The recording's directory. */
  recording?: string;
};

/**
 * Runs π₀ against the simulated robot. Whatever ends it, the last command tells the robot to damp, and the recording
 * is whole. Throws a `FarsightError` for a policy, task, rate, directory or broker that does not do.
 */
export async function control(options: ControlOptions): Promise<ControlResult> {
  const { signal, duration = Infinity, seed = 1, name = robotNameOf() } = options;
  const taskName =
    options.task && (await (await import('../trainer/sim/task.js')).loadTask(options.task)).name;
  const policy = readPolicyFile(options.policy, taskName);
  const { manifest, sha256 } = policy;
  const rateHz =
    options.rateHz ?? manifest.controlRate * Math.max(1, Math.round(USUAL_RATE / manifest.controlRate));

  const loop = await startLoop({ policy, name: options.policy, rateHz });
  const running: { stop(): Promise<unknown> }[] = [];
  let recording: string | undefined;
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
    if (options.record) {
      const { startRecorder } = await import('../controller/recorder.js');
      const recorder = await startRecorder({
        directory: options.record,
        policy,
        rateHz,
        trace: loop.trace,
        robot: name,
      });
      running.push({
        async stop() {
          const { path, rows, transitions, lost } = await recorder.stop();
          recording = path;
          say(
            `recorded ${rows} rows, ${transitions} transitions to ${path}${lost > 0 ? `, lost ${lost} rows` : ''}`,
          );
        },
      });
    }
    if (options.mqtt) {
      const { startTelemetry } = await import('../bridge/publisher.js');
      const telemetry = await startTelemetry({
        broker: options.mqtt,
        robot: name,
        view: loop.view,
        policy: { sha256, task: manifest.task },
      });
      say(`telemetry of '${name}': farsight monitor --mqtt ${telemetry.url}`);
      running.push(telemetry);
    }
    const { startSimulatedRobot } = await import('../trainer/sim/robot.js');
    running.push(
      await startSimulatedRobot({ task: options.task ?? manifest.task, seed, buffers: loop.robot }),
    );
    for (const note of loop.notes) say(`note: ${note}`);
    options.started?.(loop);
    await watchOver(loop, duration, signal, options.watch);
  });
  // The loop first: its last command tells the robot to damp. Then the robot, telemetry, and the recorder at last.
  const report = await attempt(() => loop.stop());
  for (const part of running.reverse()) await attempt(() => part.stop());
  if (failure !== undefined || !report) throw failure;
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
function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal?.addEventListener('abort', end);
  });
}
