// Multilayer perceptrons: one, or several of the same shape side by side as one batched matrix product.
import type { Random } from '../random.js';
import type { Shapes } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';

export const ACTIVATIONS = ['relu', 'swish'] as const;
export type Activation = (typeof ACTIVATIONS)[number];

/** Layer `i` is `w{i} [members?, in, out]` and `b{i} [members?, 1, out]`, each name after `prefix` and a dot. */
export interface Mlp {
  prefix: string;
  /** Input size, hidden sizes, output size. */
  sizes: readonly number[];
  /** How many independent networks; absent: one, without the leading axis. */
  members?: number;
  activation: Activation;
  /** Normalise each hidden layer's pre-activations to mean 0 and variance 1 (Ba et al. 2016, without gain and bias). */
  layerNorm?: boolean;
}

export function mlpShapes({ prefix, sizes, members }: Mlp): Shapes {
  const lead = members === undefined ? [] : [members];
  return Object.fromEntries(
    sizes.slice(1).flatMap((size, i) => [
      [`${prefix}.w${i}`, [...lead, sizes[i], size]],
      [`${prefix}.b${i}`, [...lead, 1, size]],
    ]),
  );
}

export function mlpNames(mlp: Mlp): string[] {
  return Object.keys(mlpShapes(mlp));
}

/** Weights uniform in ±1/√in, biases 0. */
export function uniformInitial(mlp: Mlp, random: Random): Record<string, Float32Array> {
  return initial(mlp, (fanIn) => random.uniform(-1, 1) / Math.sqrt(fanIn));
}

/** Weights normal with standard deviation 1/(2√in) cut off at two of them, biases 0, as PETS and MBPO have it. */
export function truncatedNormalInitial(mlp: Mlp, random: Random): Record<string, Float32Array> {
  const draw = (fanIn: number) => {
    for (;;) {
      const value = random.normal();
      if (Math.abs(value) < 2) return value / (2 * Math.sqrt(fanIn));
    }
  };
  return initial(mlp, draw);
}

function initial(mlp: Mlp, draw: (fanIn: number) => number): Record<string, Float32Array> {
  const { prefix, sizes, members = 1 } = mlp;
  return Object.fromEntries(
    sizes.slice(1).flatMap((size, i) => [
      [`${prefix}.w${i}`, Float32Array.from({ length: members * sizes[i] * size }, () => draw(sizes[i]))],
      [`${prefix}.b${i}`, new Float32Array(members * size)],
    ]),
  );
}

/**
 * The network's output. `x` is `[n, in]`, or `[members, n, in]` for several networks; `[n, in]` is then given to all.
 */
export function mlp(network: Mlp, parameters: Tensors, x: Tensor): Tensor {
  const { prefix, sizes, members, activation, layerNorm } = network;
  let h = members !== undefined && x.rank === 2 ? sharedBy(members, x) : x;
  for (let i = 0; i < sizes.length - 1; i++) {
    h = tf.add(tf.matMul(h, parameters[`${prefix}.w${i}`]), parameters[`${prefix}.b${i}`]);
    if (i === sizes.length - 2) break;
    if (layerNorm) h = normalized(h);
    h = activation === 'relu' ? tf.relu(h) : swish(h);
  }
  return h;
}

/** `[n, in]` given to every member, `[members, n, in]`: a product, because its gradient is a single sum. */
function sharedBy(members: number, x: Tensor): Tensor {
  return tf.mul(tf.expandDims(x, 0), tf.ones([members, 1, 1]));
}

function normalized(x: Tensor): Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  return tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), 1e-5)));
}

/** x · σ(x), with a gradient of four operators: σ + y (1 - σ) for y = x σ. */
export const swish = tf.customGrad((input, save) => {
  const x = input as Tensor;
  const gate = tf.sigmoid(x);
  const value = tf.mul(x, gate);
  (save as (saved: Tensor[]) => void)([gate, value]);
  return {
    value,
    gradFunc: (dy: Tensor, saved: Tensor[]) => {
      const [s, y] = saved;
      return tf.mul(dy, tf.add(s, tf.mul(y, tf.sub(1, s))));
    },
  };
}) as (x: Tensor) => Tensor;
