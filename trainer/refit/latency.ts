// How late commands take effect on the robot: the shift between commands and observations that explains its recordings best.
import type { Transitions } from '../../contract/transitions.js';
import { delayWeights, mixed } from '../mpdp/commandDelay.js';
import { LONGEST_DELAY } from '../mpdp/options.js';
import { Random } from '../random.js';
import { quantile } from '../report/statistics.js';
import { predictLinear, ridgeRegression } from './simulationGap.js';

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
): Promise<Latency | undefined> {
  const recorded = stretchOf(all, Math.max(0, all.count - MOST), all.count);
  let longest = LONGEST_DELAY;
  while (longest > 0 && inForceOn(recorded, [1], longest).count < FEWEST) longest--;
  if (longest === 0) return undefined;
  const tried = new Map<number, Float64Array>();
  const attempt = async (delay: number) => {
    const rows = inForceOn(recorded, delayWeights(delay), longest);
    tried.set(delay, errorsOf(rows, await residuals(rows)));
  };
  const once = new Float64Array(inForceOn(recorded, [1], longest).count).fill(1);
  const best = (weights: Float64Array) => {
    const curve = [...tried].map(([delay, errors]) => [delay, weightedMean(errors, weights)] as const);
    return lowest(curve.sort(([a], [b]) => a - b));
  };
  for (let i = 0; i <= longest / COARSE; i++) await attempt(i * COARSE);
  const coarse = Math.round(best(once) / COARSE);
  for (let i = 1; i < (2 * COARSE) / FINE; i++) {
    const delay = Math.round((coarse - 1) * (COARSE / FINE) + i) * FINE;
    if (delay > 0 && delay < longest && i % (COARSE / FINE) !== 0) await attempt(delay);
  }
  const random = new Random(1);
  const resampled = Array.from({ length: RESAMPLES }, () => best(stretches(once.length, random)));
  const interval = [0.025, 0.975].map((share) => quantile(resampled, share)) as [number, number];
  const delay = best(once);
  return {
    seconds: delay * period,
    interval: [interval[0] * period, interval[1] * period],
    sensorAge: recorded.sensorAge.reduce((sum, age) => sum + age / recorded.count, 0),
    scores: [...tried]
      .map(([shift, errors]) => ({ seconds: shift * period, error: weightedMean(errors, once) }))
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

/** Of every row: mean square of what a regression of the other folds leaves, in variances of the observation's change. */
function errorsOf(rows: Transitions, residuals: Float64Array): Float64Array {
  const { count } = rows;
  const n = residuals.length / count;
  const m = rows.action.length / count;
  const inputs = Array.from({ length: count }, (_, i) =>
    Float64Array.of(
      ...rows.observation.subarray(i * n, (i + 1) * n),
      ...rows.action.subarray(i * m, (i + 1) * m),
      1,
    ),
  );
  standardize(inputs, n + m);
  const outputs = Array.from({ length: count }, (_, i) => residuals.subarray(i * n, (i + 1) * n));
  const changes = Array.from({ length: count }, (_, i) =>
    Float64Array.from({ length: n }, (_, d) => rows.nextObservation[i * n + d] - rows.observation[i * n + d]),
  );
  const variance = standardize(changes, n).map((sd) => sd ** 2);
  const errors = new Float64Array(count);
  for (let fold = 0; fold < FOLDS; fold++) {
    const [from, to] = [fold, fold + 1].map((at) => Math.floor((at * count) / FOLDS));
    const others = <T>(all: T[]) => [...all.slice(0, from), ...all.slice(to)];
    const weights = ridgeRegression(others(inputs), others(outputs), RIDGE);
    for (let i = from; i < to; i++) {
      const guess = predictLinear(weights, inputs[i]);
      for (let d = 0; d < n; d++) errors[i] += (outputs[i][d] - guess[d]) ** 2 / variance[d] / n;
    }
  }
  return errors;
}

/** Gives the first `size` columns mean 0 and standard deviation 1, in place; returns what their deviations were. */
function standardize(rows: Float64Array[], size: number): number[] {
  return Array.from({ length: size }, (_, d) => {
    const mean = rows.reduce((sum, row) => sum + row[d] / rows.length, 0);
    const sd = Math.sqrt(rows.reduce((sum, row) => sum + (row[d] - mean) ** 2 / rows.length, 0)) || 1;
    for (const row of rows) row[d] = (row[d] - mean) / sd;
    return sd;
  });
}

/** Where a curve of points in ascending order is lowest: by the parabola through the lowest point and its neighbours. */
function lowest(curve: (readonly [x: number, y: number])[]): number {
  const at = curve.reduce((least, [, y], i) => (y < curve[least][1] ? i : least), 0);
  if (at === 0 || at === curve.length - 1) return curve[at][0];
  const [[x0, y0], [x1, y1], [x2, y2]] = curve.slice(at - 1, at + 2);
  const [left, right] = [(y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)];
  return (x0 + x1) / 2 - (left * (x2 - x0)) / (2 * (right - left));
}

/** How often each of `count` rows is in a sample of stretches, drawn with replacement. */
function stretches(count: number, random: Random): Float64Array {
  const times = new Float64Array(count);
  const all = Math.ceil(count / STRETCH);
  for (let drawn = 0; drawn < all; drawn++) {
    const from = random.integer(all) * STRETCH;
    for (let i = from; i < Math.min(count, from + STRETCH); i++) times[i]++;
  }
  return times;
}

function weightedMean(values: Float64Array, weights: Float64Array): number {
  let [sum, total] = [0, 0];
  for (const [i, value] of values.entries()) {
    sum += weights[i] * value;
    total += weights[i];
  }
  return sum / total;
}
