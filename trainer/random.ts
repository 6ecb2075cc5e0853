// The one source of randomness: a seeded generator whose state can be saved, so that the same seed gives the same run.

/** Seeds beyond it would begin a sequence that a smaller one begins, too. */
export const LARGEST_SEED = 2 ** 32 - 1;

/** Layers of equal area under exp (-x²/2), where the outermost begins, and that area. */
const LAYERS = 128;
const TAIL = 3.442619855899;
const AREA = 9.91256303526217e-3;
/** A place within a layer has 24 bits and a sign. */
const PLACES = 2 ** 24;

/** Of each layer: the step from place to place, the places that lie under the curve whatever y is, and its height. */
const ZIGGURAT = (() => {
  const density = (x: number) => Math.exp(-0.5 * x * x);
  const edges = [AREA / density(TAIL), TAIL];
  for (let i = 2; i < LAYERS; i++) {
    edges.push(Math.sqrt(-2 * Math.log(AREA / edges[i - 1] + density(edges[i - 1]))));
  }
  edges.push(0);
  return {
    width: Float64Array.from({ length: LAYERS }, (_, i) => edges[i] / PLACES),
    inside: Float64Array.from({ length: LAYERS }, (_, i) => (edges[i + 1] / edges[i]) * PLACES),
    height: Float64Array.from({ length: LAYERS }, (_, i) => density(edges[i + 1])),
  };
})();

/** xoshiro128** (Blackman and Vigna), seeded through splitmix32. */
export class Random {
  readonly #state: Uint32Array;

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

  /** Standard normal (the ziggurat of Marsaglia and Tsang 2000). */
  normal(): number {
    for (;;) {
      const bits = this.bits() | 0;
      const layer = bits & (LAYERS - 1);
      const place = bits >> 7;
      const x = place * ZIGGURAT.width[layer];
      if (Math.abs(place) < ZIGGURAT.inside[layer]) return x;
      if (layer === 0) return Math.sign(place || 1) * this.#beyond(TAIL);
      const { height } = ZIGGURAT;
      if (height[layer] + this.uniform() * (height[layer - 1] - height[layer]) < Math.exp(-0.5 * x * x))
        return x;
    }
  }

  /** |x| of a standard normal x for which |x| > `start` (Marsaglia 1964). */
  #beyond(start: number): number {
    for (;;) {
      const x = -Math.log(1 - this.uniform()) / start;
      const y = -Math.log(1 - this.uniform());
      if (2 * y > x * x) return start + x;
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
    return [...this.#state];
  }

  restore(saved: readonly number[]): void {
    this.#state.set(saved.slice(0, 4));
  }
}
