// Algorithm 1's objective J in plain double arithmetic, one trajectory after another, from nothing but numbers.
import type { Agent } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import type { Random } from '../../trainer/random.js';
import { act, type Numbers, normals, numbersOf, predict, softValue } from './plainNetworks.js';

/** The numbers of an agent, copied. */
export interface PlainAgent {
  policies: Numbers[];
  /** π₀ inside V^old: a constant of the objective, unless one policy acts at all steps. */
  oldPolicy: Numbers;
  critic: Numbers;
  ensemble: Numbers;
  scales: Numbers;
}

export function plainAgent(
  { policies, critic, ensemble, scales }: Agent,
  { policies: kind }: Options,
): PlainAgent {
  const shared = kind === 'shared';
  const numbers = policies.map(({ arrays }) => numbersOf(arrays));
  return {
    policies: numbers,
    oldPolicy: shared ? numbers[0] : numbersOf(policies[0].arrays),
    critic: numbersOf(critic.arrays),
    ensemble: numbersOf(ensemble.arrays),
    scales: numbersOf(scales),
  };
}

export interface Plan {
  objective: number;
  horizons: number[];
  terminal: boolean[];
  /** u and -log π₀ of the first step, means over the batch. */
  uncertainty: number;
  entropy: number;
}

export interface PlanFrom {
  states: Float32Array;
  threshold: number | null;
  isTerminal: (observation: number[]) => boolean;
  random: Random;
}

/** J of `states`, with the random numbers that the learner draws, in its order: for each step, then for V^old. */
export function plan(
  agent: PlainAgent,
  { networks, elites }: Pick<Agent, 'networks' | 'elites'>,
  options: Options,
  { states, threshold, isTerminal, random }: PlanFrom,
): Plan {
  const { observationSize: n, actionSize: m, stateSize } = networks;
  const { commandDelay } = options;
  const periods = Math.ceil(commandDelay);
  /** What acts: of [a_t, a_{t-1}, …] the one that is `commandDelay` periods old, between two by their shares. */
  const late = (actions: number[][]) => {
    const whole = Math.floor(commandDelay);
    const share = commandDelay - whole;
    return actions[whole].map(
      (value, i) => (1 - share) * value + (share > 0 ? share * actions[whole + 1][i] : 0),
    );
  };
  const { batchSize, horizonMax, discount, regularization } = options;
  const { policies, oldPolicy, critic, ensemble, scales } = agent;

  const over = (q: number[]) =>
    options.planValue === 'mean' ? q.reduce((a, b) => a + b) / q.length : Math.min(...q);
  const oldValue = ({ s, pending }: { s: number[]; pending: number[][] }, noise: number[]) =>
    softValue(networks, { policy: oldPolicy, critic, prefix: 'critic', scales }, s, noise, {
      over,
      late: (a) => late([a, ...pending]),
    });
  const routed = regularization === 0;
  const scored = !routed || options.uncertaintyThreshold !== null;

  const result: Plan = { objective: 0, horizons: [], terminal: [], uncertainty: 0, entropy: 0 };
  const ends: { s: number[]; pending: number[][] }[] = [];
  let live = Array.from({ length: batchSize }, (_, row) => ({
    row,
    s: Array.from(states.subarray(row * stateSize, row * stateSize + n)),
    pending: Array.from({ length: periods }, (_, k) => {
      const from = row * stateSize + n + k * m;
      return Array.from(states.subarray(from, from + m));
    }),
  }));
  for (let t = 0; t < horizonMax && live.length > 0; t++) {
    const places = batchFor(live.length, batchSize);
    const actionNoise = Array.from({ length: places }, () => normals(m, random));
    const noise = Array.from({ length: places }, () =>
      options.modelNoise ? normals(n + 1, random) : new Array<number>(n + 1).fill(0),
    );
    const member = Array.from({ length: places }, (_, i) =>
      routed ? elites[Math.floor((i * elites.length) / places)] : elites[random.integer(elites.length)],
    );
    const going = live.flatMap(({ row, s, pending }, k) => {
      const i = Math.floor((k * places) / live.length);
      const { action, logProbability } = act(
        networks,
        policies[Math.min(t, policies.length - 1)],
        scales,
        s,
        actionNoise[i],
      );
      const predictions = predict(networks, ensemble, scales, s, late([action, ...pending]));
      const u = scored ? Math.log(oneVersusRest(predictions) + 1e-3) : Number.NaN;
      const { mean, variance } = predictions[member[i]];
      const [reward, ...change] = mean.map(
        (value, d) =>
          (value + Math.sqrt(variance[d]) * noise[i][d]) * scales['model.targetSd'][d] +
          scales['model.targetMean'][d],
      );
      const next = s.map((value, d) => value + change[d]);
      const penalty = routed ? 0 : regularization * u;
      const gain = reward - scales['entropy coefficient'][0] * logProbability - penalty;
      result.objective += (discount ** t * gain) / batchSize;
      if (t === 0) {
        result.uncertainty += u / batchSize;
        result.entropy -= logProbability / batchSize;
      }
      result.horizons[row] = t + 1;
      result.terminal[row] = isTerminal(next);
      const state = { s: next, pending: [action, ...pending].slice(0, periods) };
      ends[row] = state;
      const cut = threshold !== null && u >= threshold;
      return result.terminal[row] || cut ? [] : [{ row, ...state }];
    });
    const order = Int32Array.from(going.keys());
    if (routed && t < horizonMax - 1) random.shuffle(order);
    live = Array.from(order, (i) => going[i]);
  }
  for (let row = 0; row < batchSize; row++) {
    const value = oldValue(ends[row], normals(m, random));
    if (!result.terminal[row]) result.objective += (discount ** result.horizons[row] * value) / batchSize;
  }
  return result;
}

/** Eq. 8: Σ KL(p_i ‖ the other members' mixture as one Gaussian), over members and dimensions. */
export function oneVersusRest(predictions: { mean: number[]; variance: number[] }[]): number {
  let sum = 0;
  for (const [i, own] of predictions.entries()) {
    const rest = predictions.filter((_, k) => k !== i);
    for (const [d, mean] of own.mean.entries()) {
      const centre = rest.reduce((total, other) => total + other.mean[d], 0) / rest.length;
      const variance =
        rest.reduce((total, other) => total + other.variance[d] + (other.mean[d] - centre) ** 2, 0) /
        rest.length;
      const ratio = own.variance[d] / variance;
      sum += 0.5 * ((mean - centre) ** 2 / variance + ratio - 1 - Math.log(ratio));
    }
  }
  return sum;
}

/** Steps are computed for 16, 32, … rows, and for the whole batch: noise is drawn for all places. */
function batchFor(count: number, batchSize: number): number {
  let places = Math.min(16, batchSize);
  while (places < count) places = Math.min(2 * places, batchSize);
  return places;
}
