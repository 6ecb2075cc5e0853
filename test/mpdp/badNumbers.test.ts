// Numbers that are not finite, or cannot be physical: one of them changes nothing but a count; only many end a run.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FarsightError } from '../../contract/errors.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { makeCriticUpdate } from '../../trainer/mpdp/critic.js';
import { Dynamics } from '../../trainer/mpdp/dynamics.js';
import { FarsightedImprovement } from '../../trainer/mpdp/farsighted.js';
import { type Memory, remember } from '../../trainer/mpdp/networks.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { Random } from '../../trainer/random.js';
import { startRun } from '../../trainer/run/train.js';
import { NdArray } from '../../trainer/tensor/array.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { metricsOf } from '../run/runFiles.js';
import { beyondOptions, scatteredAgent, tinyOptions, tinyRun } from './tiny.js';

const directory = temporaryDirectory();
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
const [N, M] = [3, 2];
const allNumbers = ({ arrays }: Memory) => arrays.every((array) => array.every(Number.isFinite));

// Layer normalisation takes 1e30 for what it is worth.
for (const [kind, options, bad] of [
  ['separate policies', tinyOptions, 1e30],
  ['one policy', { ...tinyOptions, ...beyondOptions }, Number.NaN],
] as [string, Options, number][]) {
  test(`an update without one state, and none without any: ${kind}`, async () => {
    const agent = scatteredAgent(N, M, options, 1);
    const random = new Random(2);
    const improvement = await FarsightedImprovement.create(engine, agent, options, () => false, random);
    const states = () => random.fillNormal(new Float32Array(options.batchSize * N));
    const before = remember(agent, 'policies');
    const one = states();
    one[4] = bad;
    const { left, skipped, objective } = await improvement.improve(one, null);
    assert.deepEqual([left, skipped, Number.isFinite(objective)], [1, false, true]);
    const after = remember(agent, 'policies');
    assert.ok(allNumbers(after));
    assert.notDeepEqual(after.arrays[0], before.arrays[0]);

    const none = await improvement.improve(states().fill(bad), null);
    assert.deepEqual([none.left, none.skipped], [options.batchSize, true]);
    assert.deepEqual(remember(agent, 'policies'), after);
  });
}

test('the critic learns from the targets that are numbers, and not at all from what overflows', async () => {
  const agent = scatteredAgent(N, M, tinyOptions, 1);
  const random = new Random(2);
  const update = await makeCriticUpdate(engine, agent, tinyOptions);
  const { batchSize } = tinyOptions;
  const filled = (...shape: number[]) => {
    const array = new NdArray(shape);
    random.fillNormal(array.data);
    return array;
  };
  const targets = () => ({
    observation: filled(batchSize, N),
    action: filled(batchSize, M),
    value: filled(batchSize),
  });
  const one = targets();
  one.value.data[3] = Number.NaN;
  one.observation.data[0] = Number.POSITIVE_INFINITY;
  assert.deepEqual({ ...(await update(one)), loss: 0, q: 0 }, { loss: 0, q: 0, left: 2, skipped: false });
  const after = remember(agent, 'policies');
  assert.ok(allNumbers(after));
  const overflowing = targets();
  overflowing.observation.data[0] = 1e30;
  assert.equal((await update(overflowing)).skipped, true);
  assert.deepEqual(remember(agent, 'policies'), after);
});

test('a model that diverges says so; the replay buffer takes nothing that cannot be physical', async () => {
  const options = { ...tinyOptions, modelLearningRate: 1e30, modelUpdatesMax: 1000, modelPatience: 1000 };
  const agent = scatteredAgent(N, M, options, 1);
  const random = new Random(2);
  const replay = new Replay(N, M, 100);
  const drawn = (count: number) => random.fillNormal(new Float32Array(count));
  const add = (change = {}) =>
    replay.add({
      observation: drawn(N),
      action: drawn(M),
      reward: 1,
      next: drawn(N),
      terminal: false,
      ...change,
    });
  for (let i = 0; i < 60; i++) add();
  add({ observation: Float32Array.of(0, 1e30, 0) });
  add({ reward: Number.NaN });
  add({ next: Float32Array.of(0, 0, Number.NEGATIVE_INFINITY) });
  assert.deepEqual([replay.size, replay.takeRefused(), replay.takeRefused()], [60, 3, 0]);
  const dynamics = await Dynamics.create(engine, agent, options);
  await assert.rejects(
    dynamics.fit(replay, random),
    /^FarsightError: training diverged: the model's loss is not finite/,
  );
});

test('a run leaves out one bad reward and says so; a run that only has such ends with its cause', async () => {
  const slip = join(directory, 'slip.mjs');
  writeFileSync(
    slip,
    `import pendulum from '${new URL('../../trainer/sim/tasks/inverted-pendulum.js', import.meta.url)}';
let steps = 0;
export default { ...pendulum, name: 'slip', reward: () => (++steps === 10 ? 1e30 : 1) };`,
  );
  const options = { ...tinyRun, steps: 100 };
  const remarks: string[] = [];
  const out = join(directory, 'run');
  await startRun(out, { task: slip, preset: 'smoke', seed: 1, options }, engine, {
    onRemark: (line) => remarks.push(line),
  });
  assert.deepEqual(remarks, ['up to step 20 numbers were not finite: left out 1 transitions']);
  const refused = metricsOf(out).map((line) => line.refusedTransitions);
  assert.deepEqual(refused, [1, 0, 0, 0, 0]);
  const { selfCheck } = readPolicyFile(join(out, 'policy.onnx')).manifest;
  assert.ok(selfCheck.every(({ action }) => action.every(Number.isFinite)));

  const wild = { ...options, learningRate: 1e30, firstUpdates: 150 };
  const config = { task: 'inverted-pendulum', preset: 'smoke', seed: 1, options: wild };
  await assert.rejects(startRun(join(directory, 'wild'), config, engine), (error: Error) => {
    assert.ok(error instanceof FarsightError, error.stack);
    assert.match(
      error.message,
      /^training diverged at step 60: the (critic|policies)'s? gradient was not finite in 100/,
    );
    return true;
  });
});
