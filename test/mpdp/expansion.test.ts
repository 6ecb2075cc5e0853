// The critic's targets from π₀'s own steps through the model, against plain double arithmetic; and where plans start.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeExpansionTargets } from '../../trainer/mpdp/expansionTargets.js';
import { makeMixedTargets } from '../../trainer/mpdp/mixedTargets.js';
import type { Agent } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { makePolicyRollout } from '../../trainer/mpdp/policyRollout.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { StartStates } from '../../trainer/mpdp/startStates.js';
import { makeTargetValue } from '../../trainer/mpdp/targetValue.js';
import { makeTemperatureUpdate } from '../../trainer/mpdp/temperature.js';
import { makeTransitionTargets } from '../../trainer/mpdp/transitionTargets.js';
import { ENTROPY_COEFFICIENT, VALUE_SCALE } from '../../trainer/nets/critic.js';
import { Random } from '../../trainer/random.js';
import { NdArray } from '../../trainer/tensor/array.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { act, normals, numbersOf, predict, softValue } from './plainNetworks.js';
import { oneVersusRest } from './plainPlanner.js';
import { scatteredAgent, tinyOptions } from './tiny.js';

const N = 3;
const M = 2;
const THRESHOLD = 2;
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
const isTerminal = (observation: ArrayLike<number>) => observation[0] > 1;
const options: Options = {
  ...tinyOptions,
  batchSize: 10,
  horizonMax: 4,
  discount: 0.9,
  entropyCoefficient: 0.3,
  criticTarget: 'expansion',
  critics: 3,
  criticSubset: 2,
  activation: 'swish',
  policySpread: 'softplus',
  modelLayerNorm: true,
};

interface Plain {
  value: number;
  /** r - α log π of every step up to the end. */
  gains: number[];
  ended: boolean;
}

/** Every row's target by plain arithmetic, with the random numbers that the learner draws, in its order. */
function plainTargets(agent: Agent, states: Float32Array, random: Random, chosen = options): Plain[] {
  const { networks, elites } = agent;
  const { batchSize, horizonMax, discount } = chosen;
  const [policy, scales] = [numbersOf(agent.policies[0].arrays), numbersOf(agent.scales)];
  const [ensemble, target] = [numbersOf(agent.ensemble.arrays), numbersOf(agent.target.arrays)];
  const noises = (size: number, steps: number) =>
    Array.from({ length: batchSize }, () => Array.from({ length: steps }, () => normals(size, random)));
  const actionNoise = noises(M, horizonMax);
  const transitionNoise = noises(N + 1, horizonMax);
  const valueNoise = noises(M, 1).map(([noise]) => noise);
  const order = random.shuffle(Int32Array.of(0, 1, 2));
  const subset = [...order.subarray(0, 2)];
  const memberOf = (row: number) => Math.floor((row * elites.length) / batchSize);
  return Array.from({ length: batchSize }, (_, row) => {
    let s = Array.from(states.subarray(row * N, (row + 1) * N));
    const alpha = scales[ENTROPY_COEFFICIENT][0];
    const result: Plain = { value: 0, gains: [], ended: false };
    for (let k = 0; k < horizonMax && !result.ended; k++) {
      const { action, logProbability } = act(networks, policy, scales, s, actionNoise[row][k]);
      const { mean, variance } = predict(networks, ensemble, scales, s, action)[elites[memberOf(row)]];
      const [reward, ...change] = mean.map((value, d) => {
        const standardized = value + Math.sqrt(variance[d]) * transitionNoise[row][k][d];
        return standardized * scales['model.targetSd'][d] + scales['model.targetMean'][d];
      });
      result.gains.push(reward - alpha * logProbability);
      result.value += discount ** k * (k === 0 ? reward : result.gains[k]);
      s = s.map((value, d) => value + change[d]);
      result.ended = isTerminal(s);
    }
    if (!result.ended) {
      const least = (q: number[]) => Math.min(...subset.map((k) => q[k]));
      result.value +=
        discount ** horizonMax *
        softValue(networks, { policy, critic: target, prefix: 'target', scales }, s, valueNoise[row], {
          over: least,
        });
    }
    return result;
  });
}

function assertClose(actual: number, expected: number, what: string) {
  assert.ok(
    Math.abs(actual - expected) < 2e-5 * Math.max(1, Math.abs(expected)),
    `${what}: ${actual}, not ${expected}`,
  );
}

async function targetsOf(agent: Agent, chosen: Options) {
  const targetValue = await makeTargetValue(engine, agent, chosen);
  return makeExpansionTargets(engine, agent, chosen, isTerminal, targetValue);
}
const someStates = (count: number) =>
  new NdArray([count, N], new Random(3).fillNormal(new Float32Array(count * N)));

