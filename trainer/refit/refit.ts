// Refit of a run on the real robot's transitions: model before and after, policy improved, gated and written whole.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { asideOf, claim } from '../../contract/asideDirectory.js';
import { FarsightError } from '../../contract/errors.js';
import type { RecordingFile } from '../../contract/recording.js';
import type { Transitions } from '../../contract/transitions.js';
import { delayWeights } from '../mpdp/delayWeights.js';
import type { Episode } from '../mpdp/evaluate.js';
import { Mpdp } from '../mpdp/mpdp.js';
import { bringBack, type Memory, remember, setElites } from '../mpdp/networks.js';
import type { Replay } from '../mpdp/replay.js';
import { loadCheckpoint } from '../run/checkpoint.js';
import { readConfig } from '../run/runConfig.js';
import { loadTask } from '../sim/task.js';
import type { Engine } from '../tensor/engine.js';
import { correctedData } from './correctedData.js';
import { estimateLatency, inForceOn, type Latency, stretchOf } from './latency.js';
import { readParent, returnOfFile, startFromParent } from './parent.js';
import {
  type RealTransitions,
  readRealTransitions,
  replayOf,
  rewardTransitions,
  unrewarded,
} from './realTransitions.js';
import { refuseTaken, writeRun } from './refitDirectory.js';
import { EPISODES, Gate } from './refitGate.js';
import { refitPage } from './refitPage.js';
import type { RefitResult } from './refitResult.js';

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

/** A part of a refit that may take long, beside the updates. */
export interface Work {
  title: string;
  /** At most. */
  total: number;
  unit: string;
}

export interface RefitHooks {
  /** A line for people about what was just found. */
  onRemark?: (line: string) => void;
  onProgress?: (work: Work, done: number) => void;
  /** Of both kinds: as many of the critic alone come before those that were asked for. */
  onUpdate?: (updates: number) => void;
  /** Ends the refit with its reason; nothing is written. */
  stop?: AbortSignal;
}

