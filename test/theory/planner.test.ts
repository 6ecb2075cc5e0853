// The exact solver judges the learner's own planner: Equation 6 as Algorithm 1 computes it, and Theorem 1 as it improves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FarsightedImprovement, type Termination } from '../../trainer/mpdp/farsighted.js';
import { type Agent, makeAgent, makeNetworks } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { Random } from '../../trainer/random.js';
import { CompiledEngine, type Engine } from '../../trainer/tensor/engine.js';
import { finiteAgent, finiteEngine, finiteOptions, identity, tableOf } from './finiteModel.js';
import {
  evaluate,
  type FiniteMdp,
  largestDifference,
  objectiveOf,
  plan,
  randomMdp,
  type Spread,
  type Values,
} from './tabular.js';

const compiled = new CompiledEngine({ threads: 1, device: 'cpu' });
const never: Termination = () => false;

/** The learner's J from each state, without learning. */
async function objectives(
  engine: Engine,
  agent: Agent,
  options: Options,
  states: number,
  threshold: number | null = null,
  terminal: Termination = never,
): Promise<Values> {
  const still = { ...options, learningRate: 0 };
  const learner = await FarsightedImprovement.create(engine, agent, still, terminal, new Random(1));
  const found: Values = [];
  for (const row of identity(states)) {
    const from = Float32Array.from(Array.from({ length: options.batchSize }, () => row).flat());
    found.push((await learner.improve(from, threshold)).objective);
  }
  return found;
}

function assertNear(actual: Values, expected: Values, tolerance: number, what: string): void {
  const difference = largestDifference(actual, expected);
  assert.ok(difference < tolerance, `${what}: [${actual}], not [${expected}]`);
}

const cases: [Spread, number][] = [
  ['dense', 1],
  ['dense', 3],
  ['sparse', 2],
  ['deterministic', 3],
];

for (const [i, [spread, horizonMax]] of cases.entries()) {
  test(`J is the solver's, and Theorem 1 holds as the learner improves: ${spread}, H ${horizonMax}`, async () => {
    const random = new Random(7 + i);
    const shape = { states: 4, actions: 3, discount: 0.6, temperature: 1 };
    const mdp = randomMdp(random, shape, spread, [-1, 1]);
    const options = finiteOptions(mdp, { horizonMax, activation: 'swish' });
    const networks = makeNetworks(mdp.states, mdp.actions, options);
    const agent = makeAgent(networks, options, random);
    // An old policy with preferences of its own.
    for (const { data } of Object.values(agent.policies[0].arrays))
      for (let k = 0; k < data.length; k++) data[k] += 1 * random.normal();
    for (const { flat } of agent.policies) flat.data.set(agent.policies[0].flat.data);
    const old = evaluate(mdp, tableOf(agent, 0));
    const engine = finiteEngine(mdp, old, networks.policy);
    const tables = () => agent.policies.map((_, t) => tableOf(agent, t));

    const followed = await objectives(engine, agent, options, mdp.states);
    assertNear(followed, old, 1e-4, 'J of the old policy is V^old');
    for (const { flat } of agent.policies) {
      for (let k = 0; k < flat.data.length; k++) flat.data[k] += 0.3 * random.normal();
    }
    const scattered = await objectives(engine, agent, options, mdp.states);
    assertNear(scattered, objectiveOf(mdp, old, tables()), 1e-4, 'J of any policies');

    const from = Float32Array.from(identity(mdp.states).flat());
    for (const learningRate of [0.03, 0.005]) {
      const pace = { ...options, learningRate };
      const learner = await FarsightedImprovement.create(engine, agent, pace, never, random);
      for (let update = 0; update < 250; update++) await learner.improve(from, null);
    }
    const reached = await objectives(engine, agent, options, mdp.states);
    const best = plan(mdp, old, horizonMax);
    assertNear(reached, best.objective, 2e-3, 'J reaches the optimum of J^H');
    let states = mdp.reward.map((_, s) => s);
    for (const [t, table] of tables().entries()) {
      for (const s of states)
        assertNear(table[s], best.policies[t][s], 0.03, `π${t} in state ${s} is the solver's`);
      // Of a state that no plan comes to at this step, it learns nothing.
      states = states.filter((next) => states.some((s) => mdp.transition[s].some((row) => row[next] > 0)));
    }
    const renewed = evaluate(mdp, tableOf(agent, 0));
    for (let s = 0; s < mdp.states; s++) {
      assert.ok(reached[s] >= old[s] - 2e-3, `J^H ${reached[s]} < V^old ${old[s]} in state ${s}`);
      assert.ok(renewed[s] >= reached[s] - 2e-3, `V^new ${renewed[s]} < J^H ${reached[s]} in state ${s}`);
    }
    assert.ok(largestDifference(renewed, old) > 0.05, 'nothing was to be improved: the case shows nothing');
  });
}

/** Two members of the ensemble, states in a ring; they disagree about action 1 in state 1, and state 4 is the end. */
const STATES = 5;
const AGREED = Array.from({ length: STATES }, (_, s) => [(s + 1) % STATES, (s + 3) % STATES]);
const OTHERWISE = AGREED.map(([first, second], s) => [first, s === 1 ? 0 : second]);
const END = 4;

test('through the learner’s networks: reward, discount, cut, end and V^old are where the solver has them', async () => {
  const random = new Random(5);
  const members = [AGREED, OTHERWISE];
  const transition = AGREED.map((row, s) =>
    row.map((_, a) => {
      const chances = new Array<number>(STATES).fill(0);
      for (const member of members) chances[member[s][a]] += 1 / members.length;
      return chances;
    }),
  );
  const reward = transition.map((row) => row.map(() => random.uniform(-1, 1)));
  const mdp: FiniteMdp = { states: STATES, actions: 2, transition, reward, discount: 0.8, temperature: 0 };
  const old = Array.from({ length: STATES }, () => random.uniform(-5, 5));
  const unsure = AGREED.map((row, s) => row.map((to, a) => to !== OTHERWISE[s][a]));
  const terminal = AGREED.map((_, s) => s === END);
  let cuts = 0;
  for (const horizonMax of [1, 2, 5]) {
    const options = finiteOptions(mdp, {
      horizonMax,
      batchSize: 16,
      ensembleSize: 2,
      elites: 2,
      uncertaintyThreshold: 0,
      policyHidden: [STATES],
      criticHidden: [STATES],
      modelHidden: [4 * STATES],
    });
    for (let trial = 0; trial < 4; trial++) {
      const choices = Array.from({ length: horizonMax }, () =>
        Array.from({ length: STATES }, () => random.integer(2)),
      );
      const policies = choices.map((row) => row.map((taken) => [0, 1].map((a) => Number(a === taken))));
      const agent = finiteAgent(mdp, members, choices, old, options);
      const found = await objectives(compiled, agent, options, STATES, 0, (next) => next[END] > 0.5);
      const wanted = objectiveOf(mdp, old, policies, { unsure, terminal });
      assertNear(found, wanted, 1e-3, `J of ${JSON.stringify(choices)}`);
      cuts += Number(largestDifference(wanted, objectiveOf(mdp, old, policies, { terminal })) > 0.1);
    }
  }
  assert.ok(cuts > 3, 'no cut mattered: the case shows nothing');
});
