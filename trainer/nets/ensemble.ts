// The probabilistic ensemble p₁…p_K: each member a Gaussian over reward and change of observation.
import type { Shapes } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { type Mlp, mlp } from './mlp.js';

const LOG_VARIANCE_MIN = -10;
const LOG_VARIANCE_MAX = 0.5;

export interface Ensemble extends Mlp {
  members: number;
  observationSize: number;
  actionSize: number;
}

export function ensembleNetwork(
  members: number,
  observationSize: number,
  actionSize: number,
  hidden: readonly number[],
): Ensemble {
  const outputs = 1 + observationSize;
  return {
    prefix: 'model',
    sizes: [observationSize + actionSize, ...hidden, 2 * outputs],
    members,
    activation: 'swish',
    observationSize,
    actionSize,
  };
}

/** Means and standard deviations of the inputs (observation, action) and targets (reward, change of observation). */
export function standardizerShapes({ observationSize, actionSize }: Ensemble): Shapes {
  const inputs = [observationSize + actionSize];
  const targets = [1 + observationSize];
  return {
    'model.inputMean': inputs,
    'model.inputSd': inputs,
    'model.targetMean': targets,
    'model.targetSd': targets,
  };
}

/** Mean and log-variance of every member's standardised prediction, each `[K, n, 1 + observations]`. */
export interface Prediction {
  mean: Tensor;
  logVariance: Tensor;
}

/** @param input observation and action side by side, `[n, i]` or `[K, n, i]` */
export function predict(ensemble: Ensemble, t: Tensors, input: Tensor): Prediction {
  const standardized = tf.div(tf.sub(input, t['model.inputMean']), t['model.inputSd']);
  const [mean, raw] = tf.split(mlp(ensemble, t, standardized), 2, 2);
  // Soft bounds, as in PETS: max - softplus(max - x), then min + softplus(x - min).
  const below = tf.sub(LOG_VARIANCE_MAX, tf.softplus(tf.sub(LOG_VARIANCE_MAX, raw)));
  return { mean, logVariance: tf.add(LOG_VARIANCE_MIN, tf.softplus(tf.sub(below, LOG_VARIANCE_MIN))) };
}

/**
 * A sample of one member's prediction for each row, in the task's units.
 *
 * @param member one-hot choice `[K, n, 1]`
 * @param noise standard normal `[n, 1 + observations]`
 * @returns reward `[n]` and next observation `[n, observations]`
 */
export function sampleTransition(
  ensemble: Ensemble,
  t: Tensors,
  prediction: Prediction,
  observation: Tensor,
  member: Tensor,
  noise: Tensor,
) {
  const mean = tf.sum(tf.mul(prediction.mean, member), 0);
  const sd = tf.exp(tf.mul(tf.sum(tf.mul(prediction.logVariance, member), 0), 0.5));
  const standardized = tf.add(mean, tf.mul(sd, noise));
  const target = tf.add(tf.mul(standardized, t['model.targetSd']), t['model.targetMean']);
  const [reward, change] = tf.split(target, [1, ensemble.observationSize], 1);
  return { reward: tf.squeeze(reward, [1]), next: tf.add(observation, change) };
}

/** Negative log likelihood of standardised targets `[K, n, d]`, up to constants: a mean over rows and dimensions `[K]`. */
export function negativeLogLikelihood({ mean, logVariance }: Prediction, target: Tensor): Tensor {
  const error = tf.sub(mean, target);
  return tf.mean(tf.add(tf.mul(tf.square(error), tf.exp(tf.neg(logVariance))), logVariance), [1, 2]);
}
