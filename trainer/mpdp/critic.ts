// Policy evaluation: the critic's update towards given targets, and its delayed copy.
import { allFinite } from '../finite.js';
import { makeAdam } from '../nets/adam.js';
import { qValues, VALUE_SCALE, valueScaleShapes } from '../nets/critic.js';
import { mlpNames, mlpShapes } from '../nets/mlp.js';
import { normalizerShapes } from '../nets/policy.js';
import { gradientOf, NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Tensor, tf } from '../tensor/tf.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';

/** What Q(s, a) shall be: observation `[batch, observations]`, action `[batch, actions]`, value `[batch]`. */
export interface Targets {
  observation: NdArray;
  action: NdArray;
  value: NdArray;
}

/** Mean squared error (summed over the networks) and mean Q of the last update. */
export interface CriticUpdate {
  loss: number;
  q: number;
  /** Targets that left the update because a number was not finite: others took their place. */
  left: number;
  /** Whether none was left, or the gradient was not finite: then nothing has changed. */
  skipped: boolean;
}

/** Moves Q₁ … Q_M towards targets with one batch, and their delayed copies after them. */
export type UpdateCritic = (targets: Targets) => Promise<CriticUpdate>;

export async function makeCriticUpdate(
  engine: Engine,
  agent: Agent,
  options: Options,
): Promise<UpdateCritic> {
  const { critic, observationSize, actionSize } = agent.networks;
  const { batchSize, targetRate, gradientClip, learningRate } = options;
  const parameters = mlpNames(critic);
  const program = await engine.program({
    name: 'critic update',
    inputs: {
      ...mlpShapes(critic),
      ...normalizerShapes(observationSize),
      ...valueScaleShapes,
      observation: [batchSize, observationSize],
      action: [batchSize, actionSize],
      value: [batchSize],
    },
    split: ['observation', 'action', 'value'],
    body: (t) => {
      let q = t.value;
      // In units of the scale of Q, so that the clip of the gradient means the same at any.
      const error = (...values: Tensor[]) => {
        const networks = { ...t, ...Object.fromEntries(parameters.map((name, i) => [name, values[i]])) };
        q = tf.keep(qValues(critic, networks, t.observation, t.action));
        return tf.div(tf.sum(tf.square(tf.div(tf.sub(q, t.value), t[VALUE_SCALE.width]))), batchSize);
      };
      const { value, grads } = tf.valueAndGrads(error as never)(parameters.map((name) => t[name]));
      const gradients = Object.fromEntries(parameters.map((name, i) => [gradientOf(name), grads[i]]));
      return {
        ...gradients,
        loss: tf.mul(value, tf.square(t[VALUE_SCALE.width])),
        meanQ: tf.div(tf.sum(q), critic.members * batchSize),
      };
    },
  });
  const size = agent.critic.flat.shape;
  const optimize = await makeAdam(engine, size[0], { learningRate, clip: gradientClip });
  const follow = await engine.program({
    name: 'target critic update',
    inputs: { online: size, delayed: size },
    body: ({ online, delayed }) => ({
      "delayed'": tf.add(delayed, tf.mul(tf.sub(online, delayed), targetRate)),
    }),
  });
  const loss = NdArray.scalar(0);
  const meanQ = NdArray.scalar(0);
  return async ({ observation, action, value }) => {
    const left = replaceLost([observation, action, value]);
    const inputs = { ...agent.critic.arrays, ...agent.scales, observation, action, value };
    if (left < batchSize) await program.run(inputs, { ...agent.critic.gradients, loss, meanQ });
    if (left === batchSize || !allFinite(loss.data) || !allFinite(agent.critic.gradient.data))
      return { loss: 0, q: 0, left, skipped: true };
    await optimize(agent.critic);
    const { flat: online } = agent.critic;
    const { flat: delayed } = agent.target;
    await follow.run({ online, delayed }, { "delayed'": delayed });
    return { loss: loss.data[0], q: meanQ.data[0], left, skipped: false };
  };
}

/** Puts copies of other rows where a row of one of `arrays` is not finite; returns how many. */
function replaceLost(arrays: readonly NdArray[]): number {
  if (arrays.every(({ data }) => allFinite(data))) return 0;
  const rows = arrays[0].shape[0];
  const own = ({ data }: NdArray, row: number) =>
    data.subarray((row * data.length) / rows, ((row + 1) * data.length) / rows);
  const isWhole = (row: number) => arrays.every((array) => allFinite(own(array, row)));
  const kept = Array.from({ length: rows }, (_, row) => row).filter(isWhole);
  for (let row = 0; row < rows && kept.length > 0; row++) {
    if (!isWhole(row)) for (const array of arrays) own(array, row).set(own(array, kept[row % kept.length]));
  }
  return rows - kept.length;
}
