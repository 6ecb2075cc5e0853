// Policy evaluation: the twin critic's update on real transitions, as in SAC (Algorithm 2, line 6).
import { ADAM, adam, setAdamStep, withMoments } from '../nets/adam.js';
import { softValue, twinQ } from '../nets/critic.js';
import { mlpNames, mlpShapes } from '../nets/mlp.js';
import { NORMALIZER } from '../nets/policy.js';
import type { Random } from '../random.js';
import { NdArray, updated } from '../tensor/array.js';
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
  const targetNames = mlpNames(target);
  const noise = new NdArray([batchSize, actionSize]);
  const step = new NdArray([2]);
  const program = await engine.program({
    name: 'critic update',
    inputs: {
      ...mlpShapes(policy),
      ...withMoments(mlpShapes(critic)),
      ...mlpShapes(target),
      [NORMALIZER.mean]: [observationSize],
      [NORMALIZER.sd]: [observationSize],
      observation: [batchSize, observationSize],
      action: [batchSize, actionSize],
      reward: [batchSize],
      next: [batchSize, observationSize],
      continues: [batchSize],
      noise: noise.shape,
      [ADAM]: step.shape,
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
      const gradients = Object.fromEntries(parameters.map((name, i) => [name, grads[i]]));
      const outputs = adam(parameters, gradients, t, gradientClip);
      for (const [i, name] of targetNames.entries()) {
        const difference = tf.sub(outputs[updated(parameters[i])], t[name]);
        outputs[updated(name)] = tf.add(t[name], tf.mul(difference, targetRate));
      }
      return { ...outputs, loss, q: tf.mean(q) };
    },
  });
  const loss = NdArray.scalar(0);
  const q = NdArray.scalar(0);
  return async (batch, random) => {
    random.fillNormal(noise.data);
    setAdamStep(step, ++agent.criticSteps, learningRate);
    const inputs = {
      ...agent.policies[0].current,
      ...agent.critic.current,
      ...agent.target.current,
      ...agent.scales.current,
      ...batch,
      noise,
      [ADAM]: step,
    };
    await program.run(inputs, { ...agent.critic.targets, ...agent.target.targets, loss, q });
    agent.critic.advance();
    agent.target.advance();
    return { loss: loss.data[0], q: q.data[0] };
  };
}
