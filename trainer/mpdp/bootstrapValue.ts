// V at the end of planned trajectories with its derivatives: by the state, and by a policy that is one for all steps.
import { ENTROPY_COEFFICIENT, softValue, valueScaleShapes } from '../nets/critic.js';
import { mlpNames, mlpShapes } from '../nets/mlp.js';
import { normalizerShapes } from '../nets/policy.js';
import type { Random } from '../random.js';
import { gradientOf, NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Tensor, tf } from '../tensor/tf.js';
import { inForce, observedAndPending } from './commandDelay.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';

export interface BootstrapValue {
  readonly matrixFlops: number;
  /**
   * V `[batch]` of states `[batch, stateSize]`, and the derivative of Σ weights · V by the states, with weights
   * `[batch]`; valid until the next call. Where one policy acts at all steps, its gradient array gets the derivative
   * by it: its last action is then part of the plan. Separate ones are improved against V^old, a constant but for s.
   */
  of(
    states: Float32Array,
    weights: Float32Array,
    random: Random,
  ): Promise<{ value: Float32Array; gradient: Float32Array }>;
}

export async function makeBootstrapValue(
  engine: Engine,
  agent: Agent,
  options: Options,
): Promise<BootstrapValue> {
  const { networks } = agent;
  const { policy, critic, observationSize, actionSize } = networks;
  const { batchSize, planValue } = options;
  const state = new NdArray([batchSize, networks.stateSize]);
  const noise = new NdArray([batchSize, actionSize]);
  const weight = new NdArray([batchSize]);
  const learned = options.policies === 'shared' ? mlpNames(policy) : [];
  const program = await engine.program({
    name: 'bootstrap value',
    inputs: {
      ...mlpShapes(policy),
      ...mlpShapes(critic),
      ...normalizerShapes(observationSize),
      ...valueScaleShapes,
      [ENTROPY_COEFFICIENT]: [],
      state: state.shape,
      noise: noise.shape,
      weight: weight.shape,
    },
    split: ['state', 'noise', 'weight', 'value', 'gradient'],
    body: (t) => {
      const over = (q: Tensor) => (planValue === 'mean' ? tf.mean(q, 0) : tf.min(q, 0));
      let value = t.weight;
      const objective = (states: Tensor, ...parameters: Tensor[]) => {
        const own = Object.fromEntries(learned.map((name, i) => [name, parameters[i]]));
        const { observation, pending } = observedAndPending(networks, states);
        const reading = { over, inForce: (action: Tensor) => inForce(networks, action, pending) };
        const given = { observation, noise: t.noise };
        value = tf.keep(softValue({ policy, critic }, { ...t, ...own }, given, reading));
        return tf.sum(tf.mul(value, t.weight));
      };
      const { grads } = tf.valueAndGrads(objective as never)([t.state, ...learned.map((name) => t[name])]);
      const byPolicy = learned.map((name, i) => [gradientOf(name), grads[i + 1]] as const);
      return { value, gradient: grads[0], ...Object.fromEntries(byPolicy) };
    },
  });
  const outputs = { ...program.outputs(), ...(learned.length > 0 ? agent.policies[0].gradients : {}) };
  return {
    matrixFlops: program.matrixFlops,
    async of(states, weights, random) {
      weight.data.set(weights);
      state.data.set(states);
      random.fillNormal(noise.data);
      const { policies, critic: online, scales } = agent;
      const inputs = { ...policies[0].arrays, ...online.arrays, ...scales, state, noise, weight };
      await program.run(inputs, outputs);
      return { value: outputs.value.data, gradient: outputs.gradient.data };
    },
  };
}
