// The twin Q network and the soft value V(s) = min Q(s, a) - α log π₀(a|s).
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { type Mlp, mlp } from './mlp.js';
import { normalizedObservation, type PolicyNetwork, sampleAction } from './policy.js';

export function twinCritic(
  prefix: string,
  observationSize: number,
  actionSize: number,
  hidden: readonly number[],
  layerNorm: boolean,
): Mlp {
  return {
    prefix,
    sizes: [observationSize + actionSize, ...hidden, 1],
    members: 2,
    activation: 'relu',
    layerNorm,
  };
}

/** Q₁ and Q₂ `[2, n]` of observation `[n, observations]` and action `[n, actions]`. */
export function twinQ(critic: Mlp, t: Tensors, observation: Tensor, action: Tensor): Tensor {
  return tf.squeeze(mlp(critic, t, tf.concat([normalizedObservation(t, observation), action], 1)), [2]);
}

/** The soft value `[n]` under π₀ (Eq. 3), one action sampled with `noise` `[n, actions]`. */
export function softValue(
  policy: PolicyNetwork,
  critic: Mlp,
  t: Tensors,
  observation: Tensor,
  noise: Tensor,
  entropyCoefficient: number,
): Tensor {
  const { action, logProbability } = sampleAction(policy, t, observation, noise);
  const [first, second] = tf.unstack(twinQ(critic, t, observation, action));
  return tf.sub(tf.minimum(first, second), tf.mul(logProbability, entropyCoefficient));
}
