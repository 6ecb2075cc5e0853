// The networks of one MPDP agent: their architecture, and the numbers that training changes.
import {
  type CriticNetwork,
  criticNetwork,
  ENTROPY_COEFFICIENT,
  VALUE_SCALE,
  valueScaleShapes,
} from '../nets/critic.js';
import { type Ensemble, ensembleNetwork, standardizerShapes } from '../nets/ensemble.js';
import { type Mlp, mlpShapes, truncatedNormalInitial, uniformInitial } from '../nets/mlp.js';
import { normalizerShapes, type PolicyNetwork, policyNetwork } from '../nets/policy.js';
import type { Random } from '../random.js';
import { NdArray, type NdArrays, Parameters } from '../tensor/array.js';
import { delayWeights } from './delayWeights.js';
import type { Options } from './options.js';

/** Where a learned α starts. */
const FIRST_ENTROPY_COEFFICIENT = 0.1;
export const LOG_ENTROPY_COEFFICIENT = 'log entropy coefficient';

export interface Networks {
  observationSize: number;
  actionSize: number;
  /** Control periods from an action to its effect. */
  delay: number;
  /** Numbers of an imagined state: the observation, then the actions that are still to come. */
  stateSize: number;
  policy: PolicyNetwork;
  critic: CriticNetwork;
  target: CriticNetwork;
  ensemble: Ensemble;
}

export interface Agent {
  networks: Networks;
  /** π₀ … π_{Hmax-1}, or the one that acts at every step. */
  policies: Parameters[];
  critic: Parameters;
  target: Parameters;
  ensemble: Parameters;
  /** log α where it is learned. */
  temperature: Parameters;
  /** What programs take beside networks: the scales of observations, of the model and of Q, and α. */
  scales: NdArrays;
  /** The members that predict, best first, and their parameters in that order: see `setElites`. */
  elites: number[];
  readonly eliteArrays: NdArrays;
}

export function makeNetworks(observationSize: number, actionSize: number, options: Options): Networks {
  const { policyHidden, activation, policySpread, commandDelay: delay } = options;
  const critic = criticNetwork('critic', observationSize, actionSize, {
    members: options.critics,
    hidden: options.criticHidden,
    activation,
    layerNorm: options.layerNorm,
  });
  return {
    observationSize,
    actionSize,
    delay,
    stateSize: observationSize + actionSize * (delayWeights(delay).length - 1),
    policy: policyNetwork(observationSize, actionSize, policyHidden, activation, policySpread),
    critic,
    target: { ...critic, prefix: 'target' },
    ensemble: ensembleNetwork(observationSize, actionSize, {
      members: options.ensembleSize,
      hidden: options.modelHidden,
      layerNorm: options.modelLayerNorm,
      variance: options.modelVariance,
    }),
  };
}

/** Algorithm 2, line 1. All π_t start equal: one that no trajectory has reached yet is then no worse than π₀. */
export function makeAgent(networks: Networks, options: Options, random: Random): Agent {
  const { policy, critic, target, ensemble, observationSize } = networks;
  const parameters = (network: Mlp, values: Record<string, Float32Array>) => {
    const made = new Parameters(mlpShapes(network));
    made.assign(values);
    return made;
  };
  const policyValues = uniformInitial(policy, random);
  const criticValues = uniformInitial(critic, random);
  if (options.boundedCritic) criticValues[`${critic.prefix}.w${critic.sizes.length - 2}`].fill(0);
  const online = parameters(critic, criticValues);
  const delayed = new Parameters(mlpShapes(target));
  delayed.flat.data.set(online.flat.data);
  const { entropyCoefficient } = options;
  const scaleShapes = {
    ...standardizerShapes(ensemble),
    ...normalizerShapes(observationSize),
    ...valueScaleShapes,
    [ENTROPY_COEFFICIENT]: [],
  };
  const scales = Object.fromEntries(
    Object.entries(scaleShapes).map(([name, shape]) => {
      const array = new NdArray(shape);
      array.data.fill(/sd$/i.test(name) || name === VALUE_SCALE.width ? 1 : 0);
      return [name, array];
    }),
  );
  const alpha = entropyCoefficient === 'learned' ? FIRST_ENTROPY_COEFFICIENT : entropyCoefficient;
  scales[ENTROPY_COEFFICIENT].data[0] = alpha;
  const temperature = new Parameters({ [LOG_ENTROPY_COEFFICIENT]: [] });
  temperature.assign({ [LOG_ENTROPY_COEFFICIENT]: Float32Array.of(Math.log(alpha)) });
  const agent: Agent = {
    networks,
    policies: Array.from({ length: options.policies === 'shared' ? 1 : options.horizonMax }, () =>
      parameters(policy, policyValues),
    ),
    critic: online,
    target: delayed,
    ensemble: parameters(ensemble, truncatedNormalInitial(ensemble, random)),
    temperature,
    scales,
    elites: [],
    eliteArrays: new Parameters(mlpShapes({ ...ensemble, members: options.elites })).arrays,
  };
  setElites(
    agent,
    Array.from({ length: options.elites }, (_, i) => i),
  );
  return agent;
}

/** π_t: the t-th, or the one for all steps. */
export function policyAt({ policies }: Agent, t: number): Parameters {
  return policies[Math.min(t, policies.length - 1)];
}

/** Makes these members, best first, the ones that predict: after every change of the ensemble. */
export function setElites(agent: Agent, elites: number[]): void {
  const { ensemble, eliteArrays, networks } = agent;
  agent.elites = elites;
  for (const [name, { data }] of Object.entries(ensemble.arrays)) {
    const size = data.length / networks.ensemble.members;
    for (const [i, k] of elites.entries())
      eliteArrays[name].data.set(data.subarray(k * size, (k + 1) * size), i * size);
  }
}

/** What a training of the model changes, or what updates of critic and policies do. */
export type Part = 'model' | 'policies';

/** Copies of a part's parameters, their optimisers and scales, as `remember` makes them. */
export interface Memory {
  /** Optimiser steps. */
  steps: number[];
  arrays: Float32Array[];
}

function parametersOf({ policies, critic, target, temperature, ensemble }: Agent, part: Part): Parameters[] {
  return part === 'model' ? [ensemble] : [...policies, critic, target, temperature];
}

function arraysOf(agent: Agent, part: Part): Float32Array[] {
  // The first training of the model fixes what policies see, too.
  const scales = Object.entries(agent.scales).filter(
    ([name]) => part === 'model' || !name.startsWith(`${agent.networks.ensemble.prefix}.`),
  );
  const parameters = parametersOf(agent, part).flatMap(({ flat, m, v }) => [flat, m, v]);
  return [...parameters, ...scales.map(([, array]) => array)].map(({ data }) => data);
}

export function remember(agent: Agent, part: Part): Memory {
  return {
    steps: parametersOf(agent, part).map(({ steps }) => steps),
    arrays: arraysOf(agent, part).map((array) => array.slice()),
  };
}

/** Puts back what `remember` copied of the same part. */
export function bringBack(agent: Agent, part: Part, { steps, arrays }: Memory): void {
  for (const [i, parameters] of parametersOf(agent, part).entries()) parameters.steps = steps[i];
  for (const [i, array] of arraysOf(agent, part).entries()) array.set(arrays[i]);
}
