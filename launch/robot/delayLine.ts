// A delay: rows of doubles go in with the time that they were given, and come out in that order when they are old enough.

/** Holds the newest `capacity` rows. Time may be of any clock, and never runs backward. */
export class DelayLine {
  readonly #rows: Float64Array[];
  readonly #times: Float64Array;
  #pushed = 0;
  #taken = 0;

  constructor(rowLength: number, capacity: number) {
    this.#rows = Array.from({ length: capacity }, () => new Float64Array(rowLength));
    this.#times = new Float64Array(capacity);
  }

  /** The row to fill, given at `time`; at the latest before the next `take`. */
  push(time: number): Float64Array {
    const place = this.#pushed++ % this.#rows.length;
    this.#times[place] = time;
    return this.#rows[place];
  }

  /** The newest row given at `time` or before, which stays valid until the next `push`; undefined when none is new. */
  take(time: number): Float64Array | undefined {
    const oldest = Math.max(this.#taken, this.#pushed - this.#rows.length);
    for (let i = this.#pushed - 1; i >= oldest; i--) {
      const place = i % this.#rows.length;
      if (this.#times[place] > time) continue;
      this.#taken = i + 1;
      return this.#rows[place];
    }
    return undefined;
  }
}
