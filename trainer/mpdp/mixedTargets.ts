// Targets of the critic from imagination and reality side by side: some rows of its batch are real transitions.
import type { Random } from '../random.js';
import { NdArray } from '../tensor/array.js';
import type { Targets } from './critic.js';
import { clipToBounds, type ExpansionTargets } from './expansionTargets.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';
import type { Batch } from './replay.js';
import type { TransitionTargets } from './transitionTargets.js';

/** Targets for the last rows of `states` and the first transitions of `batch`; valid until the next call. */
export type MixedTargets = (states: NdArray, batch: Batch, random: Random) => Promise<Targets>;

export function makeMixedTargets(
  agent: Agent,
  { batchSize, realShare, boundedCritic }: Options,
  expansionTargets: ExpansionTargets,
  transitionTargets: TransitionTargets,
): MixedTargets {
  const { observationSize, actionSize } = agent.networks;
  const real = Math.round(realShare * batchSize);
  const mixed: Targets = {
    observation: new NdArray([batchSize, observationSize]),
    action: new NdArray([batchSize, actionSize]),
    value: new NdArray([batchSize]),
  };
  return async (states, batch, random) => {
    const imagined = await expansionTargets(states, random);
    const observed = await transitionTargets(batch, random);
    for (const name of ['observation', 'action', 'value'] as const) {
      const { data } = mixed[name];
      data.set(imagined[name].data);
      data.set(observed[name].data.subarray(0, (real * data.length) / batchSize));
    }
    if (boundedCritic) clipToBounds(agent.scales, mixed.value.data);
    return mixed;
  };
}
