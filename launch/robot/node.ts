// The simulated robot as its own ROS 2 node: starts the thread that it lives on, and ends it whole.
import { Worker } from 'node:worker_threads';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import type { PaceResult } from './pace.js';
import type { RobotTopics } from './topics.js';

export interface RobotNodeOptions {
  /** A task's name, or the path of a task's file. */
  task: string;
  /** Messages of the sensors per second. */
  rate: number;
  /** Of the start states and of the faults' chances. */
  seed: number;
  /** Faults from the beginning, `key=value`. */
  faults: readonly string[];
  /** Path of the map that the controller has for this robot; the default one when left out. */
  robotMap?: string;
  /** `--ros-args …` */
  rosArguments: readonly string[];
}

/** What the robot did until it ended. */
export interface RobotNodeResult extends PaceResult {
  task: string;
  scheduling: 'fifo' | 'other';
  /** Measurements, whatever the number of topics that carry one. */
  published: number;
  /** Commands that arrived, and those of them that were not in order; `refusals` counts each reason. */
  received: number;
  refused: number;
  refusals: Record<string, number>;
  resets: number;
}

/** What the thread is given. */
export interface RobotNodeData extends RobotNodeOptions {
  /** One Int32: 1 asks the thread to end. */
  stop: SharedArrayBuffer;
}
/** What the thread says. */
export type RobotNodeAnswer =
  | { kind: 'ready'; task: string; joints: readonly string[]; topics: RobotTopics['names'] }
  | { kind: 'said'; line: string }
  | { kind: 'ended'; result: RobotNodeResult }
  | { kind: 'failed'; message: string; usage: boolean };

export interface RobotNodeHandlers {
  /** Called once, when the robot lives. */
  ready(answer: Extract<RobotNodeAnswer, { kind: 'ready' }>): void;
  /** Called with what an operator should know. */
  say(line: string): void;
}

/**
 * Runs the robot until `signal` comes. Throws a `FarsightError` when the task or ROS 2 cannot be loaded, and a
 * `UsageError` for a fault that does not exist.
 */
export async function runRobotNode(
  options: RobotNodeOptions,
  signal: AbortSignal,
  handlers: RobotNodeHandlers,
): Promise<RobotNodeResult> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const workerData: RobotNodeData = { ...options, stop: stop.buffer as SharedArrayBuffer };
  const worker = new Worker(new URL('./nodeWorker.js', import.meta.url), { workerData });
  const end = () => Atomics.store(stop, 0, 1);
  if (signal.aborted) end();
  signal.addEventListener('abort', end);
  try {
    return await new Promise((resolve, reject) => {
      worker.on('message', (answer: RobotNodeAnswer) => {
        if (answer.kind === 'ready') handlers.ready(answer);
        else if (answer.kind === 'said') handlers.say(answer.line);
        else if (answer.kind === 'ended') resolve(answer.result);
        else reject(new (answer.usage ? UsageError : FarsightError)(answer.message));
      });
      worker.once('error', (error) => reject(new FarsightError(`simulated robot: ${messageOf(error)}`)));
      worker.once('exit', (code) => reject(new FarsightError(`simulated robot: ended with ${code}`)));
    });
  } finally {
    signal.removeEventListener('abort', end);
  }
}
