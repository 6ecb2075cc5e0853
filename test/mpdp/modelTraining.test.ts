// What one training of the ensemble leaves: each member at its best on the held-out transitions, the best as elites, and
// weights that decay.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dynamics } from '../../trainer/mpdp/dynamics.js';
import { split } from '../../trainer/mpdp/holdout.js';
import { makeAgent, makeNetworks } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { Random } from '../../trainer/random.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { numbersOf, predict } from './plainNetworks.js';
import { tinyOptions } from './tiny.js';

/** Transitions that nothing predicts. */
function noise(count: number): Replay {
  const random = new Random(3);
  const replay = new Replay(2, 1, count);
  const drawn = (size: number) => random.fillNormal(new Float32Array(size));
  for (let i = 0; i < count; i++) {
    const [reward] = drawn(1);
    replay.add({ observation: drawn(2), action: drawn(1), reward, next: drawn(2), terminal: false });
  }
  return replay;
}

async function trained(changes: Partial<Options>) {
  const options = { ...tinyOptions, ensembleSize: 4, elites: 2, ...changes };
  const random = new Random(1);
  const agent = makeAgent(makeNetworks(2, 1, options), options, random);
  const weights = () => {
    const all = Object.entries(agent.ensemble.arrays).filter(([name]) => name.startsWith('model.w'));
    return Math.hypot(...all.flatMap(([, { data }]) => [...data]));
  };
  const before = weights();
  const replay = noise(300);
  const dynamics = await Dynamics.create(new CompiledEngine({ threads: 1, device: 'cpu' }), agent, options);
  const fit = await dynamics.fit(replay, random);
  return { agent, options, replay, dynamics, fit, shrunk: weights() / before };
}

test('each member goes back to where it was best, and the best two are the elites', async () => {
  // Steps so large that the last ones are far from the best.
  const { agent, options, replay, fit } = await trained({ modelLearningRate: 0.3, modelUpdatesMax: 200 });
  const { heldOut } = split(replay, options.modelHoldout);
  const [numbers, scales] = [numbersOf(agent.ensemble.arrays), numbersOf(agent.scales)];
  const errors = new Array<number>(options.ensembleSize).fill(0);
  for (const i of heldOut) {
    const [x, y, a, reward, x2, y2] = replay.row(i);
    const target = [reward, x2 - x, y2 - y].map(
      (value, d) => (value - scales['model.targetMean'][d]) / scales['model.targetSd'][d],
    );
    for (const [k, { mean }] of predict(agent.networks, numbers, scales, [x, y], [a]).entries()) {
      for (const [d, value] of mean.entries()) errors[k] += (value - target[d]) ** 2 / (3 * heldOut.length);
    }
  }
  const ranked = [...errors.keys()].sort((a, b) => errors[a] - errors[b]);
  assert.deepEqual(agent.elites, ranked.slice(0, 2));
  const mean = (errors[ranked[0]] + errors[ranked[1]]) / 2;
  assert.ok(
    Math.abs(fit.holdoutError - mean) < 1e-4 * mean,
    `the elites' error is ${mean}, said to be ${fit.holdoutError}`,
  );
});

test('weights decay', async () => {
  const modelUpdatesMax = 100;
  const free = await trained({ modelWeightDecay: 0, modelUpdatesMax });
  const decayed = await trained({ modelWeightDecay: 10, modelUpdatesMax });
  assert.ok(decayed.shrunk < 0.97, `weights are ${decayed.shrunk} of what they were`);
  assert.ok(decayed.shrunk < free.shrunk - 0.02, `${decayed.shrunk} with decay, ${free.shrunk} without`);
});

test('training goes on for one epoch more than the patience without a better member', async () => {
  for (const modelPatience of [1, 4]) {
    // Steps so small that only the first epoch, which has nothing before it, is better.
    const { fit } = await trained({ modelPatience, modelLearningRate: 1e-12, modelUpdatesMax: 100_000 });
    assert.equal(fit.epochs, 1 + modelPatience + 1);
  }
});

test('what the model misses is told row by row, in the task’s units', async () => {
  const { agent, replay, dynamics } = await trained({ modelUpdatesMax: 20 });
  const rows = [3, 299, 0, 17];
  const { error, residuals } = await dynamics.check(replay, Int32Array.from(rows));
  const [numbers, scales] = [numbersOf(agent.ensemble.arrays), numbersOf(agent.scales)];
  let sum = 0;
  const wanted = rows.flatMap((index) => {
    const [x, y, a, , x2, y2] = replay.row(index);
    const members = predict(agent.networks, numbers, scales, [x, y], [a]);
    const missed = [x2 - x, y2 - y].map((change, d) => {
      const mean = agent.elites.reduce((total, k) => total + members[k].mean[1 + d], 0) / agent.elites.length;
      return change - (mean * scales['model.targetSd'][1 + d] + scales['model.targetMean'][1 + d]);
    });
    sum += Math.hypot(...missed);
    return missed;
  });
  for (const [i, value] of residuals.entries())
    assert.ok(Math.abs(value - wanted[i]) < 1e-4, `${residuals}, not ${wanted}`);
  assert.ok(Math.abs(error - sum / rows.length) < 1e-4);
});
