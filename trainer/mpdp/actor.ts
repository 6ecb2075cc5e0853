// π₀ acting on one observation at a time, in simulation: sampled for training, its mean for evaluation.
import { mlpShapes } from '../nets/mlp.js';
import { meanAction, normalizerShapes, sampleAction } from '../nets/policy.js';
import type { Random } from '../random.js';
import type { Task } from '../sim/task.js';
import { NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { toActuators } from './actionScale.js';
import type { Agent } from './networks.js';

export interface Actor {
  /** a ~ π₀(·|observation) in [-1, 1], new. */
  sample(observation: Float32Array, random: Random): Promise<Float32Array>;
  /** The action without noise, in actuator units, new. */
  mean(observation: Float32Array): Promise<Float32Array>;
}

export async function makeActor(engine: Engine, agent: Agent, task: Task): Promise<Actor> {
  const { policy, observationSize, actionSize } = agent.networks;
  const observation = new NdArray([1, observationSize]);
  const noise = new NdArray([1, actionSize]);
  const shapes = {
    ...mlpShapes(policy),
    ...normalizerShapes(observationSize),
    observation: observation.shape,
  };
  const sample = await engine.program({
    name: 'act',
    inputs: { ...shapes, noise: noise.shape },
    body: (t) => ({ action: sampleAction(policy, t, t.observation, t.noise).action }),
  });
  const mean = await engine.program({
    name: 'act without noise',
    inputs: shapes,
    body: (t) => ({ action: meanAction(policy, t, t.observation) }),
  });
  const action = new NdArray([1, actionSize]);
  const arrays = () => ({ ...agent.policies[0].arrays, ...agent.scales, observation, noise });
  return {
    async sample(seen, random) {
      observation.data.set(seen);
      random.fillNormal(noise.data);
      await sample.run(arrays(), { action });
      return action.data.slice();
    },
    async mean(seen) {
      observation.data.set(seen);
      await mean.run(arrays(), { action });
      return toActuators(task, action.data);
    },
  };
}
