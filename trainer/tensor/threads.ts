// Threads that run ONNX Runtime sessions beside the calling one: handed over and awaited through shared memory.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Address } from '../../contract/onnxRuntime.js';

/** Whose turn it is. */
export const TURN = { thread: 1, caller: 2 } as const;
/** How long either side looks before it sleeps: being woken takes longer than most pauses between two runs. */
const LOOK_MILLISECONDS = 0.2;

/** What the two sides share: whose turn it is; the words of a job, and behind them its status. */
export interface Shared {
  turn: Int32Array<SharedArrayBuffer>;
  job: BigUint64Array<SharedArrayBuffer>;
}
/** Arguments of `Run`. */
export const JOB_WORDS = 8;

export function waitForTurn({ turn }: Shared, whose: number): void {
  const until = performance.now() + LOOK_MILLISECONDS;
  for (;;) {
    const now = Atomics.load(turn, 0);
    if (now === whose) return;
    if (performance.now() > until) Atomics.wait(turn, 0, now);
  }
}

export function passTurn({ turn }: Shared, to: number): void {
  Atomics.store(turn, 0, to);
  Atomics.notify(turn, 0);
}

/** One such thread. It ends with the process, which does not wait for it. */
export class Thread {
  readonly started: Promise<unknown>;
  readonly #shared: Shared = {
    turn: new Int32Array(new SharedArrayBuffer(4)),
    job: new BigUint64Array(new SharedArrayBuffer(8 * (JOB_WORDS + 1))),
  };

  constructor() {
    const file = new URL('./sessionThread.js', import.meta.url);
    // Flags of the process (`--eval`, `--import`) are not for it.
    const worker = new Worker(file, { workerData: this.#shared, execArgv: [] });
    // It says so when it is there; then nothing but jobs can happen to it.
    this.started = once(worker, 'message').finally(() => worker.unref());
  }

  /** @param job the arguments of `Run`; what they point to must stay until the end */
  begin(job: readonly bigint[]): void {
    this.#shared.job.set(job);
    passTurn(this.#shared, TURN.thread);
  }

  /** The status that `Run` answered with. */
  end(): Address {
    waitForTurn(this.#shared, TURN.caller);
    return this.#shared.job[JOB_WORDS];
  }
}

const threads: Thread[] = [];

/** The first so many threads beside the calling one, the same for everybody. Throws what keeps one from starting. */
export async function threadsBeside(count: number): Promise<readonly Thread[]> {
  while (threads.length < count) threads.push(new Thread());
  const wanted = threads.slice(0, count);
  await Promise.all(wanted.map(({ started }) => started));
  return wanted;
}
