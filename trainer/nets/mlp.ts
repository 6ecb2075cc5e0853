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

/** The network's output `[n, out]` for `x` `[n, in]`; of several networks `[members, n, out]`. */
export function mlp(network: Mlp, parameters: Tensors, x: Tensor): Tensor {
  const { sizes, members } = network;
  const layers = sizes.slice(1).map((_, i) => layerOf(network, parameters, i));
  if (members === undefined) return perceptron(network, layers, x);
  return tf.stack(eachMember(network, parameters, () => x));
}

/** The outputs of several networks, each for an input of its own. */
export function eachMember(network: Mlp, parameters: Tensors, input: (member: number) => Tensor): Tensor[] {
  // Networks one after the other: what a layer of one of them makes stays in a core's cache, that of all would not.
  const layers = network.sizes.slice(1).map((_, i) => {
    const { weights, bias } = layerOf(network, parameters, i);
    const biases = unstacked(bias);
    return unstacked(weights).map((own, k) => ({ weights: own, bias: biases[k] }));
  });
  return layers[0].map((_, k) =>
    perceptron(
      network,
      layers.map((layer) => layer[k]),
      input(k),
    ),
  );
}

/** The parts of `x` along its first axis. TensorFlow.js has no gradient of this when there is only one. */
export function unstacked(x: Tensor): Tensor[] {
  return x.shape[0] === 1 ? [tf.squeeze(x, [0])] : tf.unstack(x);
}

interface Layer {
  weights: Tensor;
  bias: Tensor;
}

function layerOf({ prefix }: Mlp, parameters: Tensors, i: number): Layer {
  return { weights: parameters[`${prefix}.w${i}`], bias: parameters[`${prefix}.b${i}`] };
}

function perceptron({ activation, layerNorm }: Mlp, layers: readonly Layer[], x: Tensor): Tensor {
  return layers.reduce((h, { weights, bias }, i) => {
    const linear = tf.add(tf.matMul(h, weights), bias);
    if (i === layers.length - 1) return linear;
    const input = layerNorm ? normalized(linear) : linear;
    return activation === 'relu' ? tf.relu(input) : swish(input);
  }, x);
}

/** Rows of mean 0 and variance 1, with a gradient of few operators: r (dy - mean dy - y mean y dy) for y = r (x - mean x). */
const normalized = tf.customGrad((input, save) => {
  const x = input as Tensor;
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), 1e-5));
  const value = tf.mul(centred, scale);
  (save as (saved: Tensor[]) => void)([scale, value]);
  return {
    value,
    gradFunc: (dy: Tensor, saved: Tensor[]) => {
      const [r, y] = saved;
      const along = tf.mul(y, tf.mean(tf.mul(dy, y), -1, true));
      return tf.mul(tf.sub(tf.sub(dy, tf.mean(dy, -1, true)), along), r);
    },
  };
}) as (x: Tensor) => Tensor;

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
