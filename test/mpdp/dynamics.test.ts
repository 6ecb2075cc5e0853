// The ensemble learns a system that is known: its mean, how noisy it is and where, where it is unknown, and when to stop.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dynamics } from '../../trainer/mpdp/dynamics.js';
import { split } from '../../trainer/mpdp/holdout.js';
import { makeAgent, makeNetworks } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { negativeLogLikelihood } from '../../trainer/nets/ensemble.js';
import { Random } from '../../trainer/random.js';
import { NdArray } from '../../trainer/tensor/array.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { type Tensor, tf } from '../../trainer/tensor/tf.js';
import { numbersOf, predict } from './plainNetworks.js';
import { tinyOptions } from './tiny.js';

const common: Options = {
  ...tinyOptions,
  ensembleSize: 4,
  elites: 2,
  modelHidden: [16, 16],
  modelBatchSize: 64,
  modelLearningRate: 5e-3,
  modelUpdatesMax: 100_000,
  modelPatience: 5,
};
/** Of the first number's noise: small on the left, large on the right. The second number has none. */
const noiseAt = (x: number) => (x < 0 ? 0.1 : 0.4);

/** Transitions from states up to `width` away, of s′ = (s₀ + a + noise, s₁ - 0.5 s₀), reward s₀. */
function transitions(count: number, seed: number, width = 1): Replay {
  const random = new Random(seed);
  const replay = new Replay(2, 1, count);
  for (let i = 0; i < count; i++) {
    const [x, y, a] = [0, 0, 0].map(() => random.uniform(-width, width));
    replay.add({
      observation: Float32Array.of(x, y),
      action: Float32Array.of(a),
      reward: x,
      next: Float32Array.of(x + a + noiseAt(x) * random.normal(), y - 0.5 * x),
      terminal: false,
    });
  }
  return replay;
}

// Weighed, the predicted noise grows with the members' disagreement where there is no data, and hides it from the KL.
for (const [modelWeighting, uncertaintyScore, modelVariance] of [
  [0, 'log-kl', 'input'],
  [0.5, 'log-variance', 'input'],
  [0, 'log-kl', 'constant'],
] as const)
  test(`mean and noise are found, variance ${modelVariance}, terms weighed by it to the ${modelWeighting}; training stops by itself`, async () => {
    const options = { ...common, modelWeighting, uncertaintyScore, modelVariance };
    const random = new Random(2);
    const agent = makeAgent(makeNetworks(2, 1, options), options, random);
    const dynamics = await Dynamics.create(new CompiledEngine({ threads: 1, device: 'cpu' }), agent, options);
    const untrained = await dynamics.check(
      transitions(200, 2),
      Int32Array.from({ length: 200 }, (_, i) => i),
    );
    const fit = await dynamics.fit(transitions(1500, 3), random);
    assert.ok(
      fit.epochs > options.modelPatience && fit.updates < 5000,
      `${fit.epochs} epochs, ${fit.updates} updates`,
    );

    const fresh = transitions(1000, 4);
    const all = Int32Array.from({ length: fresh.size }, (_, i) => i);
    const { error, uncertainty } = await dynamics.check(fresh, all);
    // What is left is the noise: the mean of |N(0, σ)| is 0.8 σ, with σ 0.1 and 0.4 in turn.
    const floor = Math.sqrt(2 / Math.PI) * 0.25;
    assert.ok(error > 0.9 * floor && error < 1.15 * floor, `error ${error}, noise ${floor}`);
    assert.ok(error < untrained.error / 2);
    const far = await dynamics.check(transitions(1000, 4, 4), all);
    const median = (values: Float32Array) => values.toSorted()[values.length >> 1];
    const rise = median(far.uncertainty) - median(uncertainty);
    assert.ok(rise > 0.3, `u where it has never been is larger by ${rise}`);

    const [numbers, scales] = [numbersOf(agent.ensemble.arrays), numbersOf(agent.scales)];
    const sd = scales['model.targetSd'];
    for (const [x, y, a] of [
      [-0.6, 0.3, 0.2],
      [-0.4, -0.5, -0.7],
      [0.5, 0.1, 0.6],
      [0.7, -0.2, -0.3],
    ]) {
      const members = predict(agent.networks, numbers, scales, [x, y], [a]);
      for (const k of agent.elites) {
        const [reward, first, second] = members[k].mean.map(
          (value, d) => value * sd[d] + scales['model.targetMean'][d],
        );
        const off = Math.max(Math.abs(reward - x), Math.abs(first - a), Math.abs(second + 0.5 * x));
        assert.ok(off < 0.2, `member ${k} at ${x}: off by ${off}`);
      }
    }
    // On the quiet side training stops, with the mean found, before all of the noise's first guess is gone; where the
    // noise is the same on both sides, so it does on both.
    for (const [side, least, most] of [
      [-1, 0.8, 1.8],
      modelVariance === 'input' ? [1, 0.85, 1.15] : [1, 0.8, 1.8],
    ]) {
      const random = new Random(5);
      let logRatio = 0;
      for (let i = 0; i < 200; i++) {
        const [x, y, a] = [
          side * random.uniform(0.2, 0.8),
          random.uniform(-0.8, 0.8),
          random.uniform(-0.8, 0.8),
        ];
        const members = predict(agent.networks, numbers, scales, [x, y], [a]);
        for (const k of agent.elites) {
          const noise = Math.sqrt(members[k].variance[1]) * sd[1];
          const real =
            modelVariance === 'input' ? noiseAt(x) : Math.sqrt((noiseAt(-1) ** 2 + noiseAt(1) ** 2) / 2);
          logRatio += Math.log(noise / real) / (200 * agent.elites.length);
        }
      }
      const ratio = Math.exp(logRatio);
      assert.ok(ratio > least && ratio < most, `predicted noise is ${ratio} of the real one`);
    }
  });

