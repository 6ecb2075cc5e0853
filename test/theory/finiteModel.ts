// A finite MDP as the learner's model, in two ways: in place of its networks, smooth and exact in every policy; or written
// into the networks' weights, for policies that choose one action.
import { type Agent, makeAgent, makeNetworks, setElites } from '../../trainer/mpdp/networks.js';
import { type Options, PRESETS } from '../../trainer/mpdp/options.js';
import { ENTROPY_COEFFICIENT } from '../../trainer/nets/critic.js';
import { mlp } from '../../trainer/nets/mlp.js';
import type { PolicyNetwork } from '../../trainer/nets/policy.js';
import { Random } from '../../trainer/random.js';
import { CompiledEngine, type Engine } from '../../trainer/tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../../trainer/tensor/tf.js';
import { type FiniteMdp, type Policy, softmax, type Values } from './tabular.js';

const compiled = new CompiledEngine({ threads: 1, device: 'cpu' });

/** Options of a learner for `mdp`, which plans `horizonMax` steps from each of `batchSize` states. */
export function finiteOptions(
  { states, discount, temperature }: FiniteMdp,
  changes: Partial<Options> = {},
): Options {
  return {
    ...PRESETS.paper,
    batchSize: states,
    discount,
    entropyCoefficient: temperature,
    regularization: 0,
    uncertaintyThreshold: null,
    modelNoise: false,
    policyHidden: [16],
    criticHidden: [4],
    modelHidden: [4],
    ...changes,
  };
}

/**
 * Runs the learner's programs with `mdp` and `V^old` in them: an observation is a distribution over the states, the
 * policies' networks give the logarithms of the actions' chances in each state, and a step takes all that may happen at
 * its chance.
 */
export function finiteEngine(mdp: FiniteMdp, valuesOld: Values, policy: PolicyNetwork): Engine {
  const { states, actions, transition, reward, temperature } = mdp;
  const inEach = (values: readonly number[]) => tf.tensor2d([...values], [states, 1]);
  const step = (t: Tensors): Tensors => {
    const chances = table(policy, t, states);
    const logarithms = tf.log(chances);
    const across = (values: number[][]) =>
      tf.sum(tf.mul(chances, tf.tensor2d(values, [states, actions])), 1, true);
    const soft = tf.mul(tf.sum(tf.mul(chances, logarithms), 1, true), -temperature);
    const gain = tf.matMul(t.state, tf.add(across(reward), soft));
    const columns = transition.map((_, next) => across(transition.map((row) => row.map((to) => to[next]))));
    const lost = tf.matMul(t.state, tf.sum(tf.mul(chances, logarithms), 1, true));
    return {
      gain: tf.squeeze(gain, [1]),
      next: tf.matMul(t.state, tf.concat(columns, 1)),
      action: chances,
      logProbability: tf.squeeze(lost, [1]),
    };
  };
  const bootstrap = (t: Tensors): Tensors => ({
    value: tf.squeeze(tf.matMul(t.state, inEach(valuesOld)), [1]),
    gradient: tf.matMul(tf.expandDims(t.weight, 1), tf.transpose(inEach(valuesOld))),
  });
  return {
    kind: compiled.kind,
    program: (source) =>
      compiled.program(source.name === 'bootstrap value' ? { ...source, body: bootstrap } : source),
    differentiable: (source) => compiled.differentiable({ ...source, body: step }),
  };
}

/** `π(a|s)` `[states, actions]`: the softmax of the first half of the network's outputs. */
function table(policy: PolicyNetwork, t: Tensors, states: number): Tensor {
  const eye = tf.tensor2d(identity(states), [states, states]);
  const [logits] = tf.split(mlp(policy, t, eye), 2, 1);
  const weights = tf.exp(logits);
  return tf.div(weights, tf.sum(weights, 1, true));
}

/** The same as numbers, of π_t. */
export function tableOf({ networks, policies }: Agent, t: number): Policy {
  const { arrays } = policies[Math.min(t, policies.length - 1)];
  const { observationSize, actionSize, policy } = networks;
  tf.setBackend('cpu');
  const rows = tf.tidy(() => {
    const inputs = Object.fromEntries(
      Object.entries(arrays).map(([name, { data, shape }]) => [name, tf.tensor(data.slice(), [...shape])]),
    );
    return mlp(policy, inputs, tf.tensor2d(identity(observationSize))).arraySync() as number[][];
  });
  return rows.map((row) => softmax(row.slice(0, actionSize), 1));
}

/** Weight of a step's two units: so steep that the action's noise does not show. */
const STEEP = 50;

/**
 * An agent whose networks are the MDP: members of the ensemble lead to the states that `next[member][s][a]` names, an
 * action above 0 is the second one, π_t takes `choices[t][s]`, and the critic says `V^old`.
 */
export function finiteAgent(
  mdp: FiniteMdp,
  next: number[][][],
  choices: number[][],
  valuesOld: Values,
  options: Options,
): Agent {
  const { states, reward } = mdp;
  const agent = makeAgent(makeNetworks(states, 1, options), options, new Random(1));
  const { ensemble, critic, policies, scales } = agent;
  for (const { data } of [ensemble.flat, critic.flat, ...policies.map(({ flat }) => flat)]) data.fill(0);
  scales[ENTROPY_COEFFICIENT].data[0] = 0;
  for (const [t, { arrays }] of policies.entries()) {
    for (let s = 0; s < states; s++) {
      arrays['policy.w0'].data[s * states + s] = 1;
      // The mean before the squashing, and the smallest spread.
      arrays['policy.w1'].data.set([choices[t][s] === 1 ? 3 : -3, -10], 2 * s);
    }
  }
  const outputs = 2 * (1 + states);
  const units = 4 * states;
  for (const [k, successors] of next.entries()) {
    const at = (layer: string, row: number, column: number, width: number, rows: number) => ({
      array: ensemble.arrays[`model.${layer}`].data,
      index: k * rows * width + row * width + column,
    });
    const put = ({ array, index }: ReturnType<typeof at>, value: number) => {
      array[index] = value;
    };
    for (let d = 1 + states; d < outputs; d++) put(at('b1', 0, d, outputs, 1), -50);
    for (let s = 0; s < states; s++) {
      for (const [a, sign] of [-1, 1].entries()) {
        // 1 in state s with this action, 0 otherwise: the difference of two units far in their straight parts.
        for (const [half, height] of [2 / STEEP, -2 / STEEP].entries()) {
          const unit = 4 * s + 2 * a + half;
          put(at('w0', s, unit, units, states + 1), 3 * STEEP);
          put(at('w0', states, unit, units, states + 1), sign * STEEP);
          put(at('b0', 0, unit, units, 1), -3 * STEEP - half * (STEEP / 2));
          put(at('w1', unit, 0, outputs, units), height * reward[s][a]);
          const to = successors[s][a];
          if (to === s) continue;
          put(at('w1', unit, 1 + s, outputs, units), -height);
          put(at('w1', unit, 1 + to, outputs, units), height);
        }
      }
    }
  }
  for (let k = 0; k < options.critics; k++) {
    const { 'critic.w0': first, 'critic.w1': second } = critic.arrays;
    for (let s = 0; s < states; s++) {
      first.data[k * (states + 1) * states + s * states + s] = 1;
      second.data[k * states + s] = valuesOld[s];
    }
  }
  setElites(agent, agent.elites);
  return agent;
}

export function identity(size: number): number[][] {
  return Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, k) => Number(i === k)));
}
