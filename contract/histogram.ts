// Latency histograms in shared memory: the loop records without allocating, any thread reads the whole histogram.

const SUB_BITS = 7;
const SUB = 1 << SUB_BITS;
/** Values up to 2^36 ns (68 s); larger ones count in the last bucket. */
const OCTAVES = 36 - SUB_BITS;
const BUCKETS = SUB * (OCTAVES + 1);
const BYTES = 8 + BUCKETS * 4;
/** The last value before the end of the last bucket. */
const LARGEST = 2 ** (OCTAVES + SUB_BITS) - 1;

/** Microseconds at the quantiles that reports show. */
export interface Percentiles {
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  p9999: number;
  max: number;
}

/** A histogram as it crosses a wire: sparse `[bucket, count, bucket, count, ...]` and the exact maximum in ns. */
export interface HistogramSample {
  counts: number[];
  max: number;
}

/**
 * A log-linear histogram of nanoseconds (HdrHistogram's layout): 128 buckets an octave, so a value is known to 0.8 %.
 * One thread records; others may read meanwhile and miss at most the newest values. Counts of two histograms add
 * exactly, percentiles do not: merge before asking for one.
 */
export class LatencyHistogram {
  readonly buffer: SharedArrayBuffer;
  readonly #max: Float64Array;
  readonly #counts: Uint32Array;

  constructor(buffer = new SharedArrayBuffer(BYTES)) {
    this.buffer = buffer;
    this.#max = new Float64Array(buffer, 0, 1);
    this.#counts = new Uint32Array(buffer, 8, BUCKETS);
  }

  /** Counts one value; negative values count as 0. */
  record(nanoseconds: number): void {
    const value = nanoseconds > 0 ? nanoseconds : 0;
    this.#counts[bucketOf(value)]++;
    if (value > this.#max[0]) this.#max[0] = value;
  }

  get count(): number {
    let sum = 0;
    for (let i = 0; i < BUCKETS; i++) sum += this.#counts[i];
    return sum;
  }

  merge(sample: HistogramSample): void {
    for (let i = 0; i < sample.counts.length; i += 2) this.#counts[sample.counts[i]] += sample.counts[i + 1];
    if (sample.max > this.#max[0]) this.#max[0] = sample.max;
  }

  sample(): HistogramSample {
    const counts: number[] = [];
    for (let i = 0; i < BUCKETS; i++) if (this.#counts[i] > 0) counts.push(i, this.#counts[i]);
    return { counts, max: this.#max[0] };
  }

  /**
   * Sets `window` to what came to this histogram since it was `seen`, and `seen` to this histogram. The window's maximum
   * is the upper edge of its highest bucket, or the exact one when that is new.
   */
  advance(seen: LatencyHistogram, window: LatencyHistogram): void {
    const max = this.#max[0];
    let highest = -1;
    for (let i = 0; i < BUCKETS; i++) {
      const count = this.#counts[i];
      window.#counts[i] = count - seen.#counts[i];
      seen.#counts[i] = count;
      if (window.#counts[i] > 0) highest = i;
    }
    if (highest < 0) window.#max[0] = 0;
    else window.#max[0] = max > seen.#max[0] ? max : Math.min(max, upperEdge(highest));
    seen.#max[0] = max;
  }

  /** Upper edge, in ns, of the bucket in which quantile `q` of the values lies; the exact maximum for q = 1. */
  quantile(q: number): number {
    const rank = Math.ceil(q * this.count);
    if (rank === 0 || q >= 1) return this.#max[0];
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.#counts[i];
      if (seen >= rank) return Math.min(upperEdge(i), this.#max[0]);
    }
    return this.#max[0];
  }

  percentiles(): Percentiles {
    const at = (q: number) => Math.round(this.quantile(q)) / 1000;
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), p9999: at(0.9999), max: at(1) };
  }
}

/** Whole numbers throughout: a double that changes in a loop may be boxed, and the real-time loop calls this. */
function bucketOf(value: number): number {
  if (value < SUB) return value | 0;
  const large = value >= 2 ** 30;
  const scaled = large ? (Math.min(value, LARGEST) / 64) | 0 : value | 0;
  const octave = 31 - Math.clz32(scaled) - SUB_BITS;
  return SUB * (octave + (large ? 6 : 0)) + (scaled >>> octave);
}

/** Upper edge of a bucket, ns. */
export function upperEdge(bucket: number): number {
  if (bucket < SUB) return bucket + 1;
  const octave = Math.floor(bucket / SUB) - 1;
  return (SUB + (bucket % SUB) + 1) * 2 ** octave;
}
