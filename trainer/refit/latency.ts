// How late commands take effect on the robot: the shift between commands and observations that explains its recordings best.
import type { Transitions } from '../../contract/transitions.js';
import { delayWeights, mixed } from '../mpdp/delayWeights.js';
import { LONGEST_DELAY } from '../mpdp/options.js';
import { Random } from '../random.js';
import { quantile } from '../report/statistics.js';
import { Turns } from '../turns.js';
import { predictLinear, ridgeRegression, type Sums, sumsOver, total } from './ridge.js';

export interface Latency {
  /** Seconds from a command to its effect in what is observed: of actuators, sensors and all between. */
  seconds: number;
  /** Its 2.5 % and 97.5 % quantiles over resampled stretches of the recording. */
  interval: [low: number, high: number];
  /** The part of it that sensors' stamps tell: mean age of what the policy saw, seconds. */
  sensorAge: number;
  /** Each shift that was tried, and the squared error that it leaves, 1 being the variance of what changed. */
  scores: { seconds: number; error: number }[];
  /** Whether it is so long, and so sure, that the refit plans with it. */
  applied: boolean;
}

/** Shifts that are tried, in control periods: over all, then around the best of them. */
const COARSE = 0.25;
const FINE = 0.05;
/** Of the second kind: those between the best of the first kind and its two neighbours. */
const FINE_SHIFTS = 2 * (COARSE / FINE - 1);
/** In folds of the recording, each judged by what the others taught. */
const FOLDS = 5;
const RIDGE = 1;
/** Rows of a stretch that is resampled as a whole. */
const STRETCH = 20;
const RESAMPLES = 500;
/** Control periods; a shorter latency is left to the model. */
const SHORTEST = 0.1;
/** Fewer rows say nothing, and more, of which the newest are taken, nothing new. */
const FEWEST = 50;
const MOST = 10_000;

/** What the model leaves of rows: next observation less the predicted one, `[rows, n]`. */
export type Residuals = (rows: Transitions) => Promise<Float64Array>;

export interface LatencyHooks {
  /** After each shift that was tried; `total` of them at most. */
  onShift?: (done: number, total: number) => void;
  /** Its reason is thrown when it aborts. */
  stop?: AbortSignal;
}

/**
 * Tries shifts of up to three control periods. What the model leaves of the robot's transitions under shifted commands is
 * regressed on observation and command, so that a robot that is heavier or weaker than the model is not taken for a late
 * one, and each fold of the recording is judged by the others. Undefined where too few transitions follow one another.
 *
 * @param period of the policy, seconds
 */
