// V^old at the end of a planned trajectory, with its derivative by the state: nothing else of it gets a gradient.
import { softValue } from '../nets/critic.js';
import { mlpShapes } from '../nets/mlp.js';
import { normalizerShapes } from '../nets/policy.js';
import type { Random } from '../random.js';
import { NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Tensor, tf } from '../tensor/tf.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';

export interface BootstrapValue {
  readonly matrixFlops: number;
  /** V `[batch]` and dV/ds `[batch, observations]` of states `[batch, observations]`; valid until the next call. */
  of(states: Float32Array, random: Random): Promise<{ value: Float32Array; gradient: Float32Array }>;
}

export async function makeBootstrapValue(
  engine: Engine,
  agent: Agent,
  options: Options,
): Promise<BootstrapValue> {
  const { policy, critic, observationSize, actionSize } = agent.networks;
  const { batchSize, entropyCoefficient } = options;
  const observation = new NdArray([batchSize, observationSize]);
  const noise = new NdArray([batchSize, actionSize]);
  const program = await engine.program({
    name: 'bootstrap value',
    inputs: {
      ...mlpShapes(policy),
      ...mlpShapes(critic),
      ...normalizerShapes(observationSize),
      observation: observation.shape,
      noise: noise.shape,
    },
    body: (t) => {
      const softValueOf = (states: Tensor) =>
        softValue(policy, critic, t, states, t.noise, entropyCoefficient);
      // Rows do not mix: the derivative of the sum is each row's own.
      return {
        value: softValueOf(t.observation),
        gradient: tf.grad((states) => tf.sum(softValueOf(states)))(t.observation),
      };
    },
  });
  const outputs = program.outputs();
  return {
    matrixFlops: program.matrixFlops,
    async of(states, random) {
      observation.data.set(states);
      random.fillNormal(noise.data);
      const { policies, critic: online, scales } = agent;
      await program.run({ ...policies[0].arrays, ...online.arrays, ...scales, observation, noise }, outputs);
      return { value: outputs.value.data, gradient: outputs.gradient.data };
    },
  };
}
