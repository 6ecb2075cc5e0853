// How a number spreads over many steps: gathered one by one, without keeping them.

/** Of a number over many steps. */
export interface Spread {
  low: number;
  mean: number;
  sd: number;
  high: number;
}

/** Numbers as they come, and what is left of them (Welford). */
export class Gathered {
  #count = 0;
  #mean = 0;
  #squares = 0;
  #low = Infinity;
  #high = -Infinity;

  add(value: number): void {
    this.#count++;
    const off = value - this.#mean;
    this.#mean += off / this.#count;
    this.#squares += off * (value - this.#mean);
    this.#low = Math.min(this.#low, value);
    this.#high = Math.max(this.#high, value);
  }

  spread(): Spread {
    const sd = Math.sqrt(this.#squares / Math.max(1, this.#count));
    return { low: this.#low, mean: this.#mean, sd, high: this.#high };
  }
}