test('targets are the sums of rewards and entropies, up to a terminal state or to the value at the end', async () => {
  const agent = scatteredAgent(N, M, options, 6);
  const states = someStates(options.batchSize);
  const expected = plainTargets(agent, states.data, new Random(8));
  const actual = await (await targetsOf(agent, options))(states, new Random(8));
  assert.deepEqual(new Set(expected.map(({ ended }) => ended)), new Set([true, false]));
  for (const [row, { value }] of expected.entries()) assertClose(actual.value.data[row], value, `row ${row}`);
  const first = normals(M, new Random(8));
  const policy = numbersOf(agent.policies[0].arrays);
  const s = Array.from(states.data.subarray(0, N));
  const { action } = act(agent.networks, policy, numbersOf(agent.scales), s, first);
  for (const [d, a] of action.entries()) assertClose(actual.action.data[d], a, `action ${d}`);
});

test('bounded: the scale begins at the range that the rewards allow and follows it slowly; targets stay inside', async () => {
  const bounded = { ...options, boundedCritic: true, discount: 0.2 };
  const agent = scatteredAgent(N, M, bounded, 6);
  const centre = agent.scales[VALUE_SCALE.centre].data;
  const width = agent.scales[VALUE_SCALE.width].data;
  [centre[0], width[0]] = [0, 1];
  const targets = await targetsOf(agent, bounded);
  const states = someStates(bounded.batchSize);
  const rangeOf = (plain: Plain[]) => {
    const gains = plain.flatMap((row) => row.gains).sort((a, b) => a - b);
    const at = (share: number) => gains[Math.floor(share * (gains.length - 1))] / (1 - bounded.discount);
    return { low: Math.min(0, at(0.01)), high: Math.max(0, at(0.99)) };
  };
  const plain = plainTargets(agent, states.data, new Random(8), bounded);
  const { low, high } = rangeOf(plain);
  const actual = await targets(states, new Random(8));
  assertClose(centre[0], (low + high) / 2, 'centre');
  assertClose(width[0], (high - low) / 2, 'width');
  for (const [row, { value }] of plain.entries()) {
    assertClose(actual.value.data[row], Math.min(high, Math.max(low, value)), `row ${row}`);
  }
  const before = [centre[0], width[0]];
  const next = rangeOf(plainTargets(agent, states.data, new Random(9), bounded));
  await targets(states, new Random(9));
  assertClose(centre[0], before[0] + 3e-4 * ((next.low + next.high) / 2 - before[0]), 'centre moved');
  assertClose(width[0], before[1] + 3e-4 * ((next.high - next.low) / 2 - before[1]), 'width moved');
});

test('with real transitions mixed in, those come first, with the targets of Eq. 2 and 3, inside the bounds too', async () => {
  const mixed = { ...options, boundedCritic: true, discount: 0.2, realShare: 0.4 };
  const agent = scatteredAgent(N, M, mixed, 6);
  const replay = new Replay(N, M, 100);
  const random = new Random(4);
  const vector = (size: number) => random.fillNormal(new Float32Array(size));
  for (let i = 0; i < 100; i++) {
    const terminal = i % 3 === 0;
    replay.add({
      observation: vector(N),
      action: vector(M),
      reward: 20 * random.normal(),
      next: vector(N),
      terminal,
    });
  }
  const batch = replay.batch(mixed.batchSize);
  replay.sample(batch, random);
  const states = someStates(mixed.batchSize);
  const before = states.data.slice();
  const targetValue = await makeTargetValue(engine, agent, mixed);
  const expansion = await targetsOf(agent, mixed);
  const transitions = makeTransitionTargets(mixed, targetValue);
  const actual = await makeMixedTargets(agent, mixed, expansion, transitions)(states, batch, new Random(8));
  assert.deepEqual(states.data, before, 'plans start from the same states');

  const again = scatteredAgent(N, M, mixed, 6);
  const drawn = new Random(8);
  const imagined = await (await targetsOf(again, mixed))(states, drawn);
  const centre = again.scales[VALUE_SCALE.centre].data[0];
  const width = again.scales[VALUE_SCALE.width].data[0];
  const real = await makeTransitionTargets(mixed, await makeTargetValue(engine, again, mixed))(batch, drawn);
  const clipped = (value: number) => Math.max(centre - width, Math.min(centre + width, value));
  const beyond = [];
  for (let row = 0; row < mixed.batchSize; row++) {
    const source = row < 4 ? real : imagined;
    assertClose(actual.value.data[row], clipped(source.value.data[row]), `row ${row}`);
    const own = (array: NdArray, size: number) => array.data.subarray(row * size, (row + 1) * size);
    assert.deepEqual(own(actual.observation, N), own(source.observation, N));
    assert.deepEqual(own(actual.action, M), own(source.action, M));
    if (Math.abs(source.value.data[row] - centre) > width) beyond.push(row);
  }
  assert.ok(beyond.length > 0, 'some of them are clipped');
});

