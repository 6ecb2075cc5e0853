// The queue between `farsight sweep` and its workers: BullMQ over ioredis. A job is one run; its id follows from the run's
// configuration, so that the same one is never there twice.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { type Job, Queue, type RedisOptions } from 'bullmq';
import { z } from 'zod';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import { say } from '../command.js';
import { hashOf, type PlannedRun } from './plan.js';
import type { RunResult } from './trainChild.js';

/** All sweeps share one queue, so that every worker serves all of them. */
export const QUEUE = 'sweep';
export const PREFIX = 'farsight';
/** A run whose process is killed is tried as often before it counts as failed, this long after. */
const ATTEMPTS = { attempts: 3, backoff: { type: 'fixed', delay: 2000 } };
/** Seconds that ended jobs stay in Redis; results stay with the runs. */
const KEPT = { age: 30 * 24 * 3600 };
const REACHED_MS = 10_000;
const SWEEP_FILE = 'sweep.json';

const sweepSchema = z.object({
  id: z.string(),
  /** How often. */
  cancelled: z.int().default(0),
});
/** What a sweep's directory says of it: a job of the same id that was cancelled less often is cancelled. */
export type Sweep = z.infer<typeof sweepSchema>;

/** What a worker is given. */
export interface SweepJob {
  /** As its directory said when it was submitted. */
  sweep: Sweep;
  /** The sweep's directory where it was submitted, and the name of the computer. */
  out: string;
  host: string;
  run: PlannedRun;
}
/** What a worker tells of a run that goes on. */
export interface SweepProgress {
  done: number;
  numbers: Record<string, string>;
}
export type QueuedRun = Job<SweepJob, RunResult, string>;
export type SweepQueue = Queue<SweepJob, RunResult, string, SweepJob, RunResult, string>;

/** How ioredis is to connect, for as long as it takes. Throws a `UsageError` for what is no address of a Redis. */
export function connectionTo(url: string): RedisOptions {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === '')
    throw new UsageError(
      `--queue '${url}': wants redis://[user:password@]host[:port][/number], or rediss://`,
    );
  const { protocol, hostname, port, username, password, pathname } = parsed;
  const db = pathname.slice(1);
  if (!/^\d*$/.test(db)) throw new UsageError(`--queue '${url}': '${db}' is not the number of a database`);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    username: decodeURIComponent(username) || undefined,
    password: decodeURIComponent(password) || process.env.FARSIGHT_REDIS_PASSWORD,
    db: Number(db),
    tls: protocol === 'rediss:' ? {} : undefined,
    maxRetriesPerRequest: null,
    retryStrategy: (times: number) => Math.min(200 * times, 2000),
  };
}

/** Says once when Redis is away, and what else goes wrong. Call `back` when something has gone through again. */
export function sayWhenAway(emitter: { on(event: 'error', listener: (error: Error) => void): unknown }) {
  let away = false;
  let said = '';
  emitter.on('error', (error) => {
    const { code } = error as NodeJS.ErrnoException;
    const why = messageOf(error) || code || 'no connection';
    // A script's own complaint has a number for a code.
    const connection = typeof code === 'string' || /connection/i.test(why);
    if (connection ? away : why === said) return;
    say(connection ? `Redis is away (${why}): waiting for it` : `queue: ${why}`);
    away ||= connection;
    said = why;
  });
  return {
    why: () => said,
    back: () => {
      if (away) say('Redis is back');
      away = false;
      said = '';
    },
  };
}

/** Waits for what connects to `url`. Throws a `FarsightError` when nothing answers there in ten seconds. */
export async function reached(url: string, ready: Promise<unknown>, why: () => string): Promise<void> {
  const late = Symbol();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise((resolve) => {
    timer = setTimeout(resolve, REACHED_MS, late);
  });
  try {
    if ((await Promise.race([ready, timeout])) !== late) return;
  } catch (error) {
    throw unreachable(messageOf(error));
  } finally {
    clearTimeout(timer);
  }
  throw unreachable(why());

  function unreachable(reason: string) {
    const { host, port } = connectionTo(url);
    if (/NOAUTH|WRONGPASS/.test(reason))
      return new FarsightError(
        `--queue: the Redis at ${host}:${port} wants another password (${reason}): redis://:PASSWORD@${host}:${port}, or FARSIGHT_REDIS_PASSWORD`,
      );
    return new FarsightError(
      `--queue: no Redis answers at ${host}:${port}${reason && ` (${reason})`}; start one there (Debian: apt install redis-server)`,
    );
  }
}

