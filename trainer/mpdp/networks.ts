// The networks of one MPDP agent: their architecture, and the numbers that training changes.
import { twinCritic } from '../nets/critic.js';
import { type Ensemble, ensembleNetwork, standardizerShapes } from '../nets/ensemble.js';
import { type Mlp, mlpShapes, truncatedNormalInitial, uniformInitial } from '../nets/mlp.js';
import { normalizerShapes, type PolicyNetwork, policyNetwork } from '../nets/policy.js';
import type { Random } from '../random.js';
import { NdArray, type NdArrays, Parameters } from '../tensor/array.js';
import type { Options } from './options.js';

export interface Networks {
  observationSize: number;
  actionSize: number;
  policy: PolicyNetwork;
  critic: Mlp;
  target: Mlp;
  ensemble: Ensemble;
}

export interface Agent {
  networks: Networks;
  /** π₀ … π_{Hmax-1}. */
  policies: Parameters[];
  critic: Parameters;
  target: Parameters;
  ensemble: Parameters;
  /** The model's standardiser and the observation normaliser: fixed between trainings of the model. */
  scales: NdArrays;
  /** The members that predict, best first. */
  elites: number[];
}

export function makeNetworks(observationSize: number, actionSize: number, options: Options): Networks {
  const { policyHidden, criticHidden, modelHidden, ensembleSize, layerNorm } = options;
  const critic = twinCritic('critic', observationSize, actionSize, criticHidden, layerNorm);
  return {
    observationSize,
    actionSize,
    policy: policyNetwork(observationSize, actionSize, policyHidden),
    critic,
    target: { ...critic, prefix: 'target' },
    ensemble: ensembleNetwork(ensembleSize, observationSize, actionSize, modelHidden),
  };
}

/** Algorithm 2, line 1. All π_t start equal: a policy that no trajectory has reached yet is then no worse than π₀. */
export function makeAgent(networks: Networks, options: Options, random: Random): Agent {
  const { policy, critic, target, ensemble, observationSize } = networks;
  const parameters = (network: Mlp, values: Record<string, Float32Array>) => {
    const made = new Parameters(mlpShapes(network));
    made.assign(values);
    return made;
  };
  const policyValues = uniformInitial(policy, random);
  const online = parameters(critic, uniformInitial(critic, random));
  const delayed = new Parameters(mlpShapes(target));
  delayed.flat.data.set(online.flat.data);
  const scaleShapes = { ...standardizerShapes(ensemble), ...normalizerShapes(observationSize) };
  const scales = Object.entries(scaleShapes).map(([name, shape]) => {
    const array = new NdArray(shape);
    array.data.fill(/sd$/i.test(name) ? 1 : 0);
    return [name, array] as const;
  });
  return {
    networks,
    policies: Array.from({ length: options.horizonMax }, () => parameters(policy, policyValues)),
    critic: online,
    target: delayed,
    ensemble: parameters(ensemble, truncatedNormalInitial(ensemble, random)),
    scales: Object.fromEntries(scales),
    elites: Array.from({ length: options.elites }, (_, i) => i),
  };
}

/** Remembers policies and critics with their optimisers; calling the result puts them back. */
export function remember({ policies, critic, target }: Agent): () => void {
  const kept = [...policies, critic, target].map((parameters) => {
    const { flat, m, v, steps } = parameters;
    return { parameters, steps, arrays: [flat, m, v].map(({ data }) => ({ data, copy: data.slice() })) };
  });
  return () => {
    for (const { parameters, steps, arrays } of kept) {
      for (const { data, copy } of arrays) data.set(copy);
      parameters.steps = steps;
    }
  };
}
