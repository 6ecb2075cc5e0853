// Policy evaluation: the twin critic's update on real transitions, as in SAC (Algorithm 2, line 6).
import { makeAdam } from '../nets/adam.js';
import { softValue, twinQ } from '../nets/critic.js';
import { mlpNames, mlpShapes } from '../nets/mlp.js';
import { normalizerShapes } from '../nets/policy.js';
import type { Random } from '../random.js';
import { gradientOf, NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Tensor, tf } from '../tensor/tf.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';
import type { Batch } from './replay.js';

/** Mean squared Bellman error (summed over the two networks) and mean Q of the last update. */
export interface CriticUpdate {
  loss: number;
  q: number;
}

/** Updates Q₁, Q₂ and their targets with one batch. */
export type UpdateCritic = (batch: Batch, random: Random) => Promise<CriticUpdate>;

export async function makeCriticUpdate(
  engine: Engine,
  agent: Agent,
  options: Options,
): Promise<UpdateCritic> {
  const { policy, critic, target, observationSize, actionSize } = agent.networks;
  const { batchSize, discount, entropyCoefficient, targetRate, gradientClip, learningRate } = options;
  const parameters = mlpNames(critic);
  const noise = new NdArray([batchSize, actionSize]);
  const program = await engine.program({
    name: 'critic update',
    inputs: {
      ...mlpShapes(policy),
      ...mlpShapes(critic),
      ...mlpShapes(target),
      ...normalizerShapes(observationSize),
      observation: [batchSize, observationSize],
      action: [batchSize, actionSize],
      reward: [batchSize],
      next: [batchSize, observationSize],
      continues: [batchSize],
      noise: noise.shape,
    },
    body: (t) => {
      // Eq. 2 and 3 with the target network: y = r + γ (1 - terminal) V(s').
      const value = softValue(policy, target, t, t.next, t.noise, entropyCoefficient);
      const y = tf.add(t.reward, tf.mul(tf.mul(value, discount), t.continues));
      let q = y;
      const bellmanError = (...values: Tensor[]) => {
        const networks = { ...t, ...Object.fromEntries(parameters.map((name, i) => [name, values[i]])) };
        q = tf.keep(twinQ(critic, networks, t.observation, t.action));
        return tf.sum(tf.mean(tf.square(tf.sub(q, y)), 1));
      };
      const { value: loss, grads } = tf.valueAndGrads(bellmanError as never)(
        parameters.map((name) => t[name]),
      );
      const gradients = Object.fromEntries(parameters.map((name, i) => [gradientOf(name), grads[i]]));
      return { ...gradients, loss, meanQ: tf.mean(q) };
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
  return async (batch, random) => {
    random.fillNormal(noise.data);
    const inputs = {
      ...agent.policies[0].arrays,
      ...agent.critic.arrays,
      ...agent.target.arrays,
      ...agent.scales,
      ...batch,
      noise,
    };
    await program.run(inputs, { ...agent.critic.gradients, loss, meanQ });
    await optimize(agent.critic);
    const { flat: online } = agent.critic;
    const { flat: delayed } = agent.target;
    await follow.run({ online, delayed }, { "delayed'": delayed });
    return { loss: loss.data[0], q: meanQ.data[0] };
  };
}
