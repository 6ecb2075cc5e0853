// The learner around its programs: what is stored and what ends, what is measured when, where the threshold comes from.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeActor } from '../../trainer/mpdp/actor.js';
import { evaluate } from '../../trainer/mpdp/evaluate.js';
import { Mpdp } from '../../trainer/mpdp/mpdp.js';
import { makeAgent, makeNetworks } from '../../trainer/mpdp/networks.js';
import { type Options, PRESETS } from '../../trainer/mpdp/options.js';
import { makePrograms } from '../../trainer/mpdp/programs.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { NORMALIZER } from '../../trainer/nets/policy.js';
import { Random } from '../../trainer/random.js';
import { loadTask, type Task } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';
import { NdArray } from '../../trainer/tensor/array.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { act, numbersOf } from './plainNetworks.js';
import { scatteredAgent, tinyOptions } from './tiny.js';

const pendulum = await loadTask('inverted-pendulum');

const makeLearner = (changes: Partial<Options>, task: Partial<Task> = {}) =>
  Mpdp.create(
    { ...pendulum, ...task },
    { ...tinyOptions, ...changes },
    1,
    new CompiledEngine({ threads: 1, device: 'cpu' }),
  );

/** A learner whose buffer holds `count` transitions: the first ones small, the last ones so large that all differ. */
async function withData(changes: Partial<Options>, count: number) {
  const learner = await makeLearner(changes);
  const random = new Random(2);
  for (let i = 0; i < count; i++) {
    const size = 0.1 + (3 * i) / count;
    const drawn = (length: number) => random.fillNormal(new Float32Array(length)).map((x) => size * x);
    const [action] = drawn(1);
    learner.replay.add({
      observation: drawn(4),
      action: Float32Array.of(Math.tanh(action)),
      reward: random.normal(),
      next: drawn(4),
      terminal: false,
    });
  }
  return learner;
}
const newest = (learner: Mpdp, count: number) =>
  Int32Array.from({ length: count }, (_, i) => learner.replay.size - count + i);

test('the threshold is the quantile of u on the newest 250 real transitions, plus its margin', async () => {
  for (const thresholdQuantile of [0, 0.2, 0.9]) {
    const learner = await withData({ thresholdQuantile, thresholdMargin: 0.25 }, 600);
    await learner.trainModel();
    const { uncertainty } = await learner.dynamics.check(learner.replay, newest(learner, 250));
    const sorted = [...uncertainty].sort((a, b) => a - b);
    const wanted = sorted[Math.floor(thresholdQuantile * 249)] + 0.25;
    assert.ok(
      Math.abs(learner.position.threshold! - wanted) < 1e-5,
      `${learner.position.threshold}, not ${wanted}`,
    );
    assert.ok(sorted[249] - sorted[0] > 0.5, 'u is the same everywhere: the case shows nothing');
    learner.dispose();
  }
});

test('the model’s error is that of the model before it has seen the newest transitions', async () => {
  const learner = await withData({}, 600);
  await learner.trainModel();
  assert.equal(learner.position.modelError, null);
  const { error } = await learner.dynamics.check(learner.replay, newest(learner, 250));
  await learner.trainModel();
  const after = await learner.dynamics.check(learner.replay, newest(learner, 250));
  assert.ok(Math.abs(after.error - error) > 1e-3);
  assert.ok(Math.abs(learner.position.modelError! - error) < 1e-9);
  learner.dispose();
});

test('observations are standardised by the data of the warm-up, where that is asked for', async () => {
  for (const normalizeObservations of [true, false]) {
    const learner = await withData({ normalizeObservations }, 300);
    const { mean, sd } = learner.replay.observationStatistics();
    await learner.trainModel();
    const { scales } = learner.agent;
    const wanted = normalizeObservations ? [mean, sd] : [mean.map(() => 0), sd.map(() => 1)];
    const found = [scales[NORMALIZER.mean], scales[NORMALIZER.sd]].map(({ data }) => [...data]);
    assert.deepEqual(
      found,
      wanted.map((values) => values.map(Math.fround)),
    );
    learner.dispose();
  }
});

test('the time limit ends an episode and no value; a termination ends both', async () => {
  const continues = ({ replay }: Mpdp) =>
    Array.from({ length: replay.size }, (_, i) => replay.row(i)[replay.rowLength - 1]);
  const cut = await makeLearner({}, { maxEpisodeSteps: 4, terminated: () => false });
  for (let i = 0; i < 10; i++) await cut.step();
  assert.deepEqual(continues(cut), new Array(10).fill(1));
  assert.deepEqual([cut.position.episodes, cut.position.episodeSteps], [2, 2]);
  cut.dispose();
  let steps = 0;
  const ended = await makeLearner({}, { terminated: () => ++steps % 4 === 0 });
  for (let i = 0; i < 10; i++) await ended.step();
  assert.deepEqual(continues(ended), [1, 1, 1, 0, 1, 1, 1, 0, 1, 1]);
  assert.equal(ended.position.episodes, 2);
  ended.dispose();
});

