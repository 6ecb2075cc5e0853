// The critic Q₁ … Q_M, and the soft value V(s) = min Q(s, a) - α log π₀(a|s).
import type { Shapes } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { type Activation, type Mlp, mlp } from './mlp.js';
import { normalizedObservation, type PolicyNetwork, sampleAction } from './policy.js';

export interface CriticNetwork extends Mlp {
  members: number;
}

export interface CriticChoices {
  members: number;
  hidden: readonly number[];
  activation: Activation;
  layerNorm: boolean;
}

export function criticNetwork(
  prefix: string,
  observationSize: number,
  actionSize: number,
  { hidden, ...choices }: CriticChoices,
): CriticNetwork {
  return { prefix, sizes: [observationSize + actionSize, ...hidden, 1], ...choices };
}

/** Names of the scalars that turn a network's output x into Q = width · x + centre. */
export const VALUE_SCALE = { centre: 'value.centre', width: 'value.width' } as const;
export const valueScaleShapes: Shapes = { [VALUE_SCALE.centre]: [], [VALUE_SCALE.width]: [] };

/** α as an input of programs. */
export const ENTROPY_COEFFICIENT = 'entropy coefficient';

/** Q₁ … Q_M `[M, n]` of observation `[n, observations]` and action `[n, actions]`. */
export function qValues(critic: CriticNetwork, t: Tensors, observation: Tensor, action: Tensor): Tensor {
  const output = mlp(critic, t, tf.concat([normalizedObservation(t, observation), action], 1));
  return tf.add(tf.mul(tf.squeeze(output, [2]), t[VALUE_SCALE.width]), t[VALUE_SCALE.centre]);
}

/** How a soft value is taken of Q₁ … Q_M. */
export interface ValueReading {
  /** Makes one of M. */
  over(q: Tensor): Tensor;
  /** What the robot then does of an action. */
  inForce(action: Tensor): Tensor;
}

/** The soft value `[n]` under π₀ (Eq. 3), one action sampled with `noise` `[n, actions]`. */
export function softValue(
  { policy, critic }: { policy: PolicyNetwork; critic: CriticNetwork },
  t: Tensors,
  { observation, noise }: { observation: Tensor; noise: Tensor },
  { over, inForce }: ValueReading,
): Tensor {
  const { action, logProbability } = sampleAction(policy, t, observation, noise);
  return tf.sub(
    over(qValues(critic, t, observation, inForce(action))),
    tf.mul(logProbability, t[ENTROPY_COEFFICIENT]),
  );
}
