// Networks and runs small enough that eager TensorFlow.js, or plain doubles, keep up with them.
import { makeAgent, makeNetworks, setElites } from '../../trainer/mpdp/networks.js';
import { type Options, PRESETS } from '../../trainer/mpdp/options.js';
import { ENTROPY_COEFFICIENT } from '../../trainer/nets/critic.js';
import { Random } from '../../trainer/random.js';

export const tinyOptions: Options = {
  ...PRESETS.smoke,
  ensembleSize: 3,
  elites: 2,
  batchSize: 8,
  horizonMax: 3,
  updatesPerStep: 1,
  policyHidden: [4],
  criticHidden: [4],
  modelHidden: [4],
  modelBatchSize: 16,
  modelUpdatesMax: 20,
  warmupSteps: 60,
  modelEvery: 40,
};

/** An agent with weights, biases and scales away from their usual beginnings, and π_t all different. */
export function scatteredAgent(observationSize: number, actionSize: number, options: Options, seed: number) {
  const random = new Random(seed);
  const agent = makeAgent(makeNetworks(observationSize, actionSize, options), options, random);
  for (const { arrays } of [...agent.policies, agent.critic, agent.target, agent.ensemble]) {
    for (const { data } of Object.values(arrays))
      for (let i = 0; i < data.length; i++) data[i] += 0.5 * random.normal();
  }
  for (const [name, { data }] of Object.entries(agent.scales)) {
    if (name === ENTROPY_COEFFICIENT) continue;
    for (let i = 0; i < data.length; i++)
      data[i] = /sd$|width$/i.test(name) ? random.uniform(0.5, 1.5) : 0.3 * random.normal();
  }
  const members = Array.from({ length: options.ensembleSize }, (_, k) => k);
  setElites(agent, members.slice(-options.elites).reverse());
  return agent;
}

/** The options beyond the paper, all on. */
export const beyondOptions: Partial<Options> = {
  policies: 'shared',
  criticTarget: 'expansion',
  realShare: 0.25,
  startStates: 'rollouts',
  cutRollouts: true,
  critics: 3,
  planValue: 'mean',
  boundedCritic: true,
  entropyCoefficient: 'learned',
  regularization: 0,
  uncertaintyScore: 'log-variance',
  uncertaintyThreshold: 'calibrated',
  thresholdFrom: 'first',
  modelEvery: 20,
  updateEvery: 20,
  firstUpdates: 30,
  criticUpdates: 5,
  activation: 'swish',
  policySpread: 'softplus',
  layerNorm: true,
  modelLayerNorm: true,
  modelVariance: 'constant',
};

/** A run of a second or two: 12 evaluations, each with a checkpoint. */
export const tinyRun: Options = {
  ...tinyOptions,
  steps: 240,
  evaluateEvery: 20,
  evaluationEpisodes: 1,
  stopAtReturn: null,
};