test('an evaluated episode goes up to the time limit, or its termination', async () => {
  let steps = 0;
  const task = { ...pendulum, maxEpisodeSteps: 7, reward: () => 1, terminated: () => steps === 12 };
  const world = await World.create(task);
  const seen: [number, number][] = [];
  const act = () => {
    steps++;
    return Float32Array.of(0);
  };
  const { returns, mean, sd } = await evaluate(world, act, 2, 1, {
    onEpisode: (_, { observations, actions }) => seen.push([observations.length, actions.length]),
  });
  assert.deepEqual(returns, [7, 5]);
  assert.deepEqual([mean, sd], [6, 1]);
  assert.deepEqual(seen, [
    [8, 7],
    [6, 5],
  ]);
  world.dispose();
});

test('the target critic begins as the critic', () => {
  const networks = makeNetworks(4, 1, tinyOptions);
  const { critic, target } = makeAgent(networks, tinyOptions, new Random(1));
  assert.deepEqual(target.flat.data, critic.flat.data);
  assert.ok(critic.flat.data.some((value) => value !== 0));
});

test('an update draws real transitions where the critic learns from them, or plans start there', async () => {
  const rollouts = { startStates: 'rollouts', uncertaintyThreshold: null } as const;
  const expansion = { criticTarget: 'expansion' } as const;
  const cases: [Partial<Options>, number][] = [
    [{}, 1],
    [expansion, 1],
    [rollouts, 1],
    [{ ...rollouts, ...expansion }, 0],
  ];
  for (const [changes, wanted] of cases) {
    const learner = await withData(changes, 300);
    await learner.trainModel();
    let drawn = 0;
    const { sample } = learner.replay;
    learner.replay.sample = (batch, random) => {
      // Rollouts that lead to start states draw larger ones.
      if (batch.reward.data.length === tinyOptions.batchSize) drawn++;
      sample.call(learner.replay, batch, random);
    };
    await learner.update();
    assert.equal(drawn, wanted, JSON.stringify(changes));
    learner.dispose();
  }
});

test('the critic learns from as many real transitions as the options say', async () => {
  const expansion = { criticTarget: 'expansion' } as const;
  const cases: [Partial<Options>, number][] = [
    [{}, 8],
    [expansion, 0],
    [{ ...expansion, realShare: 0.25 }, 2],
  ];
  for (const [changes, wanted] of cases) {
    const options = { ...tinyOptions, ...changes };
    const random = new Random(1);
    const agent = scatteredAgent(4, 1, options, 3);
    const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
    const { criticTargets } = await makePrograms(engine, agent, options, pendulum, random);
    const replay = new Replay(4, 1, 20);
    const vector = (size: number) => random.fillNormal(new Float32Array(size));
    for (let i = 0; i < 20; i++) {
      const transition = { observation: vector(4), action: vector(1), next: vector(4) };
      replay.add({ ...transition, reward: 1, terminal: false });
    }
    const batch = replay.batch(8);
    replay.sample(batch, random);
    const { action } = await criticTargets(new NdArray([8, 4]), batch, random);
    const real = action.data.filter((value, row) => value === batch.action.data[row]);
    assert.equal(real.length, wanted, JSON.stringify(changes));
  }
});

test('the action without noise is the squashed mean, in actuator units', async () => {
  const agent = scatteredAgent(4, 1, tinyOptions, 3);
  const actor = await makeActor(new CompiledEngine({ threads: 1, device: 'cpu' }), agent, pendulum);
  const seen = [0.3, -0.2, 0.9, -1.1];
  const numbers = [numbersOf(agent.policies[0].arrays), numbersOf(agent.scales)] as const;
  const { action } = act(agent.networks, ...numbers, seen, [0]);
  const [low, high] = pendulum.action[0].limits;
  const [found] = await actor.mean(Float32Array.from(seen));
  assert.ok(Math.abs(found - (low + ((action[0] + 1) / 2) * (high - low))) < 1e-4);
});

test('preset paper is Table 2 of the paper; its threshold of -5 is read as docs/mpdp.md says', () => {
  const { uncertaintyThreshold, uncertaintyScore, ...paper } = PRESETS.paper;
  const table = {
    ensembleSize: 7,
    replaySize: 1e6,
    batchSize: 256,
    learningRate: 3e-4,
    entropyCoefficient: 0.2,
    regularization: 0.5,
    horizonMax: 25,
    updatesPerStep: 20,
    modelEvery: 250,
  };
  assert.deepEqual({ ...paper, ...table }, paper);
  assert.deepEqual([uncertaintyScore, uncertaintyThreshold], ['log-kl', 'calibrated']);
  // What Table 2 does not have is Algorithm 2 as printed: nothing of what came later.
  const printed = { policies: 'separate', criticTarget: 'transition', startStates: 'replay', updateEvery: 1 };
  assert.deepEqual({ ...paper, ...printed }, paper);
});

test('with rollouts cut by a threshold that all steps reach, plans start from the replay buffer alone', async () => {
  const cut = { startStates: 'rollouts', cutRollouts: true, uncertaintyThreshold: -1e9 } as const;
  const learner = await withData(cut, 100);
  await learner.trainModel();
  await learner.update();
  const known = new Set(Array.from({ length: 100 }, (_, i) => learner.replay.row(i).subarray(0, 4).join()));
  const { data } = learner.startStates!.states;
  for (let i = 0; i < 5120; i++) assert.ok(known.has(data.subarray(4 * i, 4 * i + 4).join()));
});
