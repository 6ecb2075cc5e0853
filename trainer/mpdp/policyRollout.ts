// π₀'s own rollouts through the model, all steps in one program, without gradients, uncertainty or cuts.
import { predictRouted, sampleTransition, standardizerShapes } from '../nets/ensemble.js';
import { mlpNames, mlpShapes } from '../nets/mlp.js';
import { normalizerShapes, sampleAction } from '../nets/policy.js';
import type { Random } from '../random.js';
import { NdArray, type NdArrays } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Tensors, tf } from '../tensor/tf.js';
import { inForce, observedAndPending, stateAfter } from './commandDelay.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';

/** What a rollout of `steps` from `rows` states passes through, valid until the next one. */
export interface Rollout {
  /** s₁ … s_steps, each `[rows, stateSize]`; what follows a terminal state means nothing. */
  states: Float32Array[];
  /** What is in force over each step, `[rows, actions]`: a_k, or what was pending where commands take effect late. */
  actions: Float32Array[];
  /** r_k and log π₀(a_k|s_k), each `[rows]`. */
  rewards: Float32Array[];
  logProbabilities: Float32Array[];
}

/** Of the outputs of step k. */
const NAMES = {
  state: (k: number) => `state ${k + 1}`,
  action: (k: number) => `action ${k}`,
  reward: (k: number) => `reward ${k}`,
  logProbability: (k: number) => `log probability ${k}`,
};

/**
 * Rolls out from states `[rows, stateSize]`; each row keeps one elite member all along (TS∞ of PETS). With
 * `explores` false π₀ takes its mean action.
 */
export type RollOut = (states: Float32Array, random: Random, explores?: boolean) => Promise<Rollout>;

export async function makePolicyRollout(
  engine: Engine,
  agent: Agent,
  options: Options,
  rows: number,
  steps: number,
): Promise<RollOut> {
  const { networks } = agent;
  const { policy, observationSize, actionSize } = networks;
  const elites = { ...networks.ensemble, members: options.elites };
  const first = new NdArray([rows, networks.stateSize]);
  const actionNoise = new NdArray([rows, steps, actionSize]);
  const transitionNoise = new NdArray([rows, steps, 1 + observationSize]);
  const names = (name: (k: number) => string) => Array.from({ length: steps }, (_, k) => name(k));
  const program = await engine.program({
    name: `rollout of ${steps} steps, batch ${rows}`,
    inputs: {
      ...mlpShapes(policy),
      ...mlpShapes(elites),
      ...standardizerShapes(elites),
      ...normalizerShapes(observationSize),
      first: first.shape,
      actionNoise: actionNoise.shape,
      transitionNoise: transitionNoise.shape,
    },
    split: [
      ...['first', 'actionNoise', 'transitionNoise'],
      ...Object.values(NAMES).flatMap(names),
      ...mlpNames(elites),
    ],
    body: (t) => {
      const outputs: Tensors = {};
      const actionNoises = tf.unstack(t.actionNoise, 1);
      const transitionNoises = tf.unstack(t.transitionNoise, 1);
      let state = t.first;
      for (let k = 0; k < steps; k++) {
        const { observation, pending } = observedAndPending(networks, state);
        const { action, logProbability } = sampleAction(policy, t, observation, actionNoises[k]);
        const command = inForce(networks, action, pending);
        const prediction = predictRouted(elites, t, tf.concat([observation, command], 1));
        const { reward, next } = sampleTransition(elites, t, prediction, observation, transitionNoises[k]);
        state = stateAfter(next, action, pending);
        Object.assign(outputs, {
          [NAMES.state(k)]: state,
          [NAMES.action(k)]: command,
          [NAMES.reward(k)]: reward,
          [NAMES.logProbability(k)]: logProbability,
        });
      }
      return outputs;
    },
  });
  const outputs: NdArrays = program.outputs();
  const each = (name: (k: number) => string) => names(name).map((output) => outputs[output].data);
  const rollout: Rollout = {
    states: each(NAMES.state),
    actions: each(NAMES.action),
    rewards: each(NAMES.reward),
    logProbabilities: each(NAMES.logProbability),
  };
  return async (states, random, explores = true) => {
    first.data.set(states);
    if (explores) random.fillNormal(actionNoise.data);
    else actionNoise.data.fill(0);
    if (options.modelNoise) random.fillNormal(transitionNoise.data);
    const { policies, eliteArrays, scales } = agent;
    const inputs = { first, actionNoise, transitionNoise };
    await program.run({ ...policies[0].arrays, ...eliteArrays, ...scales, ...inputs }, outputs);
    return rollout;
  };
}
