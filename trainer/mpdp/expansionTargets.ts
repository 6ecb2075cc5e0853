// Targets of the critic from π₀'s own steps through the model (value expansion), not the plan's.
import { ENTROPY_COEFFICIENT, VALUE_SCALE } from '../nets/critic.js';
import type { Random } from '../random.js';
import { NdArray, type NdArrays } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import type { Targets } from './critic.js';
import type { Termination } from './farsighted.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';
import { makePolicyRollout } from './policyRollout.js';
import type { TargetValue } from './targetValue.js';

/** Quantiles of r - α log π that bound the values, and the rate at which the bounds move. */
const LOW_QUANTILE = 0.01;
const HIGH_QUANTILE = 0.99;
const BOUND_RATE = 3e-4;

/** Targets for Q(s₀, a₀), a₀ ~ π₀ or what is in force then, of states s₀ `[batch, stateSize]`; valid until the next call. */
export type ExpansionTargets = (states: NdArray, random: Random) => Promise<Targets>;

/**
 * With h = Hmax: Q(s₀, a₀) = Σ_{k<h} γᵏ r_k - α Σ_{0<k<h} γᵏ log π₀(a_k|s_k) + γʰ V(s_h), up to a terminal state's
 * reward where one comes first. `boundedCritic`: clipped to the bounds that set the scale of Q.
 */
export async function makeExpansionTargets(
  engine: Engine,
  agent: Agent,
  options: Options,
  isTerminal: Termination,
  targetValue: TargetValue,
): Promise<ExpansionTargets> {
  const { batchSize, horizonMax, discount, boundedCritic } = options;
  const { observationSize: n, actionSize, stateSize } = agent.networks;
  const rollOut = await makePolicyRollout(engine, agent, options, batchSize, horizonMax);
  const observation = new NdArray([batchSize, n]);
  const action = new NdArray([batchSize, actionSize]);
  const value = new NdArray([batchSize]);
  /** γᵏ. */
  const weight = Float64Array.from({ length: horizonMax + 1 }, (_, k) => discount ** k);
  return async ({ data: from }, random) => {
    const { states, actions, rewards, logProbabilities } = await rollOut(from, random);
    for (let row = 0; row < batchSize; row++)
      observation.data.set(from.subarray(row * stateSize, row * stateSize + n), row * n);
    action.data.set(actions[0]);
    const final = await targetValue(states[horizonMax - 1], random);
    const alpha = agent.scales[ENTROPY_COEFFICIENT].data[0];
    const gains: number[] = [];
    for (let row = 0; row < batchSize; row++) {
      let sum = 0;
      let ended = false;
      for (let k = 0; k < horizonMax && !ended; k++) {
        const gain = rewards[k][row] - alpha * logProbabilities[k][row];
        if (Number.isFinite(gain)) gains.push(gain);
        sum += weight[k] * (k === 0 ? rewards[0][row] : gain);
        ended = isTerminal(states[k].subarray(row * stateSize, row * stateSize + n));
      }
      value.data[row] = ended ? sum : sum + weight[horizonMax] * final[row];
    }
    if (boundedCritic && gains.length > 0) {
      moveBounds(agent.scales, gains, discount);
      clipToBounds(agent.scales, value.data);
    }
    return { observation, action, value };
  };
}

/**
 * Moves centre and width of Q towards the range of values that the gains' quantiles allow, 0 always in it: what a
 * terminal state is worth. An untouched scale (width 1, centre 0) takes it at once.
 */
function moveBounds(scales: NdArrays, gains: number[], discount: number): void {
  const centre = scales[VALUE_SCALE.centre].data;
  const width = scales[VALUE_SCALE.width].data;
  const sorted = Float64Array.from(gains).sort();
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] / (1 - discount);
  const low = Math.min(0, quantile(LOW_QUANTILE));
  const high = Math.max(0, quantile(HIGH_QUANTILE));
  const rate = width[0] === 1 && centre[0] === 0 ? 1 : BOUND_RATE;
  centre[0] += rate * ((low + high) / 2 - centre[0]);
  width[0] += rate * (Math.max(1e-3, (high - low) / 2) - width[0]);
}

/** Clips values to those that the scale of Q reaches. */
export function clipToBounds(scales: NdArrays, values: Float32Array): void {
  const [centre, width] = [scales[VALUE_SCALE.centre].data[0], scales[VALUE_SCALE.width].data[0]];
  for (let i = 0; i < values.length; i++) {
    values[i] = Math.max(centre - width, Math.min(centre + width, values[i]));
  }
}
