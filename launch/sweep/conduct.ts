// A sweep from its plan to its results: on this computer, or by workers behind a queue; what is there is not done again.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { makeDirectory } from '../../contract/directory.js';
import { lockDirectory } from '../../contract/directoryLock.js';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { CONFIG_FILE, extendedConfig, readConfig, refuseChangedTask } from '../../trainer/run/runConfig.js';
import { settingsOf } from '../configFile.js';
import { Board } from './board.js';
import { trainHere } from './local.js';
import type { PlannedRun } from './plan.js';
import { compareCommandLine, RESULTS_FILE, writeResults } from './results.js';

export interface SweepFlags {
  out: string;
  jobs?: number;
  threads?: number;
}

export interface SweepResult {
  directory: string;
  results: string;
  runs: number;
  done: number;
  failed: number;
  /** Not done, and not failed: stopped or cancelled. */
  left: number;
  seconds: number;
  /** What compares the settings. */
  compare: string;
}

/** Runs what is not done of `runs` on this computer, until `stop`. */
export async function conductHere(
  title: string,
  runs: readonly PlannedRun[],
  { out, jobs, threads }: SweepFlags,
  stop: AbortSignal,
): Promise<SweepResult> {
  prepare(out, runs);
  const unlock = lockDirectory(out, `--out '${out}'`);
  try {
    const cores = availableParallelism();
    const side = Math.min(jobs ?? cores, runs.length);
    const each = threads ?? Math.max(1, Math.floor(cores / side));
    const board = new Board(title, runs);
    const onResult = () => writeResults(out, runs, board.results);
    await trainHere(board, out, { jobs: side, threads: each, stop, onResult });
    return summary(out, board);
  } finally {
    unlock();
  }
}

/** Makes the directory. Throws a `UsageError` that names a run which is there with other options. */
export function prepare(out: string, runs: readonly PlannedRun[]): void {
  try {
    makeDirectory(out);
  } catch (error) {
    throw new FarsightError(`--out '${out}' cannot be made: ${messageOf(error)}; choose another`);
  }
  for (const { name, config } of runs) {
    const directory = join(out, name);
    if (!existsSync(join(directory, CONFIG_FILE))) continue;
    try {
      const begun = readConfig(directory);
      extendedConfig(begun, directory, { ...config, settings: settingsOf(config.options) });
      refuseChangedTask(begun, directory, config);
    } catch (error) {
      throw error instanceof UsageError
        ? new UsageError(`--out '${out}' holds another sweep: ${error.message}; or choose another --out`)
        : error;
    }
  }
}

export function summary(out: string, board: Board): SweepResult {
  const { runs, results } = board;
  const done = board.count('done');
  const failed = board.count('failed');
  return {
    directory: out,
    results: join(out, RESULTS_FILE),
    runs: runs.length,
    done,
    failed,
    left: runs.length - done - failed,
    seconds: board.finish(),
    compare: compareCommandLine(out, runs, results),
  };
}
