// Refit of a run on the real robot's transitions: model before and after, policy improved, gated and written whole.
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { makeDirectory } from '../../contract/directory.js';
import { LOCK_FILE, lockDirectory } from '../../contract/directoryLock.js';
import { FarsightError, messageOf } from '../../contract/errors.js';
import type { Manifest } from '../../contract/manifest.js';
import { INPUT, OUTPUT, type PolicyFile, readPolicyFile } from '../../contract/policyFile.js';
import type { RecordingFile } from '../../contract/recording.js';
import { interfaceDifference } from '../../contract/terms.js';
import { writeWhole } from '../../contract/wholeFile.js';
import { type Episode, evaluate } from '../mpdp/evaluate.js';
import { Mpdp } from '../mpdp/mpdp.js';
import { bringBack, type Memory, remember } from '../mpdp/networks.js';
import type { Replay } from '../mpdp/replay.js';
import { type MetricsLine, readMetrics } from '../report/metrics.js';
import { loadCheckpoint, saveCheckpoint } from '../run/checkpoint.js';
import { exportPolicy } from '../run/export.js';
import { type RunConfig, readConfig, writeConfig } from '../run/runConfig.js';
import { reporter } from '../run/train.js';
import { loadTask, type Task, taskInterface } from '../sim/task.js';
import { World } from '../sim/world.js';
import type { Engine } from '../tensor/engine.js';
import { correctedData } from './correctedData.js';
import type { ModelReturn } from './modelReturn.js';
import { type RealTransitions, readRealTransitions, replayOf } from './realTransitions.js';
import { EPISODES, EVALUATION_SEED, Gate } from './refitGate.js';

export interface RefitRequest {
  /** Directory of the run to refit; it is only read. */
  from: string;
  /** A recording, or a directory of recordings. */
  data: string;
  /** Directory of the new run; absent or empty. */
  out: string;
  /** Updates of critic and policies. */
  updates: number;
}

export interface RefitHooks {
  /** A line for people about what was just found. */
  onRemark?: (line: string) => void;
  onUpdate?: (updates: number) => void;
  /** Ends the refit with its reason; nothing is written. */
  stop?: AbortSignal;
}

interface Change<T = number> {
  before: T;
  after: T;
}

/** What refit.json holds and `farsight refit --json` prints. */
export interface RefitResult {
  directory: string;
  /** policy.onnx, or policy.rejected.onnx. */
  policy: string;
  accepted: boolean;
  transitions: { training: number; heldOut: number };
  skipped: RealTransitions['skipped'];
  /** Those that made the policy: all that were asked for, or fewer when later ones lost the return. */
  updates: number;
  /** Mean L2 distance of predicted and real next observation on the held-out real transitions, in task units. */
  modelError: Change;
  /** Mean absolute error of each term of the observation there. */
  termErrors: (Change & { term: string })[];
  /** Mean return in simulation, over the same start states: of the parent's file, and of the new policy. */
  return: Change;
  /** The same in the model fitted to the robot, where `sd` is between its members. */
  returnInModel: Change<ModelReturn>;
  /** SHA-256 of each recording that the new policy was refined on, those of the parent's lineage first. */
  datasets: string[];
  /** SHA-256 of the parent's policy.onnx. */
  parent: string;
  seconds: number;
}

/** The newest share of the real transitions: the model is judged on it and never sees it. */
const HELD_OUT = 0.2;
/** Fewer real transitions than this say nothing. */
const FEWEST = 50;
/** How often the return is looked at during the updates. */
const LOOKS = 5;

/**
 * Refits the run `from` on real transitions and improves its policy into the new run `out`, which appears at the end
 * as a whole: whatever ends this sooner leaves no `out`, and `from` as it was. Throws a `FarsightError` when either
 * directory or the recording cannot be used.
 */
export async function refit(
  request: RefitRequest,
  engine: Engine,
  hooks: RefitHooks = {},
): Promise<RefitResult> {
  refuseTaken(request.out);
  const aside = `${request.out.replace(/\/+$/, '')}.partial`;
  const unlock = claim(aside, request.out);
  try {
    return await refitInto(aside, request, engine, hooks);
  } finally {
    rmSync(aside, { recursive: true, force: true });
    unlock();
  }
}

/** Makes the directory that becomes `out` at the end, for this process alone. Returns how to let it go. */
function claim(aside: string, out: string): () => void {
  try {
    makeDirectory(aside);
  } catch (error) {
    throw new FarsightError(`--out '${out}' cannot be written: ${messageOf(error)}`);
  }
  const unlock = lockDirectory(aside, `--out '${out}'`);
  try {
    // Someone else may have been there meanwhile, or a killed one.
    refuseTaken(out);
    for (const name of readdirSync(aside)) {
      if (name !== LOCK_FILE) rmSync(join(aside, name), { recursive: true });
    }
    return unlock;
  } catch (error) {
    unlock();
    throw error;
  }
}

