// The gate: a policy that loses in simulation alone, or in the fitted model alone, is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mpdp } from '../../trainer/mpdp/mpdp.js';
import { setElites } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { EPISODES, EVALUATION_SEED, Gate } from '../../trainer/refit/refitGate.js';
import { loadTask } from '../../trainer/sim/task.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { tinyOptions } from '../mpdp/tiny.js';

const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
const options: Options = {
  ...tinyOptions,
  modelNoise: false,
  policyHidden: [1],
  modelHidden: [1],
};

/**
 * A policy whose one command is set, 0 or full, in a world where each step pays 1 less what the command
 * costs there at full, in simulation and in a model in which nothing moves.
 */
async function gated(cost: { inSimulation: number; inModel: number }) {
  const task = await loadTask('inverted-pendulum');
  const full = task.action[0].limits[1];
  const learner = await Mpdp.create(
    {
      ...task,
      maxEpisodeSteps: 20,
      terminated: () => false,
      reward: ({ action }) => 1 - (cost.inSimulation * action[0]) / full,
    },
    options,
    1,
    engine,
  );
  const { agent } = learner;
  const { members, sizes } = agent.networks.ensemble;
  const { 'model.w0': w0, 'model.w1': w1, 'model.b1': b1 } = agent.ensemble.arrays;
  for (const { data } of Object.values(agent.ensemble.arrays)) data.fill(0);
  // Far above 0 a swish changes nothing: ten times the command, the last of the inputs, goes into the reward.
  const [inputs, , outputs] = sizes;
  for (let k = 0; k < members!; k++) {
    w0.data[k * inputs + inputs - 1] = 10;
    w1.data[k * outputs] = -cost.inModel / 10;
    b1.data[k * outputs] = 1;
  }
  setElites(agent, [0, 1]);
  const command = (share: 0 | 1) => {
    const { arrays } = agent.policies[0];
    for (const { data } of Object.values(arrays)) data.fill(0);
    // Beyond where tanh ends.
    arrays['policy.b1'].data[0] = 20 * share;
  };
  command(0);
  const { mean } = await learner.evaluate(EPISODES, EVALUATION_SEED);
  const gate = await Gate.open(engine, learner, mean, {});
  const look = async (share: 0 | 1) => {
    command(share);
    const { evaluation, inModel, passes } = await gate.look(learner);
    return { inSimulation: evaluation.mean, inModel: inModel.mean, passes };
  };
  return { learner, look };
}

const near = (value: number, expected: number) => assert.ok(Math.abs(value - expected) < 1e-3, `${value}`);
for (const [name, cost, passes] of [
  ['keeps both returns: accepted', { inSimulation: 0, inModel: 0 }, true],
  ['loses in the model alone: refused', { inSimulation: 0, inModel: 0.1 }, false],
  ['loses in simulation alone: refused', { inSimulation: 0.1, inModel: 0 }, false],
  ['loses within the tolerance in both: accepted', { inSimulation: 0.04, inModel: 0.04 }, true],
] as const) {
  test(`a policy that ${name}`, async () => {
    const { learner, look } = await gated(cost);
    const before = await look(0);
    near(before.inSimulation, 20);
    near(before.inModel, 20);
    assert.equal(before.passes, true);
    const after = await look(1);
    near(after.inSimulation, 20 * (1 - cost.inSimulation));
    near(after.inModel, 20 * (1 - cost.inModel));
    assert.equal(after.passes, passes);
    learner.dispose();
  });
}