export async function estimateLatency(
  all: Transitions,
  period: number,
  residuals: Residuals,
  { onShift, stop }: LatencyHooks = {},
): Promise<Latency | undefined> {
  const turns = new Turns(stop);
  const recorded = stretchOf(all, Math.max(0, all.count - MOST), all.count);
  let longest = LONGEST_DELAY;
  while (longest > 0 && inForceOn(recorded, [1], longest).count < FEWEST) longest--;
  if (longest === 0) return undefined;
  const sent = inForceOn(recorded, [1], longest);
  const { count } = sent;
  const judged = await judgedOf(sent, turns);
  const stretches = Math.ceil(count / STRETCH);
  const rowsOf = new Float64Array(stretches).fill(STRETCH);
  rowsOf[stretches - 1] = count - (stretches - 1) * STRETCH;
  /** Of each shift: the errors of a stretch, added up. */
  const tried = new Map<number, Float64Array>();
  const shifts = longest / COARSE + 1 + FINE_SHIFTS;
  const attempt = async (delay: number) => {
    const rows = inForceOn(recorded, delayWeights(delay), longest);
    await turns.pass();
    const errors = await errorsOf(judged, rows.action, await residuals(rows), turns);
    const sums = new Float64Array(stretches);
    for (const [i, error] of errors.entries()) sums[Math.floor(i / STRETCH)] += error;
    tried.set(delay, sums);
    onShift?.(tried.size, shifts);
  };
  const best = (times: Float64Array) => {
    const rows = dot(times, rowsOf);
    const curve = [...tried].map(([delay, sums]) => [delay, dot(times, sums) / rows] as const);
    return lowest(curve.sort(([a], [b]) => a - b));
  };
  const once = new Float64Array(stretches).fill(1);
  for (let i = 0; i <= longest / COARSE; i++) await attempt(i * COARSE);
  const coarse = Math.round(best(once) / COARSE);
  for (let i = 1; i < (2 * COARSE) / FINE; i++) {
    const delay = Math.round((coarse - 1) * (COARSE / FINE) + i) * FINE;
    if (delay > 0 && delay < longest && i % (COARSE / FINE) !== 0) await attempt(delay);
  }
  onShift?.(shifts, shifts);
  const random = new Random(1);
  const resampled: number[] = [];
  while (resampled.length < RESAMPLES) {
    resampled.push(best(drawn(stretches, random)));
    await turns.pass();
  }
  const interval = [0.025, 0.975].map((share) => quantile(resampled, share)) as [number, number];
  const delay = best(once);
  return {
    seconds: delay * period,
    interval: [interval[0] * period, interval[1] * period],
    sensorAge: recorded.sensorAge.reduce((sum, age) => sum + age / recorded.count, 0),
    scores: [...tried]
      .map(([shift, sums]) => ({ seconds: shift * period, error: dot(once, sums) / count }))
      .sort((a, b) => a.seconds - b.seconds),
    applied: delay >= SHORTEST && interval[0] > 0,
  };
}

/** Those from `from` up to, but without, `to`. */
export function stretchOf(recorded: Transitions, from: number, to: number): Transitions {
  const share = (all: Float32Array) => {
    const width = all.length / recorded.count;
    return all.subarray(from * width, to * width);
  };
  // What the first one follows is not there.
  const follows = recorded.follows.slice(from, to).fill(0, 0, 1);
  return {
    count: to - from,
    observation: share(recorded.observation),
    action: share(recorded.action),
    nextObservation: share(recorded.nextObservation),
    terminal: share(recorded.terminal),
    follows,
    sensorAge: share(recorded.sensorAge),
  };
}

/**
 * The transitions that at least `history` others lead up to without a break, each with what was in force instead of the
 * command that was sent: `weights` mixes the commands of its step, of the step before, and so on.
 */
export function inForceOn(
  recorded: Transitions,
  weights: readonly number[],
  history = weights.length - 1,
): Transitions {
  const kept: number[] = [];
  for (let i = 0, before = 0; i < recorded.count; i++) {
    before = recorded.follows[i] ? before + 1 : 0;
    if (before >= history) kept.push(i);
  }
  const [n, m] = [recorded.observation, recorded.action].map((all) => all.length / recorded.count);
  const pick = (all: Float32Array, width: number) => {
    const out = new Float32Array(kept.length * width);
    for (const [to, i] of kept.entries()) out.set(all.subarray(i * width, (i + 1) * width), to * width);
    return out;
  };
  const action = new Float32Array(kept.length * m);
  for (const [to, i] of kept.entries()) {
    const sent = weights.map((_, k) => recorded.action.subarray((i - k) * m, (i - k + 1) * m));
    action.set(mixed(weights, sent), to * m);
  }
  return {
    count: kept.length,
    observation: pick(recorded.observation, n),
    action,
    nextObservation: pick(recorded.nextObservation, n),
    terminal: pick(recorded.terminal, 1),
    follows: Uint8Array.from(kept, (i, to) =>
      Number(to > 0 && kept[to - 1] === i - 1 && recorded.follows[i]),
    ),
    sensorAge: pick(recorded.sensorAge, 1),
  };
}