for (const cutRollouts of [false, true]) {
  const ends = cutRollouts ? ', up to where u reaches the threshold' : '';
  test(`start states are the living ones that rollouts from the replay buffer pass through${ends}`, async () => {
    const agent = scatteredAgent(N, M, options, 6);
    const random = new Random(4);
    const replay = new Replay(N, M, 100);
    const vector = (size: number) => random.fillNormal(new Float32Array(size)).map((x) => Math.min(x, 0.9));
    for (let i = 0; i < 100; i++) {
      replay.add({ observation: vector(N), action: vector(M), reward: 0, next: vector(N), terminal: false });
    }
    const startStates = await StartStates.create(engine, agent, { ...options, cutRollouts }, isTerminal);
    const out = new Float32Array(64 * N);
    await startStates.sample(out, replay, new Random(5), THRESHOLD);
    assert.deepEqual(startStates.position, { sets: 1, draws: 1 });

    const again = new Random(5);
    const from = new Float32Array(256 * N);
    for (let row = 0; row < 256; row++) from.set(replay.row(again.integer(100)).subarray(0, N), row * N);
    const rollOut = await makePolicyRollout(engine, agent, options, 256, 20);
    const { states, actions } = await rollOut(from, again);
    const [ensemble, scales] = [numbersOf(agent.ensemble.arrays), numbersOf(agent.scales)];
    const living: number[] = [];
    let cut = 0;
    for (let row = 0; row < 256; row++) {
      const own = (all: Float32Array, size: number) => [...all.subarray(row * size, (row + 1) * size)];
      const walk = [from, ...states].map((all) => own(all, N));
      const reached = (k: number) => {
        const predictions = predict(agent.networks, ensemble, scales, walk[k], own(actions[k], M));
        return Math.log(oneVersusRest(predictions) + 1e-3) >= THRESHOLD;
      };
      const end = walk.findIndex(
        (state, k) => k > 0 && (isTerminal(state) || (cutRollouts && reached(k - 1))),
      );
      if (end > 0 && !isTerminal(walk[end])) cut++;
      for (const state of end < 0 ? walk : walk.slice(0, end)) living.push(...state);
    }
    assert.equal(cut > 20, cutRollouts);
    const set = startStates.states.data.subarray(0, 5120 * N);
    const there = Math.min(living.length, set.length);
    assert.deepEqual([...set.subarray(0, there)], living.slice(0, there));
    for (let i = 0; i < set.length; i += N) assert.ok(!isTerminal(set.subarray(i, i + N)));
    const known = new Set(Array.from({ length: 5120 }, (_, i) => set.subarray(i * N, (i + 1) * N).join()));
    for (let i = 0; i < out.length; i += N)
      assert.ok(known.has(out.subarray(i, i + N).join()), 'not of the ring');

    for (let draws = 1; draws < 41; draws++) await startStates.sample(out, replay, again, null);
    assert.deepEqual(startStates.position, { sets: 3, draws: 1 });
    startStates.empty();
    await startStates.sample(out, replay, again, null);
    assert.deepEqual(startStates.position, { sets: 1, draws: 1 });
  });
}

test('a learned α falls while the entropy is above minus the number of actions or what is given, and rises below', async () => {
  const learning: Options = { ...options, entropyCoefficient: 'learned', learningRate: 0.01 };
  const agent = scatteredAgent(N, M, learning, 6);
  const update = await makeTemperatureUpdate(engine, agent, learning);
  const alpha = () => agent.scales[ENTROPY_COEFFICIENT].data[0];
  assertClose(alpha(), 0.1, 'at the start');
  await update(-M + 0.5);
  // Adam's first step is the learning rate.
  assertClose(alpha(), 0.1 * Math.exp(-0.01), 'after one step');
  for (let i = 0; i < 20; i++) await update(-M - 3);
  assert.ok(alpha() > 0.1);
  const higher = scatteredAgent(N, M, learning, 6);
  await (await makeTemperatureUpdate(engine, higher, { ...learning, targetEntropy: -1 }))(-M + 0.5);
  assertClose(higher.scales[ENTROPY_COEFFICIENT].data[0], 0.1 * Math.exp(0.01), 'towards another entropy');
  const fixed = scatteredAgent(N, M, options, 6);
  await (await makeTemperatureUpdate(engine, fixed, options))(5);
  assertClose(fixed.scales[ENTROPY_COEFFICIENT].data[0], 0.3, 'a fixed one');
});
