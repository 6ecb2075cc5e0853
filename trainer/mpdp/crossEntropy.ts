// Online planning by the cross entropy method over the same ensemble (PETS, Chua et al. 2018): the yardstick for π₀.
import { chosen, predict, sampleTransition, standardizerShapes } from '../nets/ensemble.js';
import { mlpShapes } from '../nets/mlp.js';
import type { Random } from '../random.js';
import { NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { tf } from '../tensor/tf.js';
import type { Agent } from './networks.js';

export interface CrossEntropyOptions {
  /** Action sequences drawn in each iteration. */
  candidates: number;
  /** Best of them, which the next iteration's distribution is fitted to. */
  elites: number;
  iterations: number;
  horizon: number;
  discount: number;
}

/** PETS's own settings for the tasks of the paper. */
export const PETS_OPTIONS: CrossEntropyOptions = {
  candidates: 500,
  elites: 50,
  iterations: 5,
  horizon: 25,
  discount: 0.99,
};

/** The first action `[actions]` in [-1, 1] of the best plan from an observation `[observations]`. */
export type Plan = (observation: Float32Array) => Promise<Float32Array>;

export async function makeCrossEntropyPlanner(
  engine: Engine,
  agent: Agent,
  options: CrossEntropyOptions,
  random: Random,
): Promise<Plan> {
  const { ensemble, observationSize, actionSize } = agent.networks;
  const { candidates, elites, iterations, horizon, discount } = options;
  const inputs = {
    observation: new NdArray([candidates, observationSize]),
    action: new NdArray([candidates, actionSize]),
    member: new NdArray([candidates, ensemble.members]),
    noise: new NdArray([candidates, 1 + observationSize]),
  };
  const { observation, action, member, noise } = inputs;
  const program = await engine.program({
    name: 'planner step',
    inputs: {
      ...mlpShapes(ensemble),
      ...standardizerShapes(ensemble),
      observation: observation.shape,
      action: action.shape,
      member: member.shape,
      noise: noise.shape,
    },
    body: (t) => {
      const prediction = predict(ensemble, t, tf.concat([t.observation, t.action], 1));
      return sampleTransition(ensemble, t, chosen(prediction, t.member), t.observation, t.noise);
    },
  });
  const { reward, next } = program.outputs();
  const width = horizon * actionSize;
  const plans = new Float32Array(candidates * width);
  const returns = new Float64Array(candidates);

  /** The discounted return of every plan, each sampled with one elite member throughout (TS∞). */
  async function evaluate(start: Float32Array): Promise<void> {
    returns.fill(0);
    member.data.fill(0);
    for (let i = 0; i < candidates; i++) {
      observation.data.set(start, i * observationSize);
      member.data[i * ensemble.members + agent.elites[random.integer(agent.elites.length)]] = 1;
    }
    for (let t = 0; t < horizon; t++) {
      for (let i = 0; i < candidates; i++) {
        const from = i * width + t * actionSize;
        action.data.set(plans.subarray(from, from + actionSize), i * actionSize);
      }
      random.fillNormal(noise.data);
      await program.run({ ...agent.ensemble.arrays, ...agent.scales, ...inputs }, { reward, next });
      for (let i = 0; i < candidates; i++) returns[i] += discount ** t * reward.data[i];
      observation.data.set(next.data);
    }
  }

  return async (start) => {
    const mean = new Float64Array(width);
    const sd = new Float64Array(width).fill(0.5);
    for (let iteration = 0; iteration < iterations; iteration++) {
      for (let k = 0; k < plans.length; k++) {
        const at = k % width;
        plans[k] = Math.max(-1, Math.min(1, mean[at] + sd[at] * random.normal()));
      }
      await evaluate(start);
      const best = Array.from(returns.keys())
        .sort((a, b) => returns[b] - returns[a])
        .slice(0, elites);
      for (let at = 0; at < width; at++) {
        mean[at] = best.reduce((sum, i) => sum + plans[i * width + at], 0) / elites;
        sd[at] = Math.sqrt(
          best.reduce((sum, i) => sum + (plans[i * width + at] - mean[at]) ** 2, 0) / elites,
        );
      }
    }
    return Float32Array.from(mean.subarray(0, actionSize));
  };
}
