// The squashed Gaussian policy of SAC: a ~ tanh(N(μ(s), σ(s))), actions in [-1, 1].
import type { Shapes } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { type Mlp, mlp } from './mlp.js';

const LOG_SD_MIN = -5;
const LOG_SD_MAX = 2;
const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

export interface PolicyNetwork extends Mlp {
  actionSize: number;
}

export function policyNetwork(
  observationSize: number,
  actionSize: number,
  hidden: readonly number[],
): PolicyNetwork {
  return {
    prefix: 'policy',
    sizes: [observationSize, ...hidden, 2 * actionSize],
    activation: 'relu',
    actionSize,
  };
}

/** Names of the observation normaliser `[n]` that policy and critic share. */
export const NORMALIZER = { mean: 'normalizer.mean', sd: 'normalizer.sd' } as const;

export function normalizerShapes(observationSize: number): Shapes {
  return { [NORMALIZER.mean]: [observationSize], [NORMALIZER.sd]: [observationSize] };
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
  const [mean, squashed] = tf.split(mlp(policy, t, normalizedObservation(t, observation)), 2, 1);
  // log σ moves softly between its bounds, so that its gradient never dies.
  const middle = (LOG_SD_MAX + LOG_SD_MIN) / 2;
  const logSd = tf.add(tf.mul(tf.tanh(squashed), (LOG_SD_MAX - LOG_SD_MIN) / 2), middle);
  const raw = tf.add(mean, tf.mul(tf.exp(logSd), noise));
  const gaussian = tf.sub(tf.mul(tf.square(noise), -0.5), tf.add(logSd, HALF_LOG_TWO_PI));
  // log (1 - tanh² x) = 2 (log 2 - x - softplus(-2x)), finite for every x.
  const squash = tf.mul(tf.sub(tf.sub(Math.LN2, raw), tf.softplus(tf.mul(raw, -2))), 2);
  return { action: tf.tanh(raw), logProbability: tf.sum(tf.sub(gaussian, squash), 1) };
}

/** The action without noise, `[n, actions]` in [-1, 1]: what evaluation and the robot use. */
export function meanAction(policy: PolicyNetwork, t: Tensors, observation: Tensor): Tensor {
  return tf.tanh(tf.split(mlp(policy, t, normalizedObservation(t, observation)), 2, 1)[0]);
}
