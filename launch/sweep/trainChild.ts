// One run of a sweep as a `farsight train` of its own: begun, gone on with, or found done, whoever worked on it before.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { makeDirectory } from '../../contract/directory.js';
import { InUseError, lockDirectory } from '../../contract/directoryLock.js';
import { FarsightError } from '../../contract/errors.js';
import { sizeOf, unwritable, writeWhole } from '../../contract/wholeFile.js';
import { CONFIG_FILE, type RunConfig } from '../../trainer/run/runConfig.js';
import { loadTask } from '../../trainer/sim/task.js';
import { say } from '../command.js';
import { settingsOf } from '../configFile.js';
import type { ProgressMessage } from '../progress.js';
import type { PlannedRun } from './plan.js';

const FARSIGHT = fileURLToPath(new URL('../farsight.js', import.meta.url));
const RESULT_FILE = 'result.json';
/** What the run says for people. */
const LOG_FILE = 'train.log';
/**
 * What a run says that came upon another process in its directory: one that a killed worker left, and that was still
 * starting when the directory was looked at.
 */
const OTHERS = /is in use by process|holds a run already/;
/** Between two looks at a directory that another process has. */
const IN_USE_MS = 500;

const resultSchema = z.object({
  /** Of the run that ended so. */
  id: z.string(),
  /** Of `policy.onnx`, from start states by which it was not chosen. */
  return: z.number().nullable(),
  environmentSteps: z.number(),
  seconds: z.number(),
});
/** How a run ended. */
export type RunResult = z.infer<typeof resultSchema>;

/** Ended by a signal that was not ours: for want of memory, say. Another attempt may fare better. */
export class KilledError extends FarsightError {}

export interface TrainHooks {
  threads: number;
  /** Ends the run with a checkpoint. */
  stop: AbortSignal;
  /** Milliseconds that a stopped run has for that before it is killed; asked when it is stopped. */
  grace: () => number;
  onProgress: (progress: ProgressMessage) => void;
}

/** The result of the run that `directory` keeps, when it is the one of that id. */
export function readResult(directory: string, id: string): RunResult | undefined {
  try {
    const result = resultSchema.parse(JSON.parse(readFileSync(join(directory, RESULT_FILE), 'utf8')));
    return result.id === id ? result : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Trains a run in `directory`, from its last checkpoint when there is one, to its end, and keeps the result there;
 * `undefined` when it was stopped before. Throws a `FarsightError` with what the run said when it fails.
 */
export async function trainRun(
  directory: string,
  run: PlannedRun,
  hooks: TrainHooks,
): Promise<RunResult | undefined> {
  const { stop } = hooks;
  try {
    makeDirectory(directory);
  } catch (error) {
    throw unwritable(directory, error);
  }
  for (;;) {
    await untilFree(directory, run.name, stop);
    if (stop.aborted) return undefined;
    await refuseChanged(run.config);
    const { code, signal, stdout, said } = await runChild(directory, run, hooks);
    if (code === 0) {
      const { interrupted, ...rest } = JSON.parse(stdout.trim().split('\n').at(-1)!);
      if (interrupted) return undefined;
      const result = resultSchema.parse({ ...rest, id: run.id });
      writeWhole(join(directory, RESULT_FILE), `${JSON.stringify(result)}\n`);
      return result;
    }
    if (stop.aborted) return undefined;
    const lines = said.trim().split('\n');
    const why = lines.findLast((line) => line.startsWith('error:')) ?? lines.at(-1) ?? '';
    if (signal) throw new KilledError(`ended by ${signal}; ${why}`);
    if (OTHERS.test(why)) continue;
    throw new FarsightError(
      why.replace(/^error: /, '') || `ended with ${code}, see '${join(directory, LOG_FILE)}'`,
    );
  }
}

/** Throws where a task of one's own is not any more what the sweep was begun with. */
async function refuseChanged({ task, ownTask }: RunConfig): Promise<void> {
  if (ownTask && (await loadTask(task)).digest !== ownTask.digest)
    throw new FarsightError(
      `task '${task}': its file or its MJCF has changed since the sweep was begun; change it back, or begin another sweep for it in another --out`,
    );
}

/** Its end, and what it said on stderr. */
async function runChild(
  directory: string,
  { config, engine, device }: PlannedRun,
  { threads, stop, grace, onProgress }: TrainHooks,
) {
  const { task, preset, seed, options } = config;
  const log = join(directory, LOG_FILE);
  const logged = sizeOf(log);
  let logFile: number;
  try {
    logFile = openSync(log, 'a');
  } catch (error) {
    throw unwritable(log, error);
  }
  const child = spawn(
    process.execPath,
    [
      ...[FARSIGHT, 'train', '--json', '--out', directory, '--threads', `${threads}`],
      ...['--task', task, '--preset', preset, '--seed', `${seed}`],
      ...['--engine', engine, '--device', device],
      ...settingsOf(options).flatMap((setting) => ['--set', setting]),
      ...(existsSync(join(directory, CONFIG_FILE)) ? ['--resume'] : []),
    ],
    {
      stdio: ['ignore', 'pipe', logFile, 'ipc'],
      // It ends with us, however we end.
      env: { ...process.env, FARSIGHT_PARENT: String(process.pid) },
    },
  );
  closeSync(logFile);
  let stdout = '';
  child.stdout!.on('data', (piece) => {
    stdout += piece;
  });
  child.on('message', (message) => onProgress(message as ProgressMessage));
  let kill: NodeJS.Timeout | undefined;
  const onStop = () => {
    child.kill('SIGINT');
    kill = setTimeout(() => child.kill('SIGKILL'), grace());
  };
  stop.addEventListener('abort', onStop);
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { code, signal, stdout, said: readFileSync(log).subarray(logged).toString() };
  } finally {
    clearTimeout(kill);
    stop.removeEventListener('abort', onStop);
  }
}

/** What a killed worker left, or is just being stopped, may still have the directory for a moment. */
async function untilFree(directory: string, name: string, stop: AbortSignal): Promise<void> {
  for (let told = false; !stop.aborted; told = true) {
    try {
      lockDirectory(directory, `'${directory}'`)();
      return;
    } catch (error) {
      if (!(error instanceof InUseError)) throw error;
      if (!told) say(`${name}: waits, ${error.message}`);
      await sleep(IN_USE_MS, undefined, { signal: stop }).catch(() => {});
    }
  }
}
