// A bound on the jerk of commands: the mean of the newest ones, which keeps every bound that they keep themselves.

/**
 * The moving mean over the newest `spans[i]` of the values `i` that are pushed, without allocating.
 *
 * It lies within their range, its first difference within that of theirs and its second within that of theirs. Its
 * third is the difference of two of their second ones, divided by the span: at most twice their largest, over the span.
 */
export class Smoothing {
  readonly #spans: Int32Array;
  readonly #longest: number;
  /** The newest values of each, `[values × longest]`, in rings. */
  readonly #history: Float64Array;
  /** Place of the next ones, in an array of one so that `memory` can hand it out. */
  readonly #next = new Float64Array(1);

  constructor(spans: Int32Array) {
    this.#spans = spans;
    this.#longest = Math.max(1, ...spans);
    this.#history = new Float64Array(spans.length * this.#longest);
  }

  /** Takes `values` as what they have always been. */
  restart(values: Float64Array): void {
    for (let i = 0; i < values.length; i++) this.hold(i, values[i]);
  }

  /** Takes `value` as what value `i` has always been. */
  hold(i: number, value: number): void {
    this.#history.fill(value, i * this.#longest, (i + 1) * this.#longest);
  }

  /** All that it remembers, to be saved and put back. */
  get memory(): Float64Array[] {
    return [this.#history, this.#next];
  }

  /** Takes the newest `values` and writes their means into `out`. */
  push(values: Float64Array, out: Float64Array): void {
    const longest = this.#longest;
    const next = this.#next[0];
    for (let i = 0; i < values.length; i++) {
      const ring = i * longest;
      this.#history[ring + next] = values[i];
      const span = this.#spans[i];
      if (span === 1) {
        out[i] = values[i];
        continue;
      }
      let sum = 0;
      let low = values[i];
      let high = values[i];
      for (let k = 0; k < span; k++) {
        const value = this.#history[ring + ((next - k + longest) % longest)];
        sum += value;
        if (value < low) low = value;
        if (value > high) high = value;
      }
      // Not beyond them by a rounding error either.
      out[i] = Math.min(high, Math.max(low, sum / span));
    }
    this.#next[0] = (next + 1) % longest;
  }
}
