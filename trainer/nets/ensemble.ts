// The probabilistic ensemble p₁…p_K: each member a Gaussian over reward and change of observation.
import type { Shapes } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { type Mlp, mlp } from './mlp.js';

const LOG_VARIANCE_MIN = -10;
const LOG_VARIANCE_MAX = 0.5;

/** Whether a member's predicted variance depends on the state and action, or is one number for each dimension. */
export const VARIANCES = ['input', 'constant'] as const;
export type Variance = (typeof VARIANCES)[number];

export interface Ensemble extends Mlp {
  members: number;
  variance: Variance;
  observationSize: number;
  actionSize: number;
}

export function ensembleNetwork(
  members: number,
  observationSize: number,
  actionSize: number,
  hidden: readonly number[],
  layerNorm: boolean,
  variance: Variance,
): Ensemble {
  const outputs = 1 + observationSize;
  return {
    prefix: 'model',
    sizes: [observationSize + actionSize, ...hidden, 2 * outputs],
    members,
    activation: 'swish',
    layerNorm,
    variance,
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

/** Mean and log-variance of standardised predictions: of every member, each `[K, n, 1 + observations]`, or of one. */
export interface Prediction {
  mean: Tensor;
  logVariance: Tensor;
}

/** @param input observation and action side by side, `[n, i]` or `[K, n, i]` */
export function predict(ensemble: Ensemble, t: Tensors, input: Tensor): Prediction {
  const standardized = tf.div(tf.sub(input, t['model.inputMean']), t['model.inputSd']);
  return gaussian(forward(ensemble, t, standardized));
}

/**
 * The prediction `[n, 1 + observations]` of one member for each row, row i by member i mod K: a K-th of the work of
 * `predict`.
 *
 * @param input observation and action side by side, `[n, i]`
 */
export function predictRouted(ensemble: Ensemble, t: Tensors, input: Tensor): Prediction {
  const { members } = ensemble;
  const [rows, width] = input.shape;
  const share = Math.ceil(rows / members);
  const places = share * members;
  const standardized = tf.div(tf.sub(input, t['model.inputMean']), t['model.inputSd']) as tf.Tensor2D;
  const filledUp =
    places === rows
      ? standardized
      : tf.pad(standardized, [
          [0, places - rows],
          [0, 0],
        ]);
  const byMember = tf.transpose(tf.reshape(filledUp, [share, members, width]), [1, 0, 2]);
  const output = tf.transpose(forward(ensemble, t, byMember), [1, 0, 2]);
  const size = output.shape[2] as number;
  return gaussian(tf.slice(tf.reshape(output, [places, size]), [0, 0], [rows, size]));
}

/** The networks' output `[K, n, 2 · outputs]`; a constant variance is the last layer's bias alone. */
function forward(ensemble: Ensemble, t: Tensors, input: Tensor): Tensor {
  const output = mlp(ensemble, t, input);
  if (ensemble.variance === 'input') return output;
  const [mean, raw] = tf.split(output, 2, 2);
  const [, bias] = tf.split(t[`${ensemble.prefix}.b${ensemble.sizes.length - 2}`], 2, 2);
  return tf.concat([mean, tf.add(tf.zerosLike(raw), bias)], 2);
}

function gaussian(output: Tensor): Prediction {
  const [mean, raw] = tf.split(output, 2, output.rank - 1);
  // Soft bounds, as in PETS: max - softplus(max - x), then min + softplus(x - min).
  const below = tf.sub(LOG_VARIANCE_MAX, tf.softplus(tf.sub(LOG_VARIANCE_MAX, raw)));
  return { mean, logVariance: tf.add(LOG_VARIANCE_MIN, tf.softplus(tf.sub(below, LOG_VARIANCE_MIN))) };
}

/**
 * One member's prediction for each row, of all members'.
 *
 * @param member one-hot choice `[K, n, 1]`
 */
export function chosen({ mean, logVariance }: Prediction, member: Tensor): Prediction {
  return { mean: tf.sum(tf.mul(mean, member), 0), logVariance: tf.sum(tf.mul(logVariance, member), 0) };
}

/**
 * A sample of a prediction `[n, 1 + observations]`, in the task's units.
 *
 * @param noise standard normal `[n, 1 + observations]`
 * @returns reward `[n]` and next observation `[n, observations]`
 */
export function sampleTransition(
  ensemble: Ensemble,
  t: Tensors,
  { mean, logVariance }: Prediction,
  observation: Tensor,
  noise: Tensor,
) {
  const standardized = tf.add(mean, tf.mul(tf.exp(tf.mul(logVariance, 0.5)), noise));
  const target = tf.add(tf.mul(standardized, t['model.targetSd']), t['model.targetMean']);
  const [reward, change] = tf.split(target, [1, ensemble.observationSize], 1);
  return { reward: tf.squeeze(reward, [1]), next: tf.add(observation, change) };
}

/**
 * Negative log likelihood of standardised targets `[K, n, d]`, up to constants: a mean over rows and dimensions `[K]`.
 * Each term is weighed by its predicted variance to the power `weighting`, as a constant (β-NLL, Seitzer et al. 2022):
 * plain likelihood (0) hardly learns the mean of what it takes for noise.
 */
export function negativeLogLikelihood(
  { mean, logVariance }: Prediction,
  target: Tensor,
  weighting: number,
): Tensor {
  const error = tf.sub(mean, target);
  const terms = tf.add(tf.mul(tf.square(error), tf.exp(tf.neg(logVariance))), logVariance);
  if (weighting === 0) return tf.mean(terms, [1, 2]);
  return tf.mean(tf.mul(terms, tf.exp(tf.mul(constant(logVariance), weighting))), [1, 2]);
}

/** x without a gradient. */
const constant = tf.customGrad((x) => ({
  value: tf.clone(x as Tensor),
  gradFunc: () => tf.zerosLike(x as Tensor),
})) as (x: Tensor) => Tensor;
