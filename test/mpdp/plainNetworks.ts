// The networks of an agent in plain double arithmetic, one input at a time, from nothing but numbers.
import type { Networks } from '../../trainer/mpdp/networks.js';
import type { Mlp } from '../../trainer/nets/mlp.js';
import type { Random } from '../../trainer/random.js';
import type { NdArrays } from '../../trainer/tensor/array.js';

export type Numbers = Record<string, Float64Array>;

export function numbersOf(arrays: NdArrays): Numbers {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, { data }]) => [name, Float64Array.from(data)]),
  );
}

/** Rounded to float32, as the learner holds them. */
export function normals(count: number, random: Random): number[] {
  return Array.from({ length: count }, () => Math.fround(random.normal()));
}

/** Standardised by the scales `${name}Mean` and `${name}Sd`, or `${name}.mean` and `${name}.sd`. */
function standardized(values: number[], mean: Float64Array, sd: Float64Array): number[] {
  return values.map((value, i) => (value - mean[i]) / sd[i]);
}
const seen = (scales: Numbers, s: number[]) =>
  standardized(s, scales['normalizer.mean'], scales['normalizer.sd']);

/** a = tanh(μ + σ noise) and its log probability. */
export function act(networks: Networks, policy: Numbers, scales: Numbers, s: number[], noise: number[]) {
  const out = network(policy, 'policy', networks.policy, seen(scales, s));
  let logProbability = 0;
  const action = noise.map((z, i) => {
    const x = out[noise.length + i];
    const logSd =
      networks.policy.spread === 'softplus'
        ? Math.log(Math.log1p(Math.exp(x)) + 1e-4)
        : -1.5 + 3.5 * Math.tanh(x);
    const raw = out[i] + Math.exp(logSd) * z;
    // log (1 - tanh² x) = -2 log cosh x, with |x| so that nothing cancels or overflows.
    const squash = 2 * (Math.LN2 - Math.abs(raw) - Math.log1p(Math.exp(-2 * Math.abs(raw))));
    logProbability += -0.5 * z * z - logSd - 0.5 * Math.log(2 * Math.PI) - squash;
    return Math.tanh(raw);
  });
  return { action, logProbability };
}

/** A critic, whose names begin with `prefix`, and the scales of what it sees and says. */
export interface PlainCritic {
  critic: Numbers;
  prefix: 'critic' | 'target';
  scales: Numbers;
}

/** Q₁ … Q_M. */
export function qValues(
  networks: Networks,
  { critic, prefix, scales }: PlainCritic,
  s: number[],
  a: number[],
) {
  const input = [...seen(scales, s), ...a];
  const { centre, width } = { centre: scales['value.centre'][0], width: scales['value.width'][0] };
  return Array.from({ length: networks.critic.members }, (_, k) => {
    return width * network(critic, prefix, networks.critic, input, k)[0] + centre;
  });
}

/** V(s) = min Q(s, a) - α log π(a|s) for the action that `noise` gives; `over` makes one of Q₁ … Q_M, `late` what acts. */
export function softValue(
  networks: Networks,
  { policy, ...critic }: PlainCritic & { policy: Numbers },
  s: number[],
  noise: number[],
  {
    over = (q) => Math.min(...q),
    late = (action) => action,
  }: { over?: (q: number[]) => number; late?: (action: number[]) => number[] } = {},
): number {
  const { scales } = critic;
  const { action, logProbability } = act(networks, policy, scales, s, noise);
  return over(qValues(networks, critic, s, late(action))) - scales['entropy coefficient'][0] * logProbability;
}

/** Every member's standardised Gaussian over reward and change of observation. */
export function predict(
  { ensemble: shape }: Networks,
  ensemble: Numbers,
  scales: Numbers,
  s: number[],
  a: number[],
) {
  const input = standardized([...s, ...a], scales['model.inputMean'], scales['model.inputSd']);
  return Array.from({ length: shape.members }, (_, k) => {
    const out = network(ensemble, 'model', shape, input, k);
    const half = out.length / 2;
    const bias = ensemble[`model.b${shape.sizes.length - 2}`].subarray(k * out.length, (k + 1) * out.length);
    const spread = shape.variance === 'constant' ? Array.from(bias) : out;
    const variance = spread.slice(half).map((raw) => {
      const below = 0.5 - Math.log1p(Math.exp(0.5 - raw));
      return Math.exp(-10 + Math.log1p(Math.exp(below + 10)));
    });
    return { mean: out.slice(0, half), variance };
  });
}

const relu = (x: number) => Math.max(0, x);
function normalized(x: number[]): number[] {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  return x.map((value) => (value - mean) / Math.sqrt(variance + 1e-5));
}
const swish = (x: number) => x / (1 + Math.exp(-x));

function network(
  numbers: Numbers,
  prefix: string,
  { sizes, activation, layerNorm }: Mlp,
  x: number[],
  member = 0,
): number[] {
  const bent = activation === 'relu' ? relu : swish;
  return sizes.slice(1).reduce((h, size, layer) => {
    const w = numbers[`${prefix}.w${layer}`].subarray(member * h.length * size);
    const b = numbers[`${prefix}.b${layer}`].subarray(member * size);
    const out = Array.from({ length: size }, (_, o) =>
      h.reduce((sum, value, i) => sum + value * w[i * size + o], b[o]),
    );
    if (layer === sizes.length - 2) return out;
    return (layerNorm ? normalized(out) : out).map(bent);
  }, x);
}