/** What all shifts have in common. */
interface Judged {
  /** Of each row: the observation, standardised, room for the action, and 1. */
  inputs: Float64Array[];
  /** Of each dimension of the observation's change. */
  variance: number[];
}

async function judgedOf({ count, ...rows }: Transitions, turns: Turns): Promise<Judged> {
  const [n, m] = [rows.observation, rows.action].map((all) => all.length / count);
  const inputs: Float64Array[] = [];
  const changes: Float64Array[] = [];
  for (let i = 0; i < count; i++) {
    const [input, change] = [new Float64Array(n + m + 1), new Float64Array(n)];
    for (let d = 0; d < n; d++) {
      input[d] = rows.observation[i * n + d];
      change[d] = rows.nextObservation[i * n + d] - input[d];
    }
    input[n + m] = 1;
    inputs.push(input);
    changes.push(change);
    await turns.pass();
  }
  await standardize(inputs, 0, n, turns);
  return { inputs, variance: (await standardize(changes, 0, n, turns)).map((sd) => sd ** 2) };
}

/** Of every row: mean square of what a regression of the other folds leaves, in variances of the observation's change. */
async function errorsOf(
  { inputs, variance }: Judged,
  action: Float32Array,
  residuals: Float64Array,
  turns: Turns,
): Promise<Float64Array> {
  const count = inputs.length;
  const n = variance.length;
  const m = action.length / count;
  for (const [i, input] of inputs.entries()) input.set(action.subarray(i * m, (i + 1) * m), n);
  await standardize(inputs, n, n + m, turns);
  const outputs = Array.from({ length: count }, (_, i) => residuals.subarray(i * n, (i + 1) * n));
  const folds = Array.from({ length: FOLDS }, (_, fold) =>
    [fold, fold + 1].map((at) => Math.floor((at * count) / FOLDS)),
  );
  const sums: Sums[] = [];
  for (const [from, to] of folds) sums.push(await sumsOver(inputs, outputs, from, to, turns));
  const errors = new Float64Array(count);
  for (const [fold, [from, to]] of folds.entries()) {
    const weights = ridgeRegression(total(sums.toSpliced(fold, 1)), RIDGE);
    for (let i = from; i < to; i++) {
      const guess = predictLinear(weights, inputs[i]);
      for (let d = 0; d < n; d++) errors[i] += (outputs[i][d] - guess[d]) ** 2 / variance[d] / n;
      await turns.pass();
    }
  }
  return errors;
}

/** Gives the columns from `from` up to, but without, `to` mean 0 and deviation 1, in place; returns what those were. */
async function standardize(
  rows: readonly Float64Array[],
  from: number,
  to: number,
  turns: Turns,
): Promise<number[]> {
  const deviations: number[] = [];
  for (let d = from; d < to; d++) {
    const mean = rows.reduce((sum, row) => sum + row[d] / rows.length, 0);
    const sd = Math.sqrt(rows.reduce((sum, row) => sum + (row[d] - mean) ** 2 / rows.length, 0)) || 1;
    for (const row of rows) row[d] = (row[d] - mean) / sd;
    deviations.push(sd);
    await turns.pass();
  }
  return deviations;
}

/** Where a curve of points in ascending order is lowest: by the parabola through the lowest point and its neighbours. */
function lowest(curve: (readonly [x: number, y: number])[]): number {
  const at = curve.reduce((least, [, y], i) => (y < curve[least][1] ? i : least), 0);
  if (at === 0 || at === curve.length - 1) return curve[at][0];
  const [[x0, y0], [x1, y1], [x2, y2]] = curve.slice(at - 1, at + 2);
  const [left, right] = [(y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)];
  return (x0 + x1) / 2 - (left * (x2 - x0)) / (2 * (right - left));
}

/** How often each of `count` stretches is in a sample of as many, drawn with replacement. */
function drawn(count: number, random: Random): Float64Array {
  const times = new Float64Array(count);
  for (let i = 0; i < count; i++) times[random.integer(count)]++;
  return times;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
