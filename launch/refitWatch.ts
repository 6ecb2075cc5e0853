// Refits again and again: a candidate whenever enough rows came to a dataset, each made by a process of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isDataset, readIndex } from '../contract/dataset.js';
import { makeDirectory } from '../contract/directory.js';
import { lockDirectory } from '../contract/directoryLock.js';
import { FarsightError, messageOf, UsageError } from '../contract/errors.js';
import { askedBy, writeWhole } from '../contract/wholeFile.js';
import { say } from './command.js';
import { pause } from './pause.js';

export interface WatchRequest {
  /** A dataset, where its rows grow. */
  data: string;
  /** Directory of the candidates: `0001`, `0002`, … */
  out: string;
  /** New rows that are worth a refit. */
  minRows: number;
  /** Candidates that are kept; the newest and the newest accepted one always are. */
  keep: number;
  /** Bytes that stay free on the disk, if older candidates or waiting can make it so. */
  reserve: number;
  /** Seconds after which a refit is given up. */
  limit: number;
  /** What `farsight refit` is told beside --data and --out. */
  flags: readonly string[];
}

export interface WatchResult {
  /** Refits that left a candidate, those of them that were accepted, and those that left none. */
  candidates: number;
  accepted: number;
  failed: number;
}

/** Which candidate is the newest, and which the newest that was accepted: rewritten after each refit. */
export const LATEST_FILE = 'latest.json';

/** Between two looks at the dataset, seconds. */
const LOOK = 2;
/** What a refit that is asked to end may take for it, seconds. */
const GRACE = 20;
/** Characters of what a refit says that are kept, to tell why it failed. */
const LONGEST_ERROR = 4096;
/** Of a candidate that is being deleted. */
const GONE = '.gone';

const resultSchema = z.object({ accepted: z.boolean(), datasets: z.array(z.string()) });
type Candidate = z.infer<typeof resultSchema> & { name: string };

/**
 * Refits whenever the dataset has `minRows` rows that the newest candidate has not learned from, until `stop` aborts. A
 * refit that fails leaves nothing, and is tried again with as many more rows. Throws a `FarsightError` when the dataset
 * or the directory cannot be used.
 */
export async function watchDataset(request: WatchRequest, stop: AbortSignal): Promise<WatchResult> {
  const { data, out, minRows } = request;
  if (!isDataset(data))
    throw new UsageError(
      `--watch: --data '${data}' is no dataset of 'farsight collect', which alone grows by rows`,
    );
  try {
    makeDirectory(out);
  } catch (error) {
    throw new FarsightError(`--out '${out}' cannot be written: ${messageOf(error)}`);
  }
  const unlock = lockDirectory(out, `--out '${out}'`);
  try {
    for (const name of readdirSync(out))
      if (name.endsWith(GONE)) rmSync(join(out, name), { recursive: true, force: true });
    const result: WatchResult = { candidates: 0, accepted: 0, failed: 0 };
    nameLatest(out);
    /** Rows in all at a refit that failed. */
    let failedAt = Number.NEGATIVE_INFINITY;
    let waiting = '';
    const wait = (why: string) => {
      if (why !== waiting) say(why);
      waiting = why;
      return pause(LOOK, stop);
    };
    while (!stop.aborted) {
      let rows: ReturnType<typeof rowsOf>;
      try {
        rows = rowsOf(data, candidatesOf(out).at(-1));
      } catch (error) {
        await wait(messageOf(error));
        continue;
      }
      const { total, fresh } = rows;
      const wanted = Math.max(minRows - fresh, minRows - (total - failedAt));
      if (wanted > 0) {
        await wait(`${fresh} new rows in '${data}': waiting for ${minRows} at least`);
        continue;
      }
      if (!makeRoom(request)) {
        await wait(`'${out}': less than ${request.reserve / 1e6} MB are free on its disk: waiting for room`);
        continue;
      }
      waiting = '';
      const name = nextName(out);
      say(`${fresh} new rows: refit ${name}`);
      const failure = await refitOnce(request, name, stop);
      if (stop.aborted) break;
      if (failure !== undefined) {
        result.failed++;
        failedAt = total;
        say(`refit ${name} failed: ${failure}`);
        continue;
      }
      const made = candidatesOf(out).at(-1)!;
      result.candidates++;
      if (made.accepted) result.accepted++;
      nameLatest(out);
      prune(request, request.keep);
      say(`candidate '${join(out, name)}' is ${made.accepted ? 'accepted' : 'rejected'}`);
    }
    return result;
  } finally {
    unlock();
  }
}