async function refitInto(
  aside: string,
  request: RefitRequest,
  engine: Engine,
  hooks: RefitHooks,
): Promise<RefitResult> {
  const began = performance.now();
  const config = readConfig(request.from);
  const task = await loadTask(config.task);
  const parent = readParent(request.from, config, task);
  const real = await readRealTransitions(request.data, task);
  const known = config.lineage?.datasets ?? [];
  refuseUnusable(request, real, known);
  const heldOutFrom = Math.ceil(real.transitions.length * (1 - HELD_OUT));
  const training = real.transitions.slice(0, heldOutFrom);
  const heldOut = replayOf(task, real.transitions.slice(heldOutFrom));
  const boots = [...new Set(real.files.map(({ robot, boot }) => `${robot} ${boot}`))];
  hooks.onRemark?.(`${boots.length} recorded runs, the newest ${boots.at(-1)}`);
  hooks.onRemark?.(`${training.length} real transitions to learn from, ${heldOut.size} held out`);

  const learner = await Mpdp.create(task, config.options, config.seed, engine);
  try {
    loadCheckpoint(learner, join(request.from, 'checkpoint'));
    const { position } = learner;
    if (position.modelFit === null) {
      throw new FarsightError(`'${request.from}' has not trained its model yet: go on with train --resume`);
    }
    startFromParent(learner, parent, request.from);
    const returnBefore = await returnOfFile(parent, task, hooks.stop);
    hooks.onRemark?.(`return of the run's policy in simulation ${returnBefore.toFixed(1)}`);
    const modelBefore = await learner.dynamics.check(heldOut, everyIndex(heldOut));

    // Simulation as it is would contradict the robot wherever the two differ, and the recordings alone cover too little.
    const learned = replayOf(task, training);
    const { residuals } = await learner.dynamics.check(learned, everyIndex(learned));
    learner.replay.takeOver(await correctedData(task, learner.replay, training, learned, residuals));
    position.environmentSteps += training.length;
    position.measuredAt = position.environmentSteps;
    await learner.trainModel(learner.replay, hooks.stop);
    const modelAfter = await learner.dynamics.check(heldOut, everyIndex(heldOut));
    hooks.onRemark?.(
      `model error on held-out transitions ${modelBefore.error.toPrecision(3)} → ${modelAfter.error.toPrecision(3)}`,
    );
    const gate = await Gate.open(engine, learner, returnBefore, hooks);
    const { line, accepted, updates, inModel } = await improve(learner, request.updates, gate, hooks);
    const returnAfter = line.evaluation.mean;
    const seconds = (performance.now() - began) / 1000;
    position.seconds += seconds;
    line.seconds = position.seconds;
    if (accepted) learner.keepAsBest(returnAfter);
    else learner.forgetBest();
    const result: RefitResult = {
      directory: request.out,
      policy: join(request.out, accepted ? 'policy.onnx' : 'policy.rejected.onnx'),
      accepted,
      transitions: { training: training.length, heldOut: heldOut.size },
      skipped: real.skipped,
      updates,
      modelError: { before: modelBefore.error, after: modelAfter.error },
      termErrors: task.observation.map(({ kind, joint }, i) => ({
        term: `${joint} ${kind}`,
        before: meanAbsolute(modelBefore.residuals, i, task.observation.length),
        after: meanAbsolute(modelAfter.residuals, i, task.observation.length),
      })),
      return: { before: returnBefore, after: returnAfter },
      returnInModel: { before: gate.before, after: inModel },
      datasets: [...known, ...real.files.map((file) => file.sha256)],
      parent: parent.sha256,
      seconds,
    };
    writeRun(aside, request, config, learner, line, result, parent.manifest, hooks.onRemark);
    return result;
  } finally {
    learner.dispose();
  }
}

function everyIndex({ size }: Replay): Int32Array {
  return Int32Array.from({ length: size }, (_, i) => i);
}

/** Of column `column` of rows of `width`. */
function meanAbsolute(values: Float64Array, column: number, width: number): number {
  const own = values.filter((_, i) => i % width === column);
  return own.reduce((sum, value) => sum + Math.abs(value), 0) / own.length;
}

/**
 * Goes back from the run's last checkpoint to the networks of its best evaluation: those of the policy file that the
 * new policy names as its parent, and is compared with.
 */
function startFromParent({ agent, best, position }: Mpdp, { manifest }: PolicyFile, from: string): void {
  const { environmentSteps } = manifest.provenance;
  if (!best || position.bestAt !== environmentSteps) {
    throw new FarsightError(
      `'${from}': policy.onnx is of step ${environmentSteps}, the best policy of its checkpoint of step ${position.bestAt}: go on with train --resume, or bring the file back`,
    );
  }
  bringBack(agent, 'policies', best);
}

/**
 * Updates critic and policies, and stops on the way to see whether they still pass the gate. If not the newest that did
 * are taken back; when there are none, the last ones stand and are not accepted.
 */
