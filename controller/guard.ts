// The guard: a thread of its own that hears every emergency stop, from the process's start to its end, and keeps what latches.
import { Worker } from 'node:worker_threads';
import { FarsightError } from '../contract/errors.js';
import { FAULTS, type Fault } from '../contract/loop.js';
import { EmergencyStop } from './emergencyStop.js';
import type { FromGuard, GuardedLoop, GuardWorkerData, ToGuard } from './guardWorker.js';
import type { FoundFault } from './latch.js';
import type { StopTopicOptions } from './ros/link/stopTopic.js';
import type { RosNodeOptions } from './ros/rcl/rcl.js';

export interface GuardOptions {
  /** Names the robot in what is kept. */
  robot: string;
  /** The robot is on ROS 2: the node that listens. */
  ros?: RosNodeOptions;
  /** The terminal's keys are an operator's: space stops, the others are told to `keys`. The terminal must be raw. */
  keys?: (pressed: string) => void;
  /** Told of each stop that was heard. */
  pressed?: (by: string) => void;
}

export class Guard {
  readonly stop: EmergencyStop;
  readonly #worker: Worker;
  readonly #ended: Promise<number>;
  #asked = 0;
  #loops = 0;
  readonly #answers = new Map<number, (answer: FromGuard & { kind: 'answer' }) => void>();

  private constructor(worker: Worker, ended: Promise<number>, stop: EmergencyStop) {
    this.#worker = worker;
    this.#ended = ended;
    this.stop = stop;
  }

  /** Resolves when it listens. Throws a `FarsightError` for a ROS 2 that does not do. */
  static async start({ robot, ros, keys, pressed }: GuardOptions): Promise<Guard> {
    const stop = new EmergencyStop();
    const workerData: GuardWorkerData = { words: stop.words, robot, ros, keys: keys !== undefined };
    const worker = new Worker(new URL('./guardWorker.js', import.meta.url), { workerData });
    const ended = new Promise<number>((resolve) => worker.once('exit', resolve));
    let guard: Guard | undefined;
    let failed: (error: Error) => void = () => {};
    const started = new Promise<void>((resolve, reject) => {
      failed = reject;
      worker.on('message', (message: FromGuard) => {
        if (message.kind === 'listening') resolve();
        else if (message.kind === 'unable') reject(new FarsightError(message.reason));
        else if (message.kind === 'pressed') pressed?.(message.by);
        else if (message.kind === 'keys') keys?.(message.pressed);
        else if (guard) guard.#answers.get(message.id)?.(message);
      });
    });
    // Its heart stops with it, and the loop notices that.
    worker.once('error', (error) => {
      const failure = new FarsightError(`the guard's thread failed: ${error.message}`);
      if (guard?.stop.beats) process.emitWarning(failure.message);
      else failed(failure);
    });
    try {
      guard = new Guard(worker, ended, stop);
      await started;
      return guard;
    } catch (error) {
      await ended;
      throw error;
    }
  }

  /** Listens to another topic from now on, or to none. Throws a `FarsightError` when that does not open. */
  async listen(topic: StopTopicOptions | undefined): Promise<void> {
    const { problem } = await this.#ask({ kind: 'listen', topic });
    if (problem) throw new FarsightError(problem);
  }

  /**
   * Keeps what latches in a directory too, for the next process. Resolves with what the process before left there.
   * Throws a `FarsightError` when it cannot be written.
   */
  async keep(stateDirectory: string): Promise<FoundFault | undefined> {
    const { problem, found } = await this.#ask({ kind: 'keep', directory: stateDirectory });
    if (problem) throw new FarsightError(problem);
    return found;
  }

  /** What is latched: a loop that starts now has to begin with it. */
  async latched(): Promise<Fault> {
    return FAULTS[(await this.#ask({ kind: 'latched' })).fault];
  }

  /** Looks after a loop, which ticks already, instead of the one before. Returns the loop's number. */
  async follow(loop: GuardedLoop): Promise<number> {
    const number = ++this.#loops;
    await this.#ask({ kind: 'follow', loop });
    return number;
  }

  /** The loop of this number has ended: what it has latched is kept for the next, unless that is there already. */
  async leave(number: number): Promise<void> {
    if (number === this.#loops) await this.#ask({ kind: 'leave' });
  }

  /** A person rearms while no loop runs. False while a source still says stop. */
  async rearm(): Promise<boolean> {
    if (!this.stop.release()) return false;
    await this.#ask({ kind: 'forget' });
    return true;
  }

  async close(): Promise<void> {
    this.#tell({ kind: 'end' });
    await this.#ended;
  }

  #tell(message: ToGuard): void {
    this.#worker.postMessage(message);
  }

  async #ask(question: Question): Promise<FromGuard & { kind: 'answer' }> {
    const id = this.#asked++;
    const answer = new Promise<FromGuard & { kind: 'answer' }>((resolve) => this.#answers.set(id, resolve));
    this.#tell({ ...question, id } as ToGuard);
    try {
      return await Promise.race([
        answer,
        this.#ended.then((): never => {
          throw new FarsightError("the guard's thread has ended: start the controller anew");
        }),
      ]);
    } finally {
      this.#answers.delete(id);
    }
  }
}

/** Each kind of question, without its number. */
type Question = ToGuard extends infer T ? (T extends { id: number } ? Omit<T, 'id'> : never) : never;
