// A training run and its directory: config.json, metrics.jsonl, TensorBoard's events, checkpoint/, policy.onnx, report.html.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { makeDirectory } from '../../contract/directory.js';
import { holdsLock, lockDirectory } from '../../contract/directoryLock.js';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { askedBy, growWhole } from '../../contract/wholeFile.js';
import { Mpdp } from '../mpdp/mpdp.js';
import type { Options } from '../mpdp/options.js';
import type { MetricsLine } from '../report/metrics.js';
import { writeReport } from '../report/report.js';
import { tensorBoardWriter } from '../report/tensorBoard.js';
import { loadTask } from '../sim/task.js';
import type { Engine } from '../tensor/engine.js';
import { hasCheckpoint, loadCheckpoint, saveCheckpoint } from './checkpoint.js';
import { exportPolicy } from './export.js';
import {
  CONFIG_FILE,
  type ConfigRequest,
  checkConfig,
  extendedConfig,
  type RunConfig,
  readConfig,
  refuseChangedTask,
  taskConfig,
  writeConfig,
} from './runConfig.js';

export interface RunResult {
  directory: string;
  /** Null before the first evaluation. */
  policy: string | null;
  /** Mean return of the policy in the file, from start states by which it was not chosen, and of the evaluation by which it was. */
  return: number | null;
  selectionReturn: number | null;
  environmentSteps: number;
  seconds: number;
  /** Stopped by a signal before its end; `--resume` goes on. */
  interrupted: boolean;
}

/** What a caller may follow and ask. */
export interface RunHooks {
  onStep?: (environmentSteps: number, line: MetricsLine | undefined) => void;
  /** A line for people. */
  onRemark?: (line: string) => void;
  /** Ends the run where it is, with a checkpoint. */
  stop?: AbortSignal;
}

/**
 * Starts a run in a new directory, which stays untouched when the run cannot begin. Throws a UsageError when there is
 * one already.
 */
export async function startRun(
  directory: string,
  config: RunConfig,
  engine: Engine,
  hooks: RunHooks = {},
): Promise<RunResult> {
  checkConfig(config);
  refuseTaken(directory);
  const learner = await makeLearner(config, engine);
  try {
    makeDirectory(directory);
  } catch (error) {
    throw new FarsightError(`--out '${directory}' cannot be made: ${messageOf(error)}; choose another`);
  }
  const unlock = lockDirectory(directory, `--out '${directory}'`);
  try {
    refuseTaken(directory);
    askedBy('--out', () => writeConfig(directory, { ...config, ...taskConfig(learner.task) }));
    return await run(directory, config, learner, hooks);
  } finally {
    unlock();
  }
}

/** Throws when there is a run already. */
function refuseTaken(directory: string): void {
  if (existsSync(join(directory, CONFIG_FILE))) {
    throw new UsageError(`--out '${directory}' holds a run already: go on with --resume, or choose another`);
  }
}

/**
 * Goes on with a run from its newest checkpoint, or from its start when it was stopped before the first; further than
 * it was to go, or judged otherwise, when `request` says so.
 */
export async function resumeRun(
  directory: string,
  engine: Engine,
  hooks: RunHooks = {},
  request: ConfigRequest = {},
): Promise<RunResult> {
  readConfig(directory);
  const unlock = lockDirectory(directory, `--out '${directory}'`);
  try {
    const begun = readConfig(directory);
    const config = extendedConfig(begun, directory, request);
    const learner = await makeLearner(config, engine);
    refuseChangedTask(begun, directory, taskConfig(learner.task));
    const checkpoint = join(directory, 'checkpoint');
    if (hasCheckpoint(checkpoint)) loadCheckpoint(learner, checkpoint);
    const { environmentSteps } = learner.position;
    const { steps } = config.options;
    if (steps !== begun.options.steps && steps < environmentSteps) {
      throw new UsageError(
        `--steps ${steps}: the run in '${directory}' has made ${environmentSteps} already`,
      );
    }
    written(directory, () => writeConfig(directory, config));
    written(directory, () => endTornLine(join(directory, 'metrics.jsonl')));
    return await run(directory, config, learner, hooks);
  } finally {
    unlock();
  }
}

async function makeLearner({ task, options, seed }: RunConfig, engine: Engine): Promise<Mpdp> {
  return Mpdp.create(await loadTask(task), options, seed, engine);
}

/** A kill may have cut the last line off: what is appended next begins a line of its own. */
function endTornLine(path: string): void {
  if (existsSync(path) && !readFileSync(path, 'utf8').endsWith('\n')) growWhole(path, ['\n']);
}

