// How unsure the ensemble is of a state and action: the One-vs-Rest score of Eq. 8, on one of three scales.
import type { Prediction } from '../nets/ensemble.js';
import { type Tensor, tf } from '../tensor/tf.js';

/**
 * `kl`: Eq. 8 as printed, never negative, so the printed threshold -5 would cut every trajectory at once.
 * `log-kl`: its logarithm, our reading. `log-variance`: the logarithm of the variance between the members' means,
 * which is absolute where the KL is relative to the predicted noise.
 */
export const SCORES = ['log-kl', 'kl', 'log-variance'] as const;
export type Score = (typeof SCORES)[number];

const TINY = 1e-3;

/** The score `[n]` of a prediction of K ≥ 2 members, over all members and dimensions, the reward's included. */
export function uncertainty({ mean, logVariance }: Prediction, score: Score): Tensor {
  const members = mean.shape[0];
  // Deviations from the mean of all members: small numbers, whose squares do not cancel.
  const deviation = tf.sub(mean, tf.mean(mean, 0, true));
  const square = tf.square(deviation);
  if (score === 'log-variance') return tf.log(tf.add(tf.sum(square, [0, 2]), TINY ** 2));
  const variance = tf.exp(logVariance);
  // The rest, moment-matched: its mean lies at -deviation / (K-1); its variance is the others' mean variance and their
  // spread around that mean, which rounding must not make negative when one member has gone far astray.
  const others = (x: Tensor) => tf.div(tf.sub(tf.sum(x, 0, true), x), members - 1);
  const spread = tf.relu(tf.sub(others(square), tf.mul(square, 1 / (members - 1) ** 2)));
  const rest = tf.add(others(variance), spread);
  const distance = tf.mul(square, (members / (members - 1)) ** 2);
  const divergence = tf.sub(
    tf.add(tf.sub(tf.log(rest), logVariance), tf.div(tf.add(variance, distance), rest)),
    1,
  );
  const total = tf.mul(tf.sum(divergence, [0, 2]), 0.5);
  return score === 'kl' ? total : tf.log(tf.add(total, TINY));
}
