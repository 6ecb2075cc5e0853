// The probabilistic ensemble p₁…p_K: each member a Gaussian over reward and change of observation.
import type { Shapes } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { eachMember, type Mlp, unstacked } from './mlp.js';

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

export interface EnsembleChoices {
  members: number;
  hidden: readonly number[];
  layerNorm: boolean;
  variance: Variance;
}

export function ensembleNetwork(
  observationSize: number,
  actionSize: number,
  { hidden, ...choices }: EnsembleChoices,
): Ensemble {
  const outputs = 1 + observationSize;
  return {
    prefix: 'model',
    sizes: [observationSize + actionSize, ...hidden, 2 * outputs],
    activation: 'swish',
    ...choices,
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

/** @param input observation and action side by side, `[n, i]`, or `[K, n, i]`: rows of each member's own */
export function predict(ensemble: Ensemble, t: Tensors, input: Tensor): Prediction {
  const standardized = standardize(t, input);
  const own = input.rank === 3 ? unstacked(standardized) : [];
  return gaussian(tf.stack(outputs(ensemble, t, (k) => own[k] ?? standardized)));
}

/**
 * The prediction `[n, 1 + observations]` of one member for each row: the first member's for the first K-th of the rows,
 * and so on. A K-th of the work of `predict`.
 *
 * @param input observation and action side by side, `[n, i]`
 */
export function predictRouted(ensemble: Ensemble, t: Tensors, input: Tensor): Prediction {
  const members = t[`${ensemble.prefix}.w0`].shape[0];
  const [rows] = input.shape;
  const first = (k: number) => Math.floor((rows * k) / members);
  const sizes = Array.from({ length: members }, (_, k) => first(k + 1) - first(k));
  const standardized = standardize(t, input);
  const own = members === 1 ? [standardized] : tf.split(standardized, sizes);
  return gaussian(tf.concat(outputs(ensemble, t, (k) => own[k])));
}

function standardize(t: Tensors, input: Tensor): Tensor {
  return tf.div(tf.sub(input, t['model.inputMean']), t['model.inputSd']);
}

/** Each network's output `[n, 2 · outputs]`; a constant variance is the last layer's bias alone. */
function outputs(ensemble: Ensemble, t: Tensors, input: (member: number) => Tensor): Tensor[] {
  const all = eachMember(ensemble, t, input);
  if (ensemble.variance === 'input') return all;
  const biases = unstacked(t[`${ensemble.prefix}.b${ensemble.sizes.length - 2}`]);
  return all.map((output, k) => {
    const [mean, raw] = tf.split(output, 2, 1);
    const [, bias] = tf.split(biases[k], 2, 1);
    return tf.concat([mean, tf.add(tf.zerosLike(raw), bias)], 1);
  });
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
 * @param member one-hot choice `[n, K]`
 */
export function chosen({ mean, logVariance }: Prediction, member: Tensor): Prediction {
  const weights = tf.expandDims(tf.transpose(member), 2);
  return { mean: tf.sum(tf.mul(mean, weights), 0), logVariance: tf.sum(tf.mul(logVariance, weights), 0) };
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
