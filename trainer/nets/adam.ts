// Adam (Kingma and Ba 2015) as part of a compiled program, with the fewest passes over the parameters.
import { type NdArray, updated } from '../tensor/array.js';
import type { Shapes } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** The input `[2]` that carries what depends on the number of the step; `setAdamStep` fills it. */
export const ADAM = 'adam';

/** Parameters with their moments: `{name}.m` is Σ β₁ᵏ g and `{name}.v` is Σ β₂ᵏ g², the moments without (1 - β). */
export function withMoments(parameters: Shapes): Shapes {
  return Object.fromEntries(
    Object.entries(parameters).flatMap(([name, shape]) => [
      [name, shape],
      [`${name}.m`, shape],
      [`${name}.v`, shape],
    ]),
  );
}

/** Fills the input `adam` for step number `step` = 1, 2, …: bias corrections go into the step size and epsilon. */
export function setAdamStep(adam: NdArray, step: number, learningRate: number): void {
  const first = (1 - BETA1) / (1 - BETA1 ** step);
  const second = Math.sqrt((1 - BETA2) / (1 - BETA2 ** step));
  adam.data[0] = (learningRate * first) / second;
  adam.data[1] = EPSILON / second;
}

/**
 * The new parameters and moments by the names that `updated` gives.
 *
 * @param clip scales the gradients of all these parameters together down to this norm
 */
export function adam(parameters: readonly string[], gradients: Tensors, t: Tensors, clip?: number): Tensors {
  const [stepSize, epsilon] = tf.unstack(t[ADAM]);
  const scale = clip === undefined ? undefined : clipFactor(Object.values(gradients), clip);
  const outputs: Tensors = {};
  for (const name of parameters) {
    const gradient = scale ? tf.mul(gradients[name], scale) : gradients[name];
    const m = tf.add(tf.mul(t[`${name}.m`], BETA1), gradient);
    const v = tf.add(tf.mul(t[`${name}.v`], BETA2), tf.square(gradient));
    outputs[updated(name)] = tf.sub(t[name], tf.mul(tf.div(m, tf.add(tf.sqrt(v), epsilon)), stepSize));
    outputs[updated(`${name}.m`)] = m;
    outputs[updated(`${name}.v`)] = v;
  }
  return outputs;
}

function clipFactor(gradients: Tensor[], clip: number): Tensor {
  const square = gradients
    .map((gradient) => tf.sum(tf.square(gradient)))
    .reduce((sum, term) => tf.add(sum, term));
  return tf.minimum(1, tf.div(clip, tf.add(tf.sqrt(square), 1e-6)));
}
