// The return of π₀ in the model: whole episodes through each of its members, whose spread says how sure that is.
import { setImmediate } from 'node:timers/promises';
import type { Agent } from '../mpdp/networks.js';
import type { Options } from '../mpdp/options.js';
import { makePolicyRollout } from '../mpdp/policyRollout.js';
import { Random } from '../random.js';
import type { Task } from '../sim/task.js';
import type { Engine } from '../tensor/engine.js';

/** Steps that one run of the program takes. */
const STEPS = 10;

export interface ModelReturn {
  /** Over the members. */
  mean: number;
  /** Standard deviation between the members. */
  sd: number;
  /** Mean return through each member, best member first. */
  byMember: number[];
}

/**
 * Returns of the mean action from `starts`, each `[observations]`, through every member; `seed` decides the noise. Where
 * commands take effect late, the robot stands in the middle of its actuators' ranges before.
 */
export type EvaluateInModel = (
  starts: readonly Float32Array[],
  seed: number,
  stop?: AbortSignal,
) => Promise<ModelReturn>;

/** @param episodes how many start states it will be given */
export async function makeModelReturn(
  engine: Engine,
  agent: Agent,
  options: Options,
  { maxEpisodeSteps, terminated }: Pick<Task, 'maxEpisodeSteps' | 'terminated'>,
  episodes: number,
): Promise<EvaluateInModel> {
  const members = options.elites;
  const { observationSize, stateSize: n } = agent.networks;
  const rows = episodes * members;
  const rollOut = await makePolicyRollout(engine, agent, options, rows, STEPS);
  return async (starts, seed, stop) => {
    const random = new Random(seed);
    const current = new Float32Array(rows * n);
    // The first rows go through the first member all along, and so on.
    for (let row = 0; row < rows; row++) current.set(starts[row % episodes], row * n);
    const returns = new Float64Array(rows);
    let living = Array.from(returns.keys());
    for (let step = 0; step < maxEpisodeSteps && living.length > 0; step += STEPS) {
      await setImmediate();
      stop?.throwIfAborted();
      const { states, rewards } = await rollOut(current, random, false);
      for (let k = 0; k < Math.min(STEPS, maxEpisodeSteps - step); k++) {
        living = living.filter((row) => {
          const state = states[k].subarray(row * n, row * n + observationSize);
          // A model that leaves all bounds has nothing more to say.
          if (!Number.isFinite(rewards[k][row]) || !state.every(Number.isFinite)) return false;
          returns[row] += rewards[k][row];
          return !terminated(state);
        });
      }
      for (const row of living) current.set(states[STEPS - 1].subarray(row * n, (row + 1) * n), row * n);
    }
    const byMember = Array.from({ length: members }, (_, k) => {
      const own = returns.subarray(k * episodes, (k + 1) * episodes);
      return own.reduce((sum, value) => sum + value, 0) / episodes;
    });
    return { ...spreadOf(byMember), byMember };
  };
}

/** Mean and standard deviation. */
export function spreadOf(values: readonly number[]): { mean: number; sd: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: Math.sqrt(square / Math.max(1, values.length - 1)) };
}