async function run(directory: string, config: RunConfig, learner: Mpdp, hooks: RunHooks): Promise<RunResult> {
  const { options, seed, preset, lineage } = config;
  const policy = join(directory, 'policy.onnx');
  const checkpoint = join(directory, 'checkpoint');
  const { position } = learner;
  const solved = () =>
    options.stopAtReturn !== null && (position.bestSecondReturn ?? -Infinity) >= options.stopAtReturn;
  const { stop, onStep, onRemark } = hooks;
  const ended = () => solved() || (position.environmentSteps >= options.steps && learner.atRest);
  const drawReport = reporter(directory, onRemark);
  const addEvents = beside(
    "TensorBoard's file cannot be written",
    tensorBoardWriter(directory, position.environmentSteps + 1),
    onRemark,
  );
  if (ended()) onRemark?.(whyEnded(directory, options, position.bestSecondReturn, solved()));
  else if (lineage) {
    onRemark?.(
      'this run holds transitions of the robot: what it collects now is simulation as it is, and differs from them',
    );
  }
  while (!ended() && !stop?.aborted) {
    const line = await stepUnless(learner, stop);
    if (line) {
      remarkOn(line, onRemark);
      written(directory, () => {
        const { mean: selectionReturn, again } = line.evaluation ?? {};
        if (selectionReturn !== undefined && again) {
          learner.keepAsBest(selectionReturn, again.mean);
          const { environmentSteps } = position;
          exportPolicy(policy, learner, {
            seed,
            preset,
            ...lineage,
            environmentSteps,
            return: again.mean,
            selectionReturn,
          });
        }
        growWhole(join(directory, 'metrics.jsonl'), [`${JSON.stringify(line)}\n`]);
        addEvents(line);
        saveCheckpoint(learner, checkpoint);
      });
      drawReport();
    }
    onStep?.(position.environmentSteps, line);
    // Signals are heard only when the event loop turns.
    await setImmediate();
  }
  const interrupted = !ended();
  if (interrupted) written(directory, () => saveCheckpoint(learner, checkpoint));
  const { bestSecondReturn, bestReturn: selectionReturn, environmentSteps, seconds } = position;
  learner.dispose();
  return {
    directory,
    policy: selectionReturn === null ? null : policy,
    return: bestSecondReturn,
    selectionReturn,
    environmentSteps,
    seconds,
    interrupted,
  };
}

/**
 * Writes a part of the run, as long as the directory is this process's; what cannot be written is told with the flag, and
 * how to go on.
 */
function written(directory: string, write: () => void): void {
  if (existsSync(directory) && !holdsLock(directory))
    throw new FarsightError(
      `--out '${directory}' was taken over by another process, or its lock removed: this one leaves it as it is`,
    );
  askedBy('--out', write, `; then go on with --resume --out '${directory}'`);
}

/** Draws the report. */
export function reporter(directory: string, onRemark?: (line: string) => void): () => void {
  return beside('the report cannot be drawn', () => writeReport(directory), onRemark);
}

/** Work that is no reason to end a run: what is wrong with it is said, once. */
function beside<T extends unknown[]>(
  failure: string,
  work: (...given: T) => void,
  onRemark?: (line: string) => void,
): (...given: T) => void {
  let said = '';
  return (...given) => {
    let wrong = '';
    try {
      work(...given);
    } catch (error) {
      wrong = messageOf(error);
    }
    if (wrong !== '' && wrong !== said) onRemark?.(`${failure}, all else goes on: ${wrong}`);
    said = wrong;
  };
}

/** What to say of a run that has nothing to do any more. */
function whyEnded(
  directory: string,
  { steps, stopAtReturn }: Options,
  best: number | null,
  solved: boolean,
): string {
  return solved
    ? `the run in '${directory}' reached its stopAtReturn ${stopAtReturn} with ${best?.toFixed(1)}: --set stopAtReturn=null goes on`
    : `the run in '${directory}' has made its ${steps} steps: a larger --steps goes on`;
}

/** One step of the learner; one that `stop` breaks off is due again. */
async function stepUnless(learner: Mpdp, stop?: AbortSignal): Promise<MetricsLine | undefined> {
  try {
    return await learner.step(stop);
  } catch (error) {
    if (!stop?.aborted) throw error;
    return undefined;
  }
}

/** Says what of a line of metrics was not finite, and was left out. */
function remarkOn(
  { environmentSteps, leftRows = 0, skippedUpdates = 0, refusedTransitions = 0 }: MetricsLine,
  onRemark?: (line: string) => void,
): void {
  const parts = [
    leftRows > 0 && `${leftRows} trajectories and targets`,
    skippedUpdates > 0 && `${skippedUpdates} whole updates`,
    refusedTransitions > 0 && `${refusedTransitions} transitions`,
  ].filter(Boolean);
  if (parts.length > 0)
    onRemark?.(`up to step ${environmentSteps} numbers were not finite: left out ${parts.join(', ')}`);
}