async function improve(learner: Mpdp, asked: number, gate: Gate, { onUpdate, stop }: RefitHooks) {
  let passed: (Passed & { updates: number; episodes: Episode[]; memory: Memory }) | undefined;
  let seen: Passed | undefined;
  let line = learner.measure(null);
  for (let done = 1; done <= asked; done++) {
    stop?.throwIfAborted();
    await learner.update();
    await setImmediate();
    onUpdate?.(done);
    if (done < asked && done % Math.ceil(asked / LOOKS) !== 0) continue;
    line = learner.measure(null);
    seen = await gate.look(learner, stop);
    const { agent, evaluated: episodes } = learner;
    if (seen.passes) passed = { ...seen, episodes, updates: done, memory: remember(agent, 'policies') };
  }
  if (passed) {
    bringBack(learner.agent, 'policies', passed.memory);
    learner.evaluated = passed.episodes;
  }
  const { evaluation, inModel } = passed ?? seen!;
  return {
    line: { ...line, evaluation },
    accepted: passed !== undefined,
    updates: passed?.updates ?? asked,
    inModel,
  };
}
type Passed = Awaited<ReturnType<Gate['look']>>;

/** Throws when `out` is not free: a new run never mixes with what is there. */
function refuseTaken(out: string): void {
  const found = statSync(out, { throwIfNoEntry: false });
  if (!found) return;
  if (existsSync(join(out, 'config.json'))) {
    throw new FarsightError(`--out '${out}' holds a run already: choose another directory`);
  }
  if (!found.isDirectory() || readdirSync(out).length > 0) {
    throw new FarsightError(`--out '${out}' exists and is not an empty directory: choose another`);
  }
}

function readParent(from: string, { options }: RunConfig, task: Task): PolicyFile {
  const path = join(from, 'policy.onnx');
  if (!existsSync(path)) {
    const why = existsSync(join(from, 'policy.rejected.onnx'))
      ? `its refit was rejected; refit the run before it, or train this one on: farsight train --resume --out '${from}' --steps ${stepsDone(from) + options.evaluateEvery}`
      : 'go on with train --resume until its first evaluation';
    throw new FarsightError(`--from '${from}' has no policy.onnx: ${why}`);
  }
  const parent = readPolicyFile(path, task.name);
  const difference = interfaceDifference(parent.manifest, taskInterface(task));
  if (difference)
    throw new FarsightError(`policy '${path}': ${difference}; was the task changed since the export?`);
  return parent;
}

/** Environment steps of a run so far. */
function stepsDone(run: string): number {
  return readMetrics(join(run, 'metrics.jsonl')).at(-1)?.environmentSteps ?? 0;
}

/** Throws when there is too little to learn from, or a recording that the run has learned from already. */
function refuseUnusable({ from, data }: RefitRequest, real: RealTransitions, known: string[]): void {
  const again = real.files.find((file: RecordingFile) => known.includes(file.sha256));
  if (again) {
    throw new FarsightError(
      `recording '${again.path}': '${from}' was refitted on it already; give --data only new recordings, or refit the run before it on all`,
    );
  }
  const { length } = real.transitions;
  if (length < FEWEST) {
    const skipped = Object.entries(real.skipped)
      .map(([reason, count]) => `${reason} ${count}`)
      .join(', ');
    throw new FarsightError(
      `--data '${data}' gives ${length} transitions, refit wants ${FEWEST} at least (skipped: ${skipped}); record for longer`,
    );
  }
}

/** Mean return in simulation of a policy file as it is. */
async function returnOfFile({ bytes }: PolicyFile, task: Task, stop?: AbortSignal): Promise<number> {
  const world = await World.create(task);
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  try {
    const act = async (observation: Float32Array) => {
      const input = new Tensor('float32', observation, [1, observation.length]);
      return (await session.run({ [INPUT]: input }))[OUTPUT].data as Float32Array;
    };
    return (await evaluate(world, act, EPISODES, EVALUATION_SEED, { stop })).mean;
  } finally {
    await session.release();
    world.dispose();
  }
}

/** Writes the new run into `aside`, then moves it to its place. */
function writeRun(
  aside: string,
  { from, out }: RefitRequest,
  config: RunConfig,
  learner: Mpdp,
  line: MetricsLine,
  result: RefitResult,
  parent: Manifest,
  onRemark?: (line: string) => void,
): void {
  const lineage = { datasets: result.datasets, parent: result.parent };
  const { seed, preset } = config;
  const { environmentSteps } = learner.position;
  try {
    const drawReport = reporter(aside, onRemark);
    writeConfig(aside, { ...config, task: learner.task.source, lineage });
    const earlier = readMetrics(join(from, 'metrics.jsonl')).filter(
      (old) => old.environmentSteps <= environmentSteps - result.transitions.training,
    );
    const lines = [...earlier, line].map((one) => `${JSON.stringify(one)}\n`);
    writeWhole(join(aside, 'metrics.jsonl'), ...lines);
    saveCheckpoint(learner, join(aside, 'checkpoint'));
    exportPolicy(
      join(aside, result.accepted ? 'policy.onnx' : 'policy.rejected.onnx'),
      learner,
      { seed, preset, environmentSteps, return: result.return.after, ...lineage },
      parent,
    );
    writeWhole(join(aside, 'refit.json'), `${JSON.stringify(result, null, 2)}\n`);
    drawReport();
    rmSync(join(aside, LOCK_FILE));
    renameSync(aside, out);
  } catch (error) {
    throw new FarsightError(`--out '${out}': ${messageOf(error)}`);
  }
}
