// The simulated robot: MuJoCo at real time in a thread of its own, behind the same wire as a real robot.
import { Worker } from 'node:worker_threads';
import { FarsightError, messageOf } from '../../contract/errors.js';
import type { RobotLinkBuffers } from '../../contract/robot.js';
import type { Faults } from './faults.js';

export interface SimulatedRobotOptions {
  /** A task's name, or the path of a task's file. */
  task: string;
  /** Of the start states and of the faults' chances. */
  seed: number;
  /** The wire, from `robotLink` with the task's joints and actions. */
  buffers: RobotLinkBuffers;
}

/** What the robot's thread is given. */
export interface RobotThreadData extends SimulatedRobotOptions {
  /** One Int32: 1 asks the thread to end. */
  stop: SharedArrayBuffer;
}

export interface SimulatedRobot {
  /** Makes the robot suffer exactly `faults` from its next physics step on. */
  setFaults(faults: Readonly<Faults>): void;
  stop(): Promise<void>;
}

/**
 * Starts a healthy robot that holds a start state until the first command in mode `policy`, and resolves once its
 * first sensor values are published. After a termination it runs on for half a second, then goes to a new start state
 * and holds again. Rejects with a `FarsightError` when the task cannot be loaded; `stop` does when the robot failed
 * since.
 */
export async function startSimulatedRobot(options: SimulatedRobotOptions): Promise<SimulatedRobot> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const workerData: RobotThreadData = { ...options, stop: stop.buffer as SharedArrayBuffer };
  const worker = new Worker(new URL('./threadWorker.js', import.meta.url), { workerData });
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', (error) => reject(new FarsightError(`simulated robot: ${messageOf(error)}`)));
    worker.once('exit', () => resolve());
  });
  // A failure is thrown where it is awaited: below, or in `stop`.
  ended.catch(() => {});
  await Promise.race([new Promise((resolve) => worker.once('message', resolve)), ended]);
  return {
    setFaults(faults) {
      worker.postMessage(faults);
    },
    async stop() {
      Atomics.store(stop, 0, 1);
      await ended;
    },
  };
}
