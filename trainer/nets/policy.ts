// The squashed Gaussian policy of SAC: a ~ tanh(N(μ(s), σ(s))), actions in [-1, 1].
import type { NdArrays } from '../tensor/array.js';
import type { Shapes } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { type Activation, type Mlp, mlp } from './mlp.js';

const LOG_SD_MIN = -5;
const LOG_SD_MAX = 2;
const SD_MIN = 1e-4;
const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

/**
 * How an output x becomes σ. `bounded`: log σ moves softly in [-5, 2], 0.22 at x = 0; `softplus`: σ = log (1 + eˣ),
 * 0.69 at x = 0.
 */
export const SPREADS = ['bounded', 'softplus'] as const;
export type Spread = (typeof SPREADS)[number];

export interface PolicyNetwork extends Mlp {
  actionSize: number;
  spread: Spread;
}

export function policyNetwork(
  observationSize: number,
  actionSize: number,
  hidden: readonly number[],
  activation: Activation,
  spread: Spread,
): PolicyNetwork {
  return {
    prefix: 'policy',
    sizes: [observationSize, ...hidden, 2 * actionSize],
    activation,
    actionSize,
    spread,
  };
}

/** Names of the observation normaliser `[n]` that policy and critic share. */
export const NORMALIZER = { mean: 'normalizer.mean', sd: 'normalizer.sd' } as const;

export function normalizerShapes(observationSize: number): Shapes {
  return { [NORMALIZER.mean]: [observationSize], [NORMALIZER.sd]: [observationSize] };
}

/** Standardises from now on by these statistics of observations. */
export function setNormalizer(
  scales: NdArrays,
  { mean, sd }: Readonly<Record<'mean' | 'sd', readonly number[]>>,
): void {
  scales[NORMALIZER.mean].data.set(mean);
  scales[NORMALIZER.sd].data.set(sd.map((value) => (value > 1e-6 ? value : 1)));
}

export function normalizedObservation(t: Tensors, observation: Tensor): Tensor {
  return tf.div(tf.sub(observation, t[NORMALIZER.mean]), t[NORMALIZER.sd]);
}

/**
 * A reparameterised sample.
 *
 * @param observation `[n, observations]`
 * @param noise standard normal `[n, actions]`
 * @returns action `[n, actions]` in [-1, 1] and log π(a|s) `[n]`
 */
export function sampleAction(policy: PolicyNetwork, t: Tensors, observation: Tensor, noise: Tensor) {
  const [mean, spread] = tf.split(mlp(policy, t, normalizedObservation(t, observation)), 2, 1);
  const logSd = logDeviation(policy, spread);
  const raw = tf.add(mean, tf.mul(tf.exp(logSd), noise));
  const gaussian = tf.sub(tf.mul(tf.square(noise), -0.5), tf.add(logSd, HALF_LOG_TWO_PI));
  // log (1 - tanh² x) = 2 (log 2 - x - softplus(-2x)), finite for every x.
  const squash = tf.mul(tf.sub(tf.sub(Math.LN2, raw), tf.softplus(tf.mul(raw, -2))), 2);
  return { action: tf.tanh(raw), logProbability: tf.sum(tf.sub(gaussian, squash), 1) };
}

function logDeviation({ spread }: PolicyNetwork, x: Tensor): Tensor {
  if (spread === 'softplus') return tf.log(tf.add(tf.softplus(x), SD_MIN));
  // By a tanh, so that the gradient never dies at a bound.
  const middle = (LOG_SD_MAX + LOG_SD_MIN) / 2;
  return tf.add(tf.mul(tf.tanh(x), (LOG_SD_MAX - LOG_SD_MIN) / 2), middle);
}

/** The action without noise, `[n, actions]` in [-1, 1]: what evaluation and the robot use. */
export function meanAction(policy: PolicyNetwork, t: Tensors, observation: Tensor): Tensor {
  return tf.tanh(tf.split(mlp(policy, t, normalizedObservation(t, observation)), 2, 1)[0]);
}