/** The newest share of the real transitions: the model is judged on it and never sees it. */
const HELD_OUT = 0.2;
/** Fewer real transitions than this say nothing. */
const FEWEST = 50;
/** Minibatches that the model's training may take at least, if it gets better so long. */
const MODEL_UPDATES = 2000;
/** How often the return is looked at during the updates. */
const LOOKS = 5;
/** Returns that differ by this share are the same. */
const SAME = 0.01;

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
  const aside = asideOf(request.out);
  const unlock = claim(request.out, refuseTaken);
  try {
    return await refitInto(aside, request, engine, hooks);
  } finally {
    rmSync(aside, { recursive: true, force: true });
    unlock();
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
  const real = await readRealTransitions(request.data, task, hooks.stop);
  const known = config.lineage?.datasets ?? [];
  refuseUnusable(request, real, known);
  const boots = [...new Set(real.files.map(({ robot, boot }) => `${robot} ${boot}`))];
  hooks.onRemark?.(`${boots.length} recorded runs, the newest ${boots.at(-1)}`);

  const { stop } = hooks;
  const progressOf = (title: string, total: number, unit: string) => (done: number) =>
    hooks.onProgress?.({ title, total, unit }, done);
  // Other data have other scales, at which the model must find itself again: few minibatches would leave it worse.
  const modelUpdatesMax = Math.max(MODEL_UPDATES, config.options.modelUpdatesMax);
  let learner = await Mpdp.create(task, { ...config.options, modelUpdatesMax }, config.seed, engine);
  try {
    loadCheckpoint(learner, join(request.from, 'checkpoint'));
    if (learner.position.modelFit === null) {
      throw new FarsightError(`'${request.from}' has not trained its model yet: go on with train --resume`);
    }
    startFromParent(learner, parent, request.from);
    const latency = await latencyOf(learner, real.recorded, hooks);
    hooks.onRemark?.(latencyText(latency));
    const supposed = config.options.commandDelay;
    const delay = latency ? (latency.applied ? latency.seconds * task.controlRate : 0) : supposed;
    const history = Math.max(...[delay, supposed].map((one) => delayWeights(one).length - 1));
    const shifted = async (by: number) =>
      (await rewardTransitions(inForceOn(real.recorded, delayWeights(by), history), task, stop)).transitions;
    const transitions = await shifted(delay);
    refuseFew(request, transitions.length, real);
    const heldOutFrom = Math.ceil(transitions.length * (1 - HELD_OUT));
    const training = transitions.slice(0, heldOutFrom);
    const heldOut = replayOf(task, transitions.slice(heldOutFrom));
    // The same ones as the run's own model has them.
    const heldOutBefore = replayOf(task, (await shifted(supposed)).slice(heldOutFrom));
    hooks.onRemark?.(`${training.length} real transitions to learn from, ${heldOut.size} held out`);

    const onEpisode = progressOf('return in simulation', EPISODES, 'episodes');
    const returnBefore = await returnOfFile(parent, task, { onEpisode, stop });
    hooks.onRemark?.(`return of the run's policy in simulation ${returnBefore.toFixed(1)}`);
    const modelBefore = await learner.dynamics.check(heldOutBefore, everyIndex(heldOutBefore), stop);
    if (delay !== supposed) learner = await delayed(learner, delay, engine);
    const { position } = learner;

    // Simulation as it is would contradict the robot wherever the two differ, and the recordings alone cover too little.
    const learned = replayOf(task, training);
    const { residuals } = await learner.dynamics.check(learned, everyIndex(learned), stop);
    const onRow = progressOf('correction', learner.replay.size, 'transitions');
    const correction = { simulated: learner.replay, real: training, learned, residuals };
    const data = await correctedData(task, correction, { onRow, stop });
    learner.replay.takeOver(data);
    position.environmentSteps += training.length;
    position.measuredAt = position.environmentSteps;
    hooks.onRemark?.('the model is fitted to both …');
    const onUpdate = progressOf('model', modelUpdatesMax, 'minibatches');
    await learner.trainModel(learner.replay, { onUpdate, stop });
    const modelAfter = await learner.dynamics.check(heldOut, everyIndex(heldOut), stop);
    hooks.onRemark?.(
      `model error on held-out transitions ${modelBefore.error.toPrecision(3)} → ${modelAfter.error.toPrecision(3)}`,
    );
    const gate = await Gate.open(engine, learner, returnBefore, hooks);
    const { line, accepted, updates, inModel } = await improve(learner, request.updates, gate, hooks);
    const returnAfter = line.evaluation.mean;
    const seconds = (performance.now() - began) / 1000;
    position.seconds += seconds;
    line.seconds = position.seconds;
    if (accepted) learner.keepAsBest(returnAfter, returnAfter);
    else learner.forgetBest();
    const result: RefitResult = {
      directory: request.out,
      policy: join(request.out, accepted ? 'policy.onnx' : 'policy.rejected.onnx'),
      accepted,
      transitions: { training: training.length, heldOut: heldOut.size },
      skipped: real.skipped,
      latency: latency ?? null,
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
    await setImmediate();
    const page = refitPage(result, task, heldOut, modelBefore.residuals, modelAfter.residuals);
    const newConfig = { ...config, options: { ...config.options, commandDelay: delay } };
    const { from, out } = request;
    const run = { config: newConfig, learner, line, result, page, parent: parent.manifest };
    await writeRun({ aside, from, out }, run, hooks);
    return result;
  } finally {
    learner.dispose();
  }
}

/** By the model of `learner`, on all but the held-out share of what was recorded. */
function latencyOf(
  learner: Mpdp,
  recorded: Transitions,
  { onProgress, stop }: RefitHooks,
): Promise<Latency | undefined> {
  const { task, dynamics } = learner;
  const older = stretchOf(recorded, 0, Math.ceil(recorded.count * (1 - HELD_OUT)));
  const residuals = async (rows: Transitions) => {
    const replay = unrewarded(rows, task);
    return (await dynamics.check(replay, everyIndex(replay), stop)).residuals;
  };
  const onShift = (done: number, total: number) =>
    onProgress?.({ title: 'latency', total, unit: 'shifts' }, done);
  return estimateLatency(older, 1 / task.controlRate, residuals, { onShift, stop });
}

function latencyText(latency: Latency | undefined): string {
  if (!latency) return 'latency unknown: too few transitions follow one another';
  const [text, low, high] = [latency.seconds, ...latency.interval].map((s) => (1000 * s).toFixed(1));
  const use = latency.applied ? 'planned with' : 'not long and sure enough to be planned with';
  return `latency from command to effect ${text} ms (${low} to ${high}): ${use}`;
}

/** The same learner, which plans with commands that take effect `delay` control periods late. */
async function delayed(learner: Mpdp, delay: number, engine: Engine): Promise<Mpdp> {
  const options = { ...learner.options, commandDelay: delay };
  const next = await Mpdp.create(learner.task, options, learner.seed, engine);
  for (const part of ['model', 'policies'] as const)
    bringBack(next.agent, part, remember(learner.agent, part));
  setElites(next.agent, learner.agent.elites);
  next.replay.takeOver(learner.replay);
  next.random.restore(learner.random.save());
  next.world.restore(learner.world.save());
  next.observation.set(learner.observation);
  next.restore(learner.position);
  next.startStates?.empty();
  next.best = learner.best;
  learner.dispose();
  return next;
}

function everyIndex({ size }: Replay): Int32Array {
  return Int32Array.from({ length: size }, (_, i) => i);
}

/** Of column `column` of rows of `width`. */
function meanAbsolute(values: Float64Array, column: number, width: number): number {
  let sum = 0;
  for (let i = column; i < values.length; i += width) sum += Math.abs(values[i]);
  return sum / (values.length / width);
}

/**
 * Updates the critic alone, so that it judges the robot that the model is fitted to before a policy follows it; then
 * critic and policies, stopping on the way to see whether they still pass the gate. Of those that did, the best in the
 * model are taken, and of equal ones the newest; when there are none, the last ones stand and are not accepted.
 */
async function improve(learner: Mpdp, asked: number, gate: Gate, { onUpdate, stop }: RefitHooks) {
  let passed: (Passed & { updates: number; episodes: Episode[]; memory: Memory }) | undefined;
  let seen: Passed | undefined;
  for (let done = 1; done <= asked; done++) {
    stop?.throwIfAborted();
    await learner.updateCritic();
    await setImmediate();
    onUpdate?.(done);
  }
  let line = learner.measure(null);
  for (let done = 1; done <= asked; done++) {
    stop?.throwIfAborted();
    await learner.update();
    await setImmediate();
    onUpdate?.(asked + done);
    if (done < asked && done % Math.ceil(asked / LOOKS) !== 0) continue;
    line = learner.measure(null);
    seen = await gate.look(learner, stop);
    const { agent, evaluated: episodes } = learner;
    const best = passed?.inModel.mean ?? Number.NEGATIVE_INFINITY;
    if (seen.passes && seen.inModel.mean >= best - SAME * Math.abs(best))
      passed = { ...seen, episodes, updates: done, memory: remember(agent, 'policies') };
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

/** Throws when there is too little to learn from, or a recording that the run has learned from already. */
function refuseUnusable({ from, data }: RefitRequest, real: RealTransitions, known: string[]): void {
  const again = real.files.find((file: RecordingFile) => known.includes(file.sha256));
  if (again) {
    throw new FarsightError(
      `recording '${again.path}': '${from}' was refitted on it already; give --data only new recordings, or refit the run before it on all`,
    );
  }
  refuseFew({ data }, real.transitions.length, real);
}

function refuseFew({ data }: Pick<RefitRequest, 'data'>, length: number, real: RealTransitions): void {
  if (length < FEWEST) {
    const skipped = Object.entries(real.skipped)
      .map(([reason, count]) => `${reason} ${count}`)
      .join(', ');
    throw new FarsightError(
      `--data '${data}' gives ${length} transitions, refit wants ${FEWEST} at least (skipped: ${skipped}); record for longer`,
    );
  }
}
