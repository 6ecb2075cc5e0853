// Long runs in few lines: neighbouring metrics lines become one, so that charts stay readable and pages small.
import type { MetricsLine } from './metrics.js';

const AVERAGED = [
  'trainReturn',
  'updatesPerSecond',
  'horizon',
  'uncertainty',
  'uncertaintyThreshold',
  'modelError',
  'modelHoldoutLoss',
  'modelEpochs',
  'criticLoss',
  'qMean',
  'policyObjective',
  'entropy',
] as const satisfies (keyof MetricsLine)[];

/**
 * At most `most` lines: each stands for equally many neighbours, with their mean quantities, the sum of their
 * histograms, all episodes of their evaluations together, and the counters of the last.
 */
export function condense(lines: MetricsLine[], most: number): MetricsLine[] {
  const stride = Math.ceil(lines.length / most);
  if (stride <= 1) return lines;
  const condensed: MetricsLine[] = [];
  for (let start = 0; start < lines.length; start += stride)
    condensed.push(merge(lines.slice(start, start + stride)));
  return condensed;
}

function merge(lines: MetricsLine[]): MetricsLine {
  const merged: MetricsLine = { ...lines[lines.length - 1] };
  for (const key of AVERAGED) {
    const values = lines.flatMap((line) => line[key] ?? []);
    merged[key] = values.length > 0 ? meanOf(values) : null;
  }
  const evaluations = lines.flatMap((line) => line.evaluation ?? []);
  merged.evaluation = evaluations[0] ?? null;
  if (evaluations.length > 1) {
    const returns = evaluations.flatMap((evaluation) => evaluation.returns);
    const mean = meanOf(returns);
    const squares = returns.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    merged.evaluation = { mean, sd: Math.sqrt(squares / Math.max(1, returns.length - 1)), returns };
  }
  const histograms = lines.flatMap(({ horizonHistogram }) => (horizonHistogram ? [horizonHistogram] : []));
  merged.horizonHistogram =
    histograms.length > 0
      ? Array.from({ length: Math.max(...histograms.map((counts) => counts.length)) }, (_, i) =>
          histograms.reduce((sum, counts) => sum + (counts[i] ?? 0), 0),
        )
      : null;
  return merged;
}

function meanOf(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
