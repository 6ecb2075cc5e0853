// The networks of one MPDP agent, their arrays, and what programs need to know of them.

import { withMoments } from '../nets/adam.js';
import { twinCritic } from '../nets/critic.js';
import { type Ensemble, ensembleNetwork, standardizerShapes } from '../nets/ensemble.js';
import { type Mlp, mlpNames, mlpShapes, truncatedNormalInitial, uniformInitial } from '../nets/mlp.js';
import { NORMALIZER, type PolicyNetwork, policyNetwork } from '../nets/policy.js';
import type { Random } from '../random.js';
import { State } from '../tensor/array.js';
import type { Shapes } from '../tensor/engine.js';
import type { Options } from './options.js';

/** The architectures. */
export interface Networks {
  observationSize: number;
  actionSize: number;
  policy: PolicyNetwork;
  critic: Mlp;
  target: Mlp;
  ensemble: Ensemble;
}

/** The numbers: one state for each thing that is updated on its own. */
export interface Agent {
  networks: Networks;
  /** π₀ … π_{Hmax-1}, each with its Adam moments. */
  policies: State[];
  /** How many updates each policy has had. */
  policySteps: Int32Array;
  /** Q and its moments. */
  critic: State;
  target: State;
  criticSteps: number;
  ensemble: State;
  ensembleSteps: number;
  /** Fixed between updates: the model's standardiser and the observation normaliser. */
  scales: State;
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
  const policyValues = uniformInitial(networks.policy, random);
  const criticValues = uniformInitial(networks.critic, random);
  const copy = (values: Record<string, Float32Array>) =>
    Object.fromEntries(Object.entries(values).map(([name, data]) => [name, data.slice()]));
  const shapes = scaleShapes(networks);
  return {
    networks,
    policies: Array.from(
      { length: options.horizonMax },
      () => new State(withMoments(mlpShapes(networks.policy)), copy(policyValues)),
    ),
    policySteps: new Int32Array(options.horizonMax),
    critic: new State(withMoments(mlpShapes(networks.critic)), criticValues),
    target: new State(
      mlpShapes(networks.target),
      Object.fromEntries(
        mlpNames(networks.critic).map((name, i) => [
          mlpNames(networks.target)[i],
          criticValues[name].slice(),
        ]),
      ),
    ),
    criticSteps: 0,
    ensemble: new State(
      withMoments(mlpShapes(networks.ensemble)),
      truncatedNormalInitial(networks.ensemble, random),
    ),
    ensembleSteps: 0,
    scales: new State(
      shapes,
      Object.fromEntries(
        Object.entries(shapes).map(([name, [size]]) => [
          name,
          new Float32Array(size).fill(/sd$/i.test(name) ? 1 : 0),
        ]),
      ),
    ),
    elites: Array.from({ length: options.elites }, (_, i) => i),
  };
}

export function scaleShapes({ ensemble, observationSize }: Networks): Shapes {
  return {
    ...standardizerShapes(ensemble),
    [NORMALIZER.mean]: [observationSize],
    [NORMALIZER.sd]: [observationSize],
  };
}
