// Few runs compared honestly, as rliable defines it: Agarwal et al., "Deep Reinforcement Learning at the Edge of the
// Statistical Precipice", NeurIPS 2021.
import { Random } from '../random.js';

/** With its 95 % interval; without one where a stratum has a single run, whose spread nobody knows. */
export interface Estimate {
  value: number;
  interval: [low: number, high: number] | null;
}

const RESAMPLES = 5000;

/** The mean of what is left without the lowest and the highest quarter (each rounded down to whole values; Section 4.3). */
export function interquartileMean(values: number[]): number {
  const cut = Math.floor(values.length / 4);
  const middle = Float64Array.from(values)
    .sort()
    .subarray(cut, values.length - cut);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}

/** The share of scores above each threshold: the run-score distribution of Section 4.2. */
export function performanceProfile(scores: number[], thresholds: number[]): number[] {
  return thresholds.map((threshold) => scores.filter((score) => score > threshold).length / scores.length);
}

/**
 * How likely a run of `ours` scores above one of `theirs` on the same task, a tie counting half; mean over tasks
 * (Section 4.3). Both have one list of scores for each task, in the same order.
 */
export function probabilityOfImprovement(ours: number[][], theirs: number[][]): number {
  const byTask = ours.map((scores, task) => {
    const wins = scores.flatMap((a) => theirs[task].map((b) => (a > b ? 1 : a === b ? 0.5 : 0)));
    return mean(wins);
  });
  return mean(byTask);
}

/** The value below which `share` of the values lie, linear between neighbours; infinite ones are allowed. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return below === above ? below : below + (place % 1) * (above - below);
}

/**
 * Every number that `statistic` makes of the runs, with the 2.5 % and 97.5 % quantiles of the same over 5,000
 * resamples: of each stratum (a task of a label) as many runs as it has, with replacement (stratified bootstrap,
 * Section 4.1). The same runs give the same intervals.
 */
export function bootstrap<Run>(strata: Run[][], statistic: (strata: Run[][]) => number[]): Estimate[] {
  const values = statistic(strata);
  if (strata.some((runs) => runs.length < 2)) return values.map((value) => ({ value, interval: null }));
  const random = new Random(1);
  const resampled = values.map(() => new Float64Array(RESAMPLES));
  for (let i = 0; i < RESAMPLES; i++) {
    const again = statistic(strata.map((runs) => runs.map(() => runs[random.integer(runs.length)])));
    for (const [at, value] of again.entries()) resampled[at][i] = value;
  }
  return values.map((value, at) => ({
    value,
    interval: [quantile(resampled[at], 0.025), quantile(resampled[at], 0.975)],
  }));
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
