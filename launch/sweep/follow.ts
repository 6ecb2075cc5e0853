// A sweep behind a queue, from where it was submitted: what each run comes to, as Redis knows it; or its end by --cancel.
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { InUseError, lockDirectory } from '../../contract/directoryLock.js';
import { UsageError } from '../../contract/errors.js';
import { say } from '../command.js';
import { Board, type RunState } from './board.js';
import { prepare, type SweepResult, summary } from './conduct.js';
import type { PlannedRun } from './plan.js';
import {
  beginSweep,
  isSame,
  jobIdOf,
  markCancelled,
  openQueue,
  type QueuedRun,
  readSweep,
  refuseOutside,
  type Sweep,
  type SweepJob,
  type SweepProgress,
  type SweepQueue,
  submit,
} from './queue.js';
import { writeResults } from './results.js';
import { readResult } from './trainChild.js';

const LOOK_MS = 1000;
/** A cancelled run may take so long to write its checkpoint. */
const CANCELLED_MS = 30_000;

/** Submits what is not done of `runs`, and follows them to their ends, or until `stop`: the workers go on then. */
export async function conductQueued(
  title: string,
  runs: readonly PlannedRun[],
  out: string,
  url: string,
  stop: AbortSignal,
): Promise<SweepResult> {
  refuseOutside(out, runs);
  const { queue, back } = await openQueue(url);
  try {
    prepare(out, runs);
    const release = resultsLock(out);
    const sweep = readSweep(out) ?? beginSweep(out);
    const board = new Board(title, runs);
    const done = (i: number) => readResult(join(out, runs[i].name), runs[i].id);
    const open = () => runs.flatMap((_, i) => (isOpen(board.state(i)) ? [i] : []));
    for (const i of open()) {
      const result = done(i);
      if (result) board.set(i, { state: 'done', result }, true);
    }
    if (release) writeResults(out, runs, board.results);
    try {
      await submit(
        queue,
        sweep,
        out,
        open().map((i) => runs[i]),
      );
      while (open().length > 0 && !stop.aborted) {
        const ended = board.count('done');
        const lost: PlannedRun[] = [];
        await Promise.all(
          open().map(async (i) => {
            const job = await queue.getJob(jobIdOf(sweep, runs[i]));
            if (job) board.set(i, await stateOf(job));
            else if (!isSame(sweep, readSweep(out))) board.set(i, { state: 'cancelled' });
            else lost.push(runs[i]);
          }),
        );
        back();
        // A Redis that keeps nothing has forgotten them when it comes back.
        if (lost.length > 0) await submit(queue, sweep, out, lost);
        if (release && board.count('done') > ended) writeResults(out, runs, board.results);
        board.draw();
        if (open().length > 0) await sleep(LOOK_MS, undefined, { signal: stop }).catch(() => {});
      }
      return summary(out, board);
    } finally {
      board.finish();
      release?.();
    }
  } finally {
    await queue.close();
  }
}

/** Whether anything can still come of a run. */
const isOpen = ({ state }: RunState) => state === 'waiting' || state === 'running';

/** One of those that follow a sweep writes its results. */
function resultsLock(out: string): (() => void) | undefined {
  try {
    return lockDirectory(out, `--out '${out}'`);
  } catch (error) {
    if (!(error instanceof InUseError)) throw error;
    say('another process writes the results of this sweep: this one only shows it');
    return undefined;
  }
}

async function stateOf(job: QueuedRun): Promise<RunState> {
  if (job.finishedOn) {
    if (!job.failedReason) return { state: 'done', result: job.returnvalue };
    return job.failedReason === CANCELLED
      ? { state: 'cancelled' }
      : { state: 'failed', why: job.failedReason };
  }
  const worker = job.processedBy;
  if (worker === undefined || (await job.getState()) !== 'active') return { state: 'waiting' };
  const { done = 0, numbers = {} } = job.progress as Partial<SweepProgress>;
  return { state: 'running', worker, done, numbers };
}

/** What a cancelled run's job fails with. */
export const CANCELLED = 'cancelled';

export interface Cancelled {
  /** Runs that had not begun, or waited to go on. */
  waiting: number;
  /** Runs that were stopped, with a checkpoint. */
  running: number;
  /** Runs that their workers had not stopped yet. */
  left: number;
}

/**
 * Ends every run of the sweep in `out` that is not done; submitted again they go on from their checkpoints. Those of one that
 * was submitted from there before the directory was deleted end too.
 */
export async function cancelSweep(out: string, url: string, stop: AbortSignal): Promise<Cancelled> {
  const sweep = readSweep(out);
  const { queue } = await openQueue(url);
  try {
    if (sweep) markCancelled(out, sweep);
    const jobs = await jobsOf(queue, out, sweep);
    if (!sweep && jobs.length === 0)
      throw new UsageError(`--out '${out}' keeps no sweep that was submitted to a queue: nothing to cancel`);
    const removed = await Promise.all(jobs.map(tryToRemove));
    const waiting = removed.filter(Boolean).length;
    const running = jobs.length - waiting;
    let left = running;
    for (
      const began = performance.now();
      left > 0 && performance.now() - began < CANCELLED_MS && !stop.aborted;
    ) {
      await sleep(LOOK_MS, undefined, { signal: stop }).catch(() => {});
      left = (await jobsOf(queue, out, sweep)).length;
    }
    return { waiting, running: running - left, left };
  } finally {
    await queue.close();
  }
}

/** Jobs that have not ended, of the sweep in `out` and of those that this computer submitted from there before it. */
async function jobsOf(queue: SweepQueue, out: string, sweep: Sweep | undefined): Promise<QueuedRun[]> {
  const jobs = await queue.getJobs(['prioritized', 'waiting', 'delayed', 'active']);
  const isDeleted = ({ sweep: { id }, out: from, host }: SweepJob) =>
    id !== sweep?.id && from === resolve(out) && host === hostname();
  return jobs.filter((job) => job && (isSame(job.data.sweep, sweep) || isDeleted(job.data)));
}

/** Whether the job could be removed: a worker holds those that run. */
async function tryToRemove(job: QueuedRun): Promise<boolean> {
  try {
    await job.remove();
    return true;
  } catch {
    return false;
  }
}