/** Rows of a dataset, and those of them that `candidate` has not learned from. */
function rowsOf(data: string, candidate: Candidate | undefined) {
  const known = new Set(candidate?.datasets);
  let [total, fresh] = [0, 0];
  for (const { source, rows } of readIndex(data).sources) {
    total += rows;
    if (!known.has(source)) fresh += rows;
  }
  return { total, fresh };
}

/** Oldest first. What a refit left without its result, as no whole one does, is none. */
function candidatesOf(out: string): Candidate[] {
  return readdirSync(out)
    .filter((name) => NUMBERED.test(name) && existsSync(join(out, name, 'refit.json')))
    .sort((a, b) => Number(a) - Number(b))
    .map((name) => {
      const path = join(out, name, 'refit.json');
      try {
        return { name, ...resultSchema.parse(JSON.parse(readFileSync(path, 'utf8'))) };
      } catch {
        throw new FarsightError(`'${path}' is no result of a refit: move '${join(out, name)}' away`);
      }
    });
}

const NUMBERED = /^\d{4,}$/;

/** After all that there are: the newest one is never deleted, so that no number comes twice. */
function nextName(out: string): string {
  const numbers = readdirSync(out)
    .filter((name) => NUMBERED.test(name))
    .map(Number);
  return String(Math.max(0, ...numbers) + 1).padStart(4, '0');
}

function nameLatest(out: string): void {
  const candidates = candidatesOf(out);
  if (candidates.length === 0) return;
  const accepted = candidates.findLast((candidate) => candidate.accepted);
  const latest = { candidate: candidates.at(-1)!.name, accepted: accepted?.name ?? null };
  askedBy('--out', () => writeWhole(join(out, LATEST_FILE), `${JSON.stringify(latest)}\n`));
}

/** Deletes the oldest candidates until so many are left; the newest and the newest accepted one stay. */
function prune({ out }: WatchRequest, keep: number): void {
  const candidates = candidatesOf(out);
  const accepted = candidates.findLast((candidate) => candidate.accepted);
  const needless = candidates.filter((one) => one !== candidates.at(-1) && one !== accepted);
  for (const { name } of needless.slice(0, Math.max(0, candidates.length - keep))) {
    const gone = join(out, `${name}${GONE}`);
    renameSync(join(out, name), gone);
    rmSync(gone, { recursive: true, force: true });
  }
}

/** Whether the disk has room for another candidate, once the older ones have made some. */
function makeRoom(request: WatchRequest): boolean {
  const isFree = () => {
    const { bavail, bsize } = statfsSync(request.out);
    return bavail * bsize >= request.reserve;
  };
  for (let keep = candidatesOf(request.out).length - 1; keep > 0 && !isFree(); keep--) prune(request, keep);
  return isFree();
}

/** Runs one refit into the candidate `name`. Returns why there is none, if so. */
async function refitOnce(
  { data, out, limit, flags }: WatchRequest,
  name: string,
  stop: AbortSignal,
): Promise<string | undefined> {
  const directory = join(out, name);
  const args = ['refit', '--data', data, '--out', directory, ...flags];
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1], ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // It ends with this process, whatever ends that.
    env: { ...process.env, FARSIGHT_PARENT: String(process.pid) },
  });
  let said = '';
  child.stderr.on('data', (piece: Buffer) => {
    process.stderr.write(piece);
    said = (said + piece).slice(-LONGEST_ERROR);
  });
  let tooLong = false;
  let killing: NodeJS.Timeout | undefined;
  const end = () => {
    child.kill('SIGTERM');
    killing ??= setTimeout(() => child.kill('SIGKILL'), 1000 * GRACE);
  };
  const timer = setTimeout(() => {
    tooLong = true;
    end();
  }, 1000 * limit);
  stop.addEventListener('abort', end);
  try {
    const [code, signal] = await once(child, 'close');
    // One that was rejected leaves its candidate, and exits with 1.
    if (existsSync(directory)) return undefined;
    if (tooLong) return `it took more than ${limit / 60} minutes (--limit)`;
    return (
      said
        .match(/^error: .*$/gm)
        ?.at(-1)
        ?.slice('error: '.length) ?? `it ended with ${signal ?? code}`
    );
  } catch (error) {
    return messageOf(error);
  } finally {
    clearTimeout(timer);
    clearTimeout(killing);
    stop.removeEventListener('abort', end);
  }
}
