// A worker of queued sweeps: takes runs from the queue, trains each in a process of its own, tells how it goes, and lets a
// run go as soon as it cannot be sure that it is still its own.
import { hostname, uptime } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnrecoverableError, WaitingError, Worker } from 'bullmq';
import { FarsightError, messageOf } from '../../contract/errors.js';
import { say } from '../command.js';
import { CANCELLED } from './follow.js';
import { STOP_GRACE_MS } from './local.js';
import {
  connectionTo,
  directoryOf,
  isSame,
  PREFIX,
  QUEUE,
  type QueuedRun,
  reached,
  readSweep,
  runHere,
  type SweepJob,
  type SweepProgress,
  sayWhenAway,
} from './queue.js';
import { KilledError, type RunResult, readResult, trainRun } from './trainChild.js';

export interface WorkerFlags {
  queue: string;
  shared?: string;
  jobs: number;
  threads: number;
  /** Seconds after which a worker that is not heard of has lost its runs. */
  lease: number;
}

export interface WorkerResult {
  /** Runs that this worker brought to their ends. */
  done: number;
  failed: number;
  /** Given back for others to go on with. */
  returned: number;
}

/** Shares of the lease without a renewal after which a run is stopped, and killed. */
const STOPPED_AT = 0.6;
const KILLED_AT = 0.9;
/** A run that takes its worker's computer down each time does not do so for ever. */
const MOST_TAKEOVERS = 100;
const LOOK_MS = 500;

/** Milliseconds that no change of the clock moves, and in which a computer that slept grew older. */
const now = () => 1000 * uptime();

/** Why a run is stopped before its end. */
type Reason = 'ending' | 'cancelled' | 'lost';

/** Works until `stop`. Throws a `FarsightError` where a sweep's directory is not there. */
export async function work(flags: WorkerFlags, stop: AbortSignal): Promise<WorkerResult> {
  const counts: WorkerResult = { done: 0, failed: 0, returned: 0 };
  const lease = 1000 * flags.lease;
  /** When the lock of each run that is worked on was last known to be ours. */
  const heard = new Map<string, number>();
  /** Wakes up for the end, whether it was asked for or something is wrong. */
  const ending = new AbortController();
  let wrong: FarsightError | undefined;

  const train = async (job: QueuedRun, token?: string): Promise<RunResult> => {
    const { sweep } = job.data;
    const run = runHere(job.data, flags.shared);
    const out = directoryOf(job.data, flags.shared);
    const directory = join(out, run.name);
    const giveBack = async () => {
      await job.moveToWait(token);
      counts.returned++;
      throw new WaitingError();
    };
    // A lock that was lost and had again: whoever of us works on it lets go first.
    if (heard.has(job.id!)) {
      await sleep(LOOK_MS);
      return giveBack();
    }
    const found = readSweep(out);
    if (found?.id !== sweep.id) {
      wrong ??= new FarsightError(
        `'${out}' is not the directory of the sweep that '${run.name}' is of, submitted as '${job.data.out}'${found ? ', but of another' : ''}: mount the folder that it was submitted from, or say with --shared where the folder that holds it lies here; if it was deleted, farsight sweep --cancel takes its runs out, where it was submitted`,
      );
      ending.abort();
      return giveBack();
    }
    if (!isSame(sweep, found)) throw new UnrecoverableError(CANCELLED);
    const there = readResult(directory, run.id);
    if (there) return there;

    const halt = new AbortController();
    let reason: Reason | undefined;
    const haltFor = (why: Reason) => {
      if (reason !== undefined) return;
      reason = why;
      halt.abort();
    };
    const onEnding = () => haltFor('ending');
    heard.set(job.id!, now());
    const watch = setInterval(() => {
      const silent = now() - (heard.get(job.id!) ?? 0);
      if (silent > STOPPED_AT * lease) haltFor('lost');
      else if (!isSame(sweep, readSweep(out) ?? sweep)) haltFor('cancelled');
    }, LOOK_MS);
    if (ending.signal.aborted) onEnding();
    ending.signal.addEventListener('abort', onEnding);
    try {
      say(`${run.name}: runs`);
      const result = await trainRun(directory, run, {
        threads: flags.threads,
        stop: halt.signal,
        grace: () => (reason === 'lost' ? (KILLED_AT - STOPPED_AT) * lease : STOP_GRACE_MS),
        onProgress: ({ done, numbers }) => {
          if (!halt.signal.aborted)
            job.updateProgress({ done, numbers } satisfies SweepProgress).catch(() => {});
        },
      });
      if (result) return result;
      if (reason === 'cancelled') throw new UnrecoverableError(CANCELLED);
      say(`${run.name}: given back${reason === 'lost' ? ', as nothing says that it is still ours' : ''}`);
      return await giveBack();
    } catch (error) {
      if (!(error instanceof FarsightError) || error instanceof KilledError) throw error;
      throw new UnrecoverableError(messageOf(error));
    } finally {
      clearInterval(watch);
      ending.signal.removeEventListener('abort', onEnding);
      heard.delete(job.id!);
    }
  };

  const worker = new Worker<SweepJob, RunResult>(QUEUE, train, {
    connection: connectionTo(flags.queue),
    prefix: PREFIX,
    name: `${hostname()} ${process.pid}`,
    concurrency: flags.jobs,
    lockDuration: lease,
    lockRenewTime: lease / 3,
    stalledInterval: lease / 2,
    maxStalledCount: MOST_TAKEOVERS,
    runRetryDelay: 1000,
  });
  const { why, back } = sayWhenAway(worker);
  worker.on('locksRenewed', ({ jobIds }) => {
    back();
    for (const id of jobIds) if (heard.has(id)) heard.set(id, now());
  });
  worker.on('lockRenewalFailed', (jobIds) => {
    for (const id of jobIds) if (heard.has(id)) heard.set(id, Number.NEGATIVE_INFINITY);
  });
  worker.on('completed', ({ name }, { return: reached }) => {
    counts.done++;
    say(`${name}: done, ${reached === null ? 'not evaluated' : `return ${reached.toFixed(1)}`}`);
  });
  worker.on('failed', (job, error) => {
    counts.failed++;
    say(`${job?.name}: ${error.message === CANCELLED ? CANCELLED : `failed: ${messageOf(error)}`}`);
  });
  const onStop = () => ending.abort();
  stop.addEventListener('abort', onStop);
  try {
    await reached(flags.queue, worker.waitUntilReady(), why);
    say(
      `worker ${hostname()} ${process.pid}: up to ${flags.jobs} runs side by side, ${flags.threads} threads each`,
    );
    if (stop.aborted) onStop();
    if (!ending.signal.aborted)
      await new Promise<void>((resolve) => {
        ending.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    await worker.close();
  } catch (error) {
    worker.close(true).catch(() => {});
    throw error;
  } finally {
    stop.removeEventListener('abort', onStop);
  }
  if (wrong) throw wrong;
  return counts;
}
