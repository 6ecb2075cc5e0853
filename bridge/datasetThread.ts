// The handle on the thread that owns the datasets: a queue of files, and what became of each, whatever they do to it.
import { Worker } from 'node:worker_threads';
import { FarsightError, messageOf } from '../contract/errors.js';
import { aboutUpload, type UploadMetadata } from '../contract/transfer.js';
import type { DatasetAnswer, TakeRequest } from './datasetWorker.js';
import type { DatasetWriterOptions, Taken } from './datasetWriter.js';
import type { Log } from './log.js';

/** A file that takes longer than this, ms, is not one of ours. */
const LONGEST = 120_000;
/** Before a file is tried again that the disk would not take, ms. */
const AGAIN = 5000;
/** MB of heap: a segment of 64 MiB, its rows and their columns. */
const HEAP = 2048;

/** While others are at work on all that waits here, ms. */
const BUSY_FOR = 50;

interface Job extends Omit<TakeRequest, 'path'> {
  /** Where the file is, once it was brought. */
  path?: string;
  bring(): Promise<string>;
  resolve(taken: Taken): void;
}

export class DatasetThread {
  readonly #options: DatasetWriterOptions;
  readonly #log: Log;
  readonly #queue: Job[] = [];
  #worker: Worker | undefined;
  #working = false;
  #answered: (answer: DatasetAnswer) => void = () => {};
  #stopped = false;

  private constructor(options: DatasetWriterOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  /** Throws a `FarsightError` when the directory cannot be used. */
  static async start(options: DatasetWriterOptions, log: Log): Promise<DatasetThread> {
    const thread = new DatasetThread(options, log);
    await thread.#begin();
    return thread;
  }

  /** Files that wait, that which is being read included. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Resolves when the file is in a dataset or the quarantine, or its bytes are damaged. `bring` is asked where it is when
   * its turn has come.
   */
  take(upload: UploadMetadata, bring: () => Promise<string>): Promise<Taken> {
    return new Promise((resolve) => {
      this.#queue.push({ upload, bring, resolve });
      void this.#work();
    });
  }

  /** Ends after the file that is being read; what waits is found again at the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#working) await pause(20);
    await this.#worker?.terminate();
  }

  async #begin(): Promise<void> {
    const worker = new Worker(new URL('./datasetWorker.js', import.meta.url), {
      workerData: this.#options,
      resourceLimits: { maxOldGenerationSizeMb: HEAP },
    });
    this.#worker = worker;
    const first = new Promise<DatasetAnswer>((resolve, reject) => {
      this.#answered = resolve;
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('its thread ended')));
    });
    worker.on('message', (answer) => this.#answered(answer));
    const answer = await first;
    if (answer.kind === 'refused') throw new FarsightError(answer.error);
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    /** Files in a row that had to wait. */
    let waits = 0;
    while (this.#queue.length > 0 && !this.#stopped) {
      const job = this.#queue[0];
      const { upload } = job;
      const answer = await this.#ask(job);
      this.#queue.shift();
      if (answer.kind === 'failed')
        this.#log.error({ ...aboutUpload(upload), error: answer.error }, 'not taken in; trying again');
      if (answer.kind === 'failed' || answer.kind === 'busy') {
        this.#queue.push(job);
        // Behind the others: one file's trouble may be its own.
        if (++waits >= this.#queue.length) await pause(answer.kind === 'failed' ? AGAIN : BUSY_FOR);
        continue;
      }
      waits = 0;
      if (answer.kind === 'taken') job.resolve(answer);
    }
    this.#working = false;
  }

  /** One file; one that ends the thread, or keeps it for too long, is not read again. */
  async #ask(job: Job): Promise<DatasetAnswer> {
    try {
      job.path ??= await job.bring();
    } catch (error) {
      return { kind: 'failed', error: messageOf(error) };
    }
    const worker = this.#worker!;
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<DatasetAnswer | { died: string }>((resolve) => {
      this.#answered = resolve;
      worker.removeAllListeners('error');
      worker.removeAllListeners('exit');
      worker.once('error', (error) => resolve({ died: error.message }));
      worker.once('exit', () => resolve({ died: 'its thread ended' }));
      timer = setTimeout(() => resolve({ died: `took longer than ${LONGEST / 1000} s` }), LONGEST);
      const { path, upload, reason } = job;
      worker.postMessage({ path: path!, upload, reason } satisfies TakeRequest);
    });
    clearTimeout(timer);
    if (!('died' in answer)) return answer;
    job.reason = `could not be read: ${answer.died}`;
    worker.on('error', () => {});
    await worker.terminate();
    await this.#begin();
    return { kind: 'failed', error: job.reason };
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