test('what judges the model has never trained it, however often it is trained', async () => {
  const random = new Random(1);
  const grown = new Replay(2, 1, 1200);
  const add = (from: Replay) => {
    // A reward that is seen in held-out transitions alone.
    const judges = new Set(split(from, 0.1).heldOut);
    for (let i = 0; i < from.size; i++) {
      const [x, y, a, _, x2, y2] = from.row(i);
      grown.add({
        observation: Float32Array.of(x, y),
        action: Float32Array.of(a),
        reward: judges.has(i) ? 1000 : 0,
        next: Float32Array.of(x2, y2),
        terminal: false,
      });
    }
  };
  const options = { ...common, modelUpdatesMax: 200 };
  const agent = makeAgent(makeNetworks(2, 1, options), options, random);
  const dynamics = await Dynamics.create(new CompiledEngine({ threads: 1, device: 'cpu' }), agent, options);
  const shares: number[] = [];
  // The second half of the last data takes the place of the oldest.
  for (const seed of [3, 4, 5]) {
    add(transitions(500, seed));
    const { heldOut, training } = split(grown, 0.1);
    shares.push(heldOut.length / grown.size);
    assert.equal(heldOut.length + training.length, grown.size);
    assert.ok(heldOut.every((i) => grown.row(i)[3] === 1000) && training.every((i) => grown.row(i)[3] === 0));
    await dynamics.fit(grown, random);
    assert.equal(agent.scales['model.targetMean'].data[0], 0);
    const { mean } = predict(
      agent.networks,
      numbersOf(agent.ensemble.arrays),
      numbersOf(agent.scales),
      [0.1, 0.2],
      [0.3],
    )[agent.elites[0]];
    assert.ok(Math.abs(mean[0]) < 1, `predicts a reward of ${mean[0]}`);
  }
  for (const share of shares) assert.ok(Math.abs(share - 0.1) < 0.04, `${share} held out`);
  const two = split(transitions(2, 1), 0.001);
  assert.deepEqual([two.heldOut.length, two.training.length], [1, 1]);
});

test('a budget of updates is kept', async () => {
  const tight = { ...common, modelUpdatesMax: 7 };
  const random = new Random(1);
  const agent = makeAgent(makeNetworks(2, 1, tight), tight, random);
  const dynamics = await Dynamics.create(new CompiledEngine({ threads: 1, device: 'cpu' }), agent, tight);
  assert.equal((await dynamics.fit(transitions(1500, 3), random)).updates, 7);
  assert.deepEqual([agent.elites.length, new Set(agent.elites).size], [2, 2]);
});

test('weighed likelihood: the gradient takes the weight as a constant', async () => {
  const shape = [2, 3, 2];
  const power = 0.5;
  const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
  const program = await engine.program({
    name: 'likelihood',
    inputs: { mean: shape, logVariance: shape, target: shape },
    body: (t) => {
      const objective = (mean: Tensor, logVariance: Tensor) =>
        tf.sum(negativeLogLikelihood({ mean, logVariance }, t.target, power));
      const { value, grads } = tf.valueAndGrads(objective as never)([t.mean, t.logVariance]);
      return { value, byMean: grads[0], byLogVariance: grads[1] };
    },
  });
  const random = new Random(2);
  const drawn = () => new NdArray(shape, random.fillNormal(new Float32Array(12)));
  const [mean, logVariance, target] = [drawn(), drawn(), drawn()];
  const outputs = program.outputs();
  await program.run({ mean, logVariance, target }, outputs);
  let sum = 0;
  for (let i = 0; i < 12; i++) {
    const [error, log] = [mean.data[i] - target.data[i], logVariance.data[i]];
    const [variance, weight] = [Math.exp(log), Math.exp(power * log) / 6];
    sum += weight * (error ** 2 / variance + log);
    const close = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 1e-5);
    close(outputs.byMean.data[i], (weight * 2 * error) / variance);
    close(outputs.byLogVariance.data[i], weight * (1 - error ** 2 / variance));
  }
  assert.ok(Math.abs(outputs.value.data[0] - sum) < 1e-5);
});
