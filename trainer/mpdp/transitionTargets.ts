// Targets of the critic from real transitions, as in SAC (Algorithm 2, line 6).
import type { Random } from '../random.js';
import { NdArray } from '../tensor/array.js';
import type { Arrivals } from './commandDelay.js';
import type { Targets } from './critic.js';
import type { Options } from './options.js';
import type { Batch } from './replay.js';
import type { TargetValue } from './targetValue.js';

/** Targets for the transitions of a batch; valid until the next call. */
export type TransitionTargets = (batch: Batch, random: Random) => Promise<Targets>;

/**
 * Eq. 2 and 3 with the delayed critic: r + γ (1 - terminal) V(s′). A transition's action is what was in force; what is
 * still to come at s′ are π₀'s actions, which `arrivals` adds where commands take effect late.
 */
export function makeTransitionTargets(
  { batchSize, discount }: Options,
  targetValue: TargetValue,
  arrivals?: Arrivals,
): TransitionTargets {
  const value = new NdArray([batchSize]);
  return async (batch, random) => {
    const { observation, action, reward, next, continues } = batch;
    const following = await targetValue((await arrivals?.(batch)) ?? next.data, random);
    for (let i = 0; i < batchSize; i++) {
      value.data[i] = reward.data[i] + (continues.data[i] ? discount * following[i] : 0);
    }
    return { observation, action, value };
  };
}