/** The queue, connected. */
export async function openQueue(url: string): Promise<{ queue: SweepQueue; back: () => void }> {
  const queue: SweepQueue = new Queue(QUEUE, { connection: connectionTo(url), prefix: PREFIX });
  const { why, back } = sayWhenAway(queue);
  try {
    await reached(url, queue.waitUntilReady(), why);
  } catch (error) {
    queue.close().catch(() => {});
    throw error;
  }
  return { queue, back };
}

/** The sweep that `directory` keeps; `undefined` when it keeps none, or is not there. */
export function readSweep(directory: string): Sweep | undefined {
  try {
    return sweepSchema.parse(JSON.parse(readFileSync(join(directory, SWEEP_FILE), 'utf8')));
  } catch {
    return undefined;
  }
}

export function beginSweep(directory: string): Sweep {
  return writeSweep(directory, { id: randomUUID(), cancelled: 0 });
}

/** Cancels the jobs that have been submitted, wherever they are. */
export function markCancelled(directory: string, { id, cancelled }: Sweep): void {
  writeSweep(directory, { id, cancelled: cancelled + 1 });
}

function writeSweep(directory: string, sweep: Sweep): Sweep {
  askedBy('--out', () => writeWhole(join(directory, SWEEP_FILE), `${JSON.stringify(sweep)}\n`));
  return sweep;
}

/** Whether a directory still says of its sweep what it said when a job was submitted. */
export const isSame = (sweep: Sweep, found: Sweep | undefined) =>
  found?.id === sweep.id && found.cancelled === sweep.cancelled;

export const jobIdOf = ({ id, cancelled }: Sweep, run: PlannedRun) =>
  hashOf([id, cancelled, run.name, run.id]);

/** The folder that workers share: it holds the directories of sweeps, and the tasks of one's own. */
const sharedFolder = (out: string) => dirname(resolve(out));

/** Throws a `UsageError` that names a task which workers on other computers would not find. */
export function refuseOutside(out: string, runs: readonly PlannedRun[]): void {
  const folder = sharedFolder(out);
  const outside = runs.find(({ config }) => config.ownTask && !config.task.startsWith(join(folder, sep)));
  if (outside)
    throw new UsageError(
      `task '${outside.config.task}' lies outside '${folder}', the folder that workers share: move it in there, with its MJCF and all else that it needs`,
    );
}

/** Where a job's sweep is kept on this computer, whose folder of sweeps may have another path. */
export const directoryOf = ({ out }: SweepJob, shared?: string) =>
  shared === undefined ? out : join(shared, basename(out));

/** A job's run, with its task where that lies on this computer. */
export function runHere({ out, run }: SweepJob, shared?: string): PlannedRun {
  if (shared === undefined || !run.config.ownTask) return run;
  const task = join(shared, relative(sharedFolder(out), run.config.task));
  return { ...run, config: { ...run.config, task } };
}

/**
 * Puts runs that have no result into the queue; those that are there and have not ended stay as they are. A sweep that comes
 * later takes turns with those before it: what is first in it comes beside what is next in them.
 */
export async function submit(
  queue: SweepQueue,
  sweep: Sweep,
  out: string,
  runs: readonly PlannedRun[],
): Promise<void> {
  const before = await Promise.all(runs.map((run) => queue.getJob(jobIdOf(sweep, run))));
  await Promise.all(before.map((job) => job?.finishedOn && job.remove()));
  const [next] = await queue.getPrioritized(0, 0);
  const head = next?.opts.priority ?? 1;
  await queue.addBulk(
    runs.map((run, i) => ({
      name: run.name,
      data: { sweep, out: resolve(out), host: hostname(), run },
      opts: {
        ...ATTEMPTS,
        jobId: jobIdOf(sweep, run),
        priority: head + i,
        removeOnComplete: KEPT,
        removeOnFail: KEPT,
      },
    })),
  );
}
