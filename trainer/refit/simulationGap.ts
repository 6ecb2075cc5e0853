// The gap between simulation and robot: linear in observation and action, it turns simulated transitions into the robot's.
// As in grounded simulation learning (Farchy et al., 2013), simulated data then agree with the robot's few.
import { Replay } from '../mpdp/replay.js';

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
export function correctedSimulation(simulated: Replay, real: Replay, residuals: Float64Array): Replay {
  const { observationSize: n, actionSize: m } = simulated;
  const features = standardizer(simulated, n + m);
  const x = Array.from({ length: real.size }, (_, i) => features(real.row(i)));
  const y = Array.from({ length: real.size }, (_, i) => residuals.subarray(i * n, (i + 1) * n));
  const ridge = chooseRidge(x, y);
  const weights = ridge === RIDGES[0] ? undefined : ridgeRegression(x, y, ridge);
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
  }
  return corrected;
}

/** Observation and action of a row in units of simulation's standard deviation, then 1. */
function standardizer(replay: Replay, size: number): (row: Float32Array) => Float64Array {
  const mean = new Float64Array(size);
  const sd = new Float64Array(size);
  for (let d = 0; d < size; d++) {
    for (let i = 0; i < replay.size; i++) mean[d] += replay.row(i)[d] / replay.size;
    for (let i = 0; i < replay.size; i++) sd[d] += (replay.row(i)[d] - mean[d]) ** 2 / replay.size;
    sd[d] = Math.sqrt(sd[d]) || 1;
  }
  return (row) =>
    Float64Array.from({ length: size + 1 }, (_, d) => (d === size ? 1 : (row[d] - mean[d]) / sd[d]));
}

/** The ridge by what its correction leaves of the validation residuals, each dimension relative to its own size. */
function chooseRidge(x: Float64Array[], y: Float64Array[]): number {
  const from = Math.floor(x.length * (1 - VALIDATION));
  const scale = y[0].map((_, d) => y.reduce((sum, row) => sum + row[d] ** 2, 0) || 1);
  const left = RIDGES.map((ridge) => {
    const weights =
      ridge === RIDGES[0] ? undefined : ridgeRegression(x.slice(0, from), y.slice(0, from), ridge);
    let sum = 0;
    for (let i = from; i < x.length; i++) {
      const guess = weights ? predictLinear(weights, x[i]) : undefined;
      for (const [d, value] of y[i].entries()) sum += (value - (guess?.[d] ?? 0)) ** 2 / scale[d];
    }
    return sum;
  });
  const least = Math.min(...left);
  if (least > WORTHWHILE * left[0]) return RIDGES[0];
  return RIDGES.find((_, i) => left[i] <= ENOUGH * least)!;
}

/**
 * W `[features, outputs]` of (XᵀX + ridge·I) W = XᵀY, the last feature (1) without ridge, by Gauss-Jordan elimination:
 * the matrix is positive definite.
 */
export function ridgeRegression(x: Float64Array[], y: Float64Array[], ridge: number): Float64Array[] {
  const features = x[0].length;
  const outputs = y[0].length;
  const system = Array.from({ length: features }, (_, a) => {
    const row = new Float64Array(features + outputs);
    for (const [i, input] of x.entries()) {
      for (let b = 0; b < features; b++) row[b] += input[a] * input[b];
      for (let d = 0; d < outputs; d++) row[features + d] += input[a] * y[i][d];
    }
    if (a < features - 1) row[a] += ridge;
    return row;
  });
  for (let pivot = 0; pivot < features; pivot++) {
    const own = system[pivot];
    const divisor = own[pivot];
    for (let c = 0; c < own.length; c++) own[c] /= divisor;
    for (let a = 0; a < features; a++) {
      const factor = system[a][pivot];
      if (a === pivot || factor === 0) continue;
      for (let c = 0; c < own.length; c++) system[a][c] -= factor * own[c];
    }
  }
  return system.map((row) => row.slice(features));
}

/** Wᵀx. */
export function predictLinear(weights: Float64Array[], x: Float64Array): Float64Array {
  const out = new Float64Array(weights[0].length);
  for (const [a, row] of weights.entries()) for (let d = 0; d < out.length; d++) out[d] += x[a] * row[d];
  return out;
}
