// The statistics that LeRobot keeps of each column, by which its policies normalise: of an episode, and of all of them.

const QUANTILES = { q01: 0.01, q10: 0.1, q50: 0.5, q90: 0.9, q99: 0.99 };
export const STATISTICS = ['min', 'max', 'mean', 'std', 'count', 'q01', 'q10', 'q50', 'q90', 'q99'] as const;
/** One number for each dimension; `count` is one number. */
export type ColumnStatistics = Record<(typeof STATISTICS)[number], number[]>;

/** Of `[count, width]` values in row order; what is not finite is left out. */
export function statisticsOf(values: ArrayLike<number>, width: number): ColumnStatistics {
  const result = Object.fromEntries(STATISTICS.map((name) => [name, [] as number[]])) as ColumnStatistics;
  result.count.push(values.length / width);
  for (let k = 0; k < width; k++) {
    const column = Float64Array.from({ length: values.length / width }, (_, i) => values[i * width + k])
      .filter(Number.isFinite)
      .sort();
    const mean = column.reduce((sum, value) => sum + value / column.length, 0);
    const variance = column.reduce((sum, value) => sum + (value - mean) ** 2 / column.length, 0);
    result.min.push(column[0] ?? 0);
    result.max.push(column.at(-1) ?? 0);
    result.mean.push(mean);
    result.std.push(Math.sqrt(variance));
    for (const [name, q] of Object.entries(QUANTILES))
      result[name as keyof typeof QUANTILES].push(quantile(column, q));
  }
  return result;
}

/** Of all episodes together, as LeRobot has it: quantiles are the means of theirs, weighted by their frames. */
export function aggregate(
  episodes: readonly Record<string, ColumnStatistics>[],
): Record<string, ColumnStatistics> {
  return Object.fromEntries(
    Object.keys(episodes[0]).map((name) => [name, merged(episodes.map((one) => one[name]))]),
  );
}

function merged(parts: readonly ColumnStatistics[]): ColumnStatistics {
  const total = parts.reduce((sum, { count }) => sum + count[0], 0);
  const each = (of: (k: number) => number) => parts[0].min.map((_, k) => of(k));
  const weighted = (of: (part: ColumnStatistics) => number) =>
    parts.reduce((sum, part) => sum + (of(part) * part.count[0]) / total, 0);
  const mean = each((k) => weighted((part) => part.mean[k]));
  return {
    min: each((k) => parts.reduce((least, { min }) => Math.min(least, min[k]), Number.POSITIVE_INFINITY)),
    max: each((k) => parts.reduce((most, { max }) => Math.max(most, max[k]), Number.NEGATIVE_INFINITY)),
    mean,
    std: each((k) => Math.sqrt(weighted((part) => part.std[k] ** 2 + (part.mean[k] - mean[k]) ** 2))),
    count: [total],
    ...(Object.fromEntries(
      Object.keys(QUANTILES).map((name) => [name, each((k) => weighted((part) => part[name as 'q01'][k]))]),
    ) as Pick<ColumnStatistics, keyof typeof QUANTILES>),
  };
}

/** Of sorted values, between two of them in proportion. */
function quantile(sorted: Float64Array, q: number): number {
  if (sorted.length === 0) return 0;
  const at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  return low + (at % 1) * ((sorted[Math.floor(at) + 1] ?? low) - low);
}
