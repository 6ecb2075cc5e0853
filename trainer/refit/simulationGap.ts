// The gap between simulation and robot: linear in observation and action, it turns simulated transitions into the robot's.
// As in grounded simulation learning (Farchy et al., 2013), simulated data then agree with the robot's few.
import { Replay } from '../mpdp/replay.js';
import type { Turns } from '../turns.js';
import { predictLinear, ridgeRegression, sumsOver, total } from './ridge.js';

/** Weights of the ridge that are tried, in squared standard deviations of simulation; infinite is no correction, first. */
const RIDGES = [Number.POSITIVE_INFINITY, 100, 10, 1, 0.1, 0.01, 0.001];
/** The newest share of the real transitions, which chooses among them. */
const VALIDATION = 0.2;
/** A correction must leave no more than this share of the validation residuals: less is chance, and extrapolates badly. */
const WORTHWHILE = 0.5;
/** The largest ridge is taken that leaves no more than this many times what the best one leaves. */
const ENOUGH = 1.1;

/**
 * The transitions of `simulated`, each with the next observation that the robot would have reached, in a buffer with
 * room for the `real` ones. `residuals` `[real.size, n]`, real next observation less the model's, are regressed on
 * observation and action; no correction is larger than the largest residual, however far it extrapolates.
 */
export async function correctedSimulation(
  simulated: Replay,
  real: Replay,
  residuals: Float64Array,
  turns: Turns,
): Promise<Replay> {
  const { observationSize: n, actionSize: m } = simulated;
  const features = await standardizer(simulated, n + m, turns);
  const x = Array.from({ length: real.size }, (_, i) => features(real.row(i)));
  const y = Array.from({ length: real.size }, (_, i) => residuals.subarray(i * n, (i + 1) * n));
  const weights = await correction(x, y, turns);
  const largest = Float64Array.from({ length: n }, (_, d) =>
    y.reduce((most, row) => Math.max(most, Math.abs(row[d])), 0),
  );
  const corrected = new Replay(n, m, simulated.size + real.size);
  for (let i = 0; i < simulated.size; i++) {
    const row = simulated.row(i).slice();
    const correction = weights ? predictLinear(weights, features(row)) : new Float64Array(n);
    for (let d = 0; d < n; d++)
      row[n + m + 1 + d] += Math.min(largest[d], Math.max(-largest[d], correction[d]));
    corrected.restore(row);
    await turns.pass();
  }
  return corrected;
}

/** Observation and action of a row in units of simulation's standard deviation, then 1. */
async function standardizer(
  replay: Replay,
  size: number,
  turns: Turns,
): Promise<(row: Float32Array) => Float64Array> {
  const mean = new Float64Array(size);
  const sd = new Float64Array(size);
  for (let i = 0; i < replay.size; i++) {
    const row = replay.row(i);
    for (let d = 0; d < size; d++) mean[d] += row[d] / replay.size;
    await turns.pass();
  }
  for (let i = 0; i < replay.size; i++) {
    const row = replay.row(i);
    for (let d = 0; d < size; d++) sd[d] += (row[d] - mean[d]) ** 2 / replay.size;
    await turns.pass();
  }
  for (let d = 0; d < size; d++) sd[d] = Math.sqrt(sd[d]) || 1;
  return (row) =>
    Float64Array.from({ length: size + 1 }, (_, d) => (d === size ? 1 : (row[d] - mean[d]) / sd[d]));
}

/**
 * Weights `[features, outputs]` at the ridge that is chosen by what its correction leaves of the validation residuals,
 * each dimension relative to its own size; undefined for no correction.
 */
async function correction(
  x: Float64Array[],
  y: Float64Array[],
  turns: Turns,
): Promise<Float64Array[] | undefined> {
  const from = Math.floor(x.length * (1 - VALIDATION));
  const scale = y[0].map((_, d) => y.reduce((sum, row) => sum + row[d] ** 2, 0) || 1);
  const older = await sumsOver(x, y, 0, from, turns);
  const left: number[] = [];
  for (const ridge of RIDGES) {
    const weights = ridge === RIDGES[0] ? undefined : ridgeRegression(older, ridge);
    let sum = 0;
    for (let i = from; i < x.length; i++) {
      const guess = weights ? predictLinear(weights, x[i]) : undefined;
      for (let d = 0; d < scale.length; d++) sum += (y[i][d] - (guess?.[d] ?? 0)) ** 2 / scale[d];
      await turns.pass();
    }
    left.push(sum);
  }
  const least = Math.min(...left);
  const chosen = least > WORTHWHILE * left[0] ? 0 : left.findIndex((one) => one <= ENOUGH * least);
  if (chosen === 0) return undefined;
  return ridgeRegression(total([older, await sumsOver(x, y, from, x.length, turns)]), RIDGES[chosen]);
}
