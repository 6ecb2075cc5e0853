// Adam (Kingma and Ba 2015) as a compiled program over all parameters of a network at once, in place.
import { NdArray, type Parameters } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Tensor, tf } from '../tensor/tf.js';

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;
/** Floats whose update is done before the next ones are touched: they stay in a core's cache. */
const PIECE = 16384;

/** One step down the gradient that the parameters hold. */
export type Optimizer = (parameters: Parameters) => Promise<void>;

export interface AdamOptions {
  learningRate: number;
  /** The gradient is scaled down to this norm. */
  clip?: number;
}

/**
 * An optimiser for parameter sets of `size` floats. `m` is Σ β₁ᵏ g and `v` is Σ β₂ᵏ g²: the moments without their
 * factors 1 - β, which go into the step size and epsilon with the bias corrections, so that fewer passes are made.
 */
export async function makeAdam(engine: Engine, size: number, options: AdamOptions): Promise<Optimizer> {
  const { learningRate, clip } = options;
  const step = new NdArray([2]);
  const program = await engine.program({
    name: `adam, ${size} parameters`,
    inputs: { p: [size], g: [size], m: [size], v: [size], step: step.shape, all: [size] },
    split: ['p', 'g', 'm', 'v', "p'", "m'", "v'"],
    body: ({ p, g, m, v, step, all }) => {
      const [stepSize, epsilon] = tf.unstack(step);
      const scale = clip === undefined ? tf.scalar(1) : factor(all, clip);
      const pieces = piecesOf(p.shape[0]);
      const [ps, gs, ms, vs] = [p, g, m, v].map((x) => tf.split(x, pieces));
      const updated = pieces.map((_, i) => {
        const gradient = tf.mul(gs[i], scale);
        const newM = tf.add(tf.mul(ms[i], BETA1), gradient);
        const newV = tf.add(tf.mul(vs[i], BETA2), tf.square(gradient));
        const step = tf.mul(tf.div(newM, tf.add(tf.sqrt(newV), epsilon)), stepSize);
        return { p: tf.sub(ps[i], step), m: newM, v: newV };
      });
      return {
        "p'": tf.concat(updated.map((piece) => piece.p)),
        "m'": tf.concat(updated.map((piece) => piece.m)),
        "v'": tf.concat(updated.map((piece) => piece.v)),
      };
    },
  });
  return async (parameters) => {
    parameters.steps++;
    const first = (1 - BETA1) / (1 - BETA1 ** parameters.steps);
    const second = Math.sqrt((1 - BETA2) / (1 - BETA2 ** parameters.steps));
    step.data[0] = (learningRate * first) / second;
    step.data[1] = EPSILON / second;
    const { flat, gradient, m, v } = parameters;
    // Each element is read before it is written, by the same elementwise operator: in place is safe here.
    await program.run({ p: flat, g: gradient, all: gradient, m, v, step }, { "p'": flat, "m'": m, "v'": v });
  };
}

/** Sizes of the pieces that a vector is worked through in. */
function piecesOf(size: number): number[] {
  return Array.from({ length: Math.ceil(size / PIECE) }, (_, i) => Math.min(PIECE, size - i * PIECE));
}

/** What brings the whole gradient down to `norm`, if it is longer. */
function factor(gradient: Tensor, norm: number): Tensor {
  const length = tf.sqrt(tf.sum(tf.square(gradient)));
  return tf.minimum(1, tf.div(norm, tf.add(length, 1e-6)));
}
