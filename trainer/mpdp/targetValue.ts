// V of the delayed critic, as targets use it: the minimum over a random subset of its networks.
import { ENTROPY_COEFFICIENT, softValue, valueScaleShapes } from '../nets/critic.js';
import { mlpShapes } from '../nets/mlp.js';
import { normalizerShapes } from '../nets/policy.js';
import type { Random } from '../random.js';
import { NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { tf } from '../tensor/tf.js';
import { inForce, observedAndPending } from './commandDelay.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';

/** V `[batch]` of states `[batch, stateSize]`; valid until the next call. */
export type TargetValue = (states: Float32Array, random: Random) => Promise<Float32Array>;

/** Added to the networks that are not in the subset. */
const OUT_OF_SIGHT = 1e30;

export async function makeTargetValue(engine: Engine, agent: Agent, options: Options): Promise<TargetValue> {
  const { networks } = agent;
  const { policy, target, observationSize, actionSize } = networks;
  const { batchSize, critics, criticSubset } = options;
  const state = new NdArray([batchSize, networks.stateSize]);
  const noise = new NdArray([batchSize, actionSize]);
  const outside = new NdArray([critics, 1]);
  const program = await engine.program({
    name: 'target value',
    inputs: {
      ...mlpShapes(policy),
      ...mlpShapes(target),
      ...normalizerShapes(observationSize),
      ...valueScaleShapes,
      [ENTROPY_COEFFICIENT]: [],
      state: state.shape,
      noise: noise.shape,
      outside: outside.shape,
    },
    split: ['state', 'noise', 'value'],
    body: (t) => {
      const { observation, pending } = observedAndPending(networks, t.state);
      const given = { observation, noise: t.noise };
      const value = softValue({ policy, critic: target }, t, given, {
        over: (q) => tf.min(tf.add(q, t.outside), 0),
        inForce: (action) => inForce(networks, action, pending),
      });
      return { value };
    },
  });
  const { value } = program.outputs();
  return async (states, random) => {
    state.data.set(states);
    random.fillNormal(noise.data);
    if (criticSubset < critics) {
      outside.data.fill(OUT_OF_SIGHT);
      const order = random.shuffle(Int32Array.from({ length: critics }, (_, k) => k));
      for (const k of order.subarray(0, criticSubset)) outside.data[k] = 0;
    }
    const inputs = { ...agent.policies[0].arrays, ...agent.target.arrays, ...agent.scales };
    await program.run({ ...inputs, state, noise, outside }, { value });
    return value.data;
  };
}
