// The uncertainty of the model at observations and actions that are there already, as a program of its own.
import { predict, standardizerShapes } from '../nets/ensemble.js';
import { mlpShapes } from '../nets/mlp.js';
import { NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { tf } from '../tensor/tf.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';
import { uncertainty } from './uncertainty.js';

/** u `[rows]` of observations and actions, without a gradient; valid until the next call. */
export type Scorer = (observations: Float32Array, actions: Float32Array) => Promise<Float32Array>;

export async function makeScorer(
  engine: Engine,
  agent: Agent,
  options: Options,
  rows: number,
): Promise<Scorer> {
  const { ensemble, observationSize, actionSize } = agent.networks;
  const observation = new NdArray([rows, observationSize]);
  const action = new NdArray([rows, actionSize]);
  const u = new NdArray([rows]);
  const program = await engine.program({
    name: `uncertainty, batch ${rows}`,
    inputs: {
      ...mlpShapes(ensemble),
      ...standardizerShapes(ensemble),
      observation: observation.shape,
      action: action.shape,
    },
    split: ['observation', 'action', 'u'],
    body: (t) => ({
      u: uncertainty(predict(ensemble, t, tf.concat([t.observation, t.action], 1)), options.uncertaintyScore),
    }),
  });
  return async (observations, actions) => {
    observation.data.set(observations);
    action.data.set(actions);
    await program.run({ ...agent.ensemble.arrays, ...agent.scales, observation, action }, { u });
    return u.data;
  };
}
