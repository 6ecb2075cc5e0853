// Commands that take effect late: actions that are still to come are part of an imagined state, which policies do not see.
import { mlpShapes } from '../nets/mlp.js';
import { meanAction, normalizerShapes } from '../nets/policy.js';
import { NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Tensor, tf } from '../tensor/tf.js';
import { delayWeights } from './delayWeights.js';
import type { Agent, Networks } from './networks.js';
import type { Batch } from './replay.js';

/** Of states `[rows, stateSize]`: what is observed, and the actions of the last periods, newest first. */
export function observedAndPending({ observationSize, actionSize, delay }: Networks, state: Tensor) {
  const periods = delayWeights(delay).length - 1;
  if (periods === 0) return { observation: state, pending: [] };
  const [observation, ...pending] = tf.split(
    state,
    [observationSize, ...new Array<number>(periods).fill(actionSize)],
    1,
  );
  return { observation, pending };
}

/** What acts on the robot over a period that begins with `action`: a mixture of it and of those before. */
export function inForce({ delay }: Networks, action: Tensor, pending: readonly Tensor[]): Tensor {
  const terms = delayWeights(delay).flatMap((weight, k) =>
    weight > 0 ? [tf.mul(k === 0 ? action : pending[k - 1], weight)] : [],
  );
  return pending.length === 0 ? action : terms.reduce((sum, term) => tf.add(sum, term));
}

/** The state `[rows, stateSize]` after a period that began with `action` and ended with `observation`. */
export function stateAfter(observation: Tensor, action: Tensor, pending: readonly Tensor[]): Tensor {
  return pending.length === 0 ? observation : tf.concat([observation, action, ...pending.slice(0, -1)], 1);
}

/** States `[rows, stateSize]` that transitions lead to, valid until the next call. */
export type Arrivals = (batch: Pick<Batch, 'observation' | 'next' | 'continues'>) => Promise<Float32Array>;

/**
 * Where π₀ is on its way: at the next observation, with its mean action at the observation before pending, which stands
 * for those of all periods before. After a terminal state nothing comes: it is then as if the robot had stood still.
 */
export async function makeArrivals(engine: Engine, agent: Agent, rows: number): Promise<Arrivals> {
  const { policy, observationSize: n, actionSize: m, stateSize, delay } = agent.networks;
  const periods = delayWeights(delay).length - 1;
  const observation = new NdArray([rows, n]);
  const states = new Float32Array(rows * stateSize);
  const program = await engine.program({
    name: `pending action, batch ${rows}`,
    inputs: { ...mlpShapes(policy), ...normalizerShapes(n), observation: observation.shape },
    split: ['observation', 'action'],
    body: (t) => ({ action: meanAction(policy, t, t.observation) }),
  });
  const { action } = program.outputs();
  return async (batch) => {
    observation.data.set(batch.observation.data);
    await program.run({ ...agent.policies[0].arrays, ...agent.scales, observation }, { action });
    for (let row = 0; row < rows; row++) {
      const reached = batch.continues.data[row] ? batch.next : batch.observation;
      states.set(reached.data.subarray(row * n, (row + 1) * n), row * stateSize);
      for (let k = 0; k < periods; k++)
        states.set(action.data.subarray(row * m, (row + 1) * m), row * stateSize + n + k * m);
    }
    return states;
  };
}
