// The one source of randomness: a seeded generator whose state can be saved, so that the same seed gives the same run.

/** Seeds beyond it would begin a sequence that a smaller one begins, too. */
export const LARGEST_SEED = 2 ** 32 - 1;

/** xoshiro128** (Blackman and Vigna), seeded through splitmix32. */
export class Random {
  readonly #state: Uint32Array;
  #spare = Number.NaN;

  constructor(seed: number) {
    this.#state = new Uint32Array(4);
    let z = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) | 0;
      let t = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
      this.#state[i] = t ^ (t >>> 15);
    }
  }

  /** 32 random bits as an unsigned integer. */
  bits(): number {
    const s = this.#state;
    const r = Math.imul(s[1], 5);
    const result = Math.imul((r << 7) | (r >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.bits() / 4294967296);
  }

  /** Uniform in 0 … count-1. */
  integer(count: number): number {
    return Math.floor((this.bits() / 4294967296) * count);
  }

  /** Standard normal (Marsaglia's polar method). */
  normal(): number {
    if (!Number.isNaN(this.#spare)) {
      const value = this.#spare;
      this.#spare = Number.NaN;
      return value;
    }
    for (;;) {
      const x = this.bits() / 2147483648 - 1;
      const y = this.bits() / 2147483648 - 1;
      const square = x * x + y * y;
      if (square > 0 && square < 1) {
        const scale = Math.sqrt((-2 * Math.log(square)) / square);
        this.#spare = y * scale;
        return x * scale;
      }
    }
  }

  /** Fills `out` with standard normals. */
  fillNormal(out: Float32Array): Float32Array {
    for (let i = 0; i < out.length; i++) out[i] = this.normal();
    return out;
  }

  /** Shuffles in place (Fisher and Yates). */
  shuffle(values: Int32Array): Int32Array {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const value = values[i];
      values[i] = values[j];
      values[j] = value;
    }
    return values;
  }

  /** Everything that decides what comes next; `restore` takes it back. */
  save(): number[] {
    return [...this.#state, Number.isNaN(this.#spare) ? Number.MAX_VALUE : this.#spare];
  }

  restore(saved: readonly number[]): void {
    this.#state.set(saved.slice(0, 4));
    this.#spare = saved[4] === Number.MAX_VALUE ? Number.NaN : saved[4];
  }
}
