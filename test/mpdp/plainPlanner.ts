// Algorithm 1's objective J in plain double arithmetic, one trajectory after another, from nothing but numbers.
import type { Agent } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import type { Random } from '../../trainer/random.js';

export type Numbers = Record<string, Float64Array>;

/** The numbers of an agent, copied. */
export interface PlainAgent {
  policies: Numbers[];
  /** π₀ inside V^old: a constant of the objective. */
  oldPolicy: Numbers;
  critic: Numbers;
  ensemble: Numbers;
  scales: Numbers;
}

export function plainAgent({ policies, critic, ensemble, scales }: Agent): PlainAgent {
  const copy = (arrays: Agent['scales']): Numbers =>
    Object.fromEntries(Object.entries(arrays).map(([name, { data }]) => [name, Float64Array.from(data)]));
  return {
    policies: policies.map(({ arrays }) => copy(arrays)),
    oldPolicy: copy(policies[0].arrays),
    critic: copy(critic.arrays),
    ensemble: copy(ensemble.arrays),
    scales: copy(scales),
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

/** J of `states`, with the random numbers that the learner draws, in its order: for each step, then for V^old. */
export function plan(
  agent: PlainAgent,
  { networks, elites }: Pick<Agent, 'networks' | 'elites'>,
  options: Options,
  states: Float32Array,
  threshold: number,
  isTerminal: (observation: number[]) => boolean,
  random: Random,
): Plan {
  const { observationSize: n, actionSize: m } = networks;
  const { batchSize, horizonMax, discount, entropyCoefficient, regularization, ensembleSize } = options;
  const { policies, oldPolicy, critic, ensemble, scales } = agent;

  const normalized = (s: number[]) =>
    s.map((value, i) => (value - scales['normalizer.mean'][i]) / scales['normalizer.sd'][i]);
  const act = (policy: Numbers, s: number[], noise: number[]) => {
    const out = network(policy, 'policy', networks.policy.sizes, relu, normalized(s));
    let logProbability = 0;
    const action = noise.map((z, i) => {
      const logSd = -1.5 + 3.5 * Math.tanh(out[m + i]);
      const raw = out[i] + Math.exp(logSd) * z;
      // log (1 - tanh² x) = -2 log cosh x, with |x| so that nothing cancels or overflows.
      const squash = 2 * (Math.LN2 - Math.abs(raw) - Math.log1p(Math.exp(-2 * Math.abs(raw))));
      logProbability += -0.5 * z * z - logSd - 0.5 * Math.log(2 * Math.PI) - squash;
      return Math.tanh(raw);
    });
    return { action, logProbability };
  };
  const predict = (s: number[], a: number[]) => {
    const input = [...s, ...a].map(
      (value, i) => (value - scales['model.inputMean'][i]) / scales['model.inputSd'][i],
    );
    return Array.from({ length: ensembleSize }, (_, k) => {
      const out = network(ensemble, 'model', networks.ensemble.sizes, swish, input, k);
      const variance = out.slice(n + 1).map((raw) => {
        const below = 0.5 - Math.log1p(Math.exp(0.5 - raw));
        return Math.exp(-10 + Math.log1p(Math.exp(below + 10)));
      });
      return { mean: out.slice(0, n + 1), variance };
    });
  };
  const oldValue = (s: number[], noise: number[]) => {
    const { action, logProbability } = act(oldPolicy, s, noise);
    const input = [...normalized(s), ...action];
    const q = [0, 1].map((k) => network(critic, 'critic', networks.critic.sizes, relu, input, k)[0]);
    return Math.min(...q) - entropyCoefficient * logProbability;
  };

  const result: Plan = { objective: 0, horizons: [], terminal: [], uncertainty: 0, entropy: 0 };
  const ends: number[][] = [];
  let live = Array.from({ length: batchSize }, (_, row) => ({
    row,
    s: Array.from(states.subarray(row * n, (row + 1) * n)),
  }));
  for (let t = 0; t < horizonMax && live.length > 0; t++) {
    const places = batchFor(live.length, batchSize);
    const actionNoise = Array.from({ length: places }, () => normals(m, random));
    const noise = Array.from({ length: places }, () =>
      options.modelNoise ? normals(n + 1, random) : zeros(n + 1),
    );
    const member = Array.from({ length: places }, () => elites[random.integer(elites.length)]);
    live = live.flatMap(({ row, s }, i) => {
      const { action, logProbability } = act(policies[t], s, actionNoise[i]);
      const predictions = predict(s, action);
      const u = Math.log(oneVersusRest(predictions) + 1e-3);
      const { mean, variance } = predictions[member[i]];
      const [reward, ...change] = mean.map(
        (value, d) =>
          (value + Math.sqrt(variance[d]) * noise[i][d]) * scales['model.targetSd'][d] +
          scales['model.targetMean'][d],
      );
      const next = s.map((value, d) => value + change[d]);
      const gain = reward - entropyCoefficient * logProbability - regularization * u;
      result.objective += (discount ** t * gain) / batchSize;
      if (t === 0) {
        result.uncertainty += u / batchSize;
        result.entropy -= logProbability / batchSize;
      }
      result.horizons[row] = t + 1;
      result.terminal[row] = isTerminal(next);
      ends[row] = next;
      return result.terminal[row] || u >= threshold ? [] : [{ row, s: next }];
    });
  }
  for (let row = 0; row < batchSize; row++) {
    const value = oldValue(ends[row], normals(m, random));
    if (!result.terminal[row]) result.objective += (discount ** result.horizons[row] * value) / batchSize;
  }
  return result;
}

/** Eq. 8: Σ KL(p_i ‖ the other members' mixture as one Gaussian), over members and dimensions. */
function oneVersusRest(predictions: { mean: number[]; variance: number[] }[]): number {
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

const relu = (x: number) => Math.max(0, x);
const swish = (x: number) => x / (1 + Math.exp(-x));
const zeros = (count: number) => new Array<number>(count).fill(0);
/** Rounded to float32, as the learner holds them. */
const normals = (count: number, random: Random) =>
  Array.from({ length: count }, () => Math.fround(random.normal()));

function network(
  numbers: Numbers,
  prefix: string,
  sizes: readonly number[],
  activation: (x: number) => number,
  x: number[],
  member = 0,
): number[] {
  return sizes.slice(1).reduce((h, size, layer) => {
    const w = numbers[`${prefix}.w${layer}`].subarray(member * h.length * size);
    const b = numbers[`${prefix}.b${layer}`].subarray(member * size);
    const out = Array.from({ length: size }, (_, o) =>
      h.reduce((sum, value, i) => sum + value * w[i * size + o], b[o]),
    );
    return layer === sizes.length - 2 ? out : out.map(activation);
  }, x);
}
