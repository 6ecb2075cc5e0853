// What runs a sweep's file asks for, and what is said of one that does not do.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { planRuns } from '../../launch/sweep/plan.js';
import { readSweepFile } from '../../launch/sweep/sweepFile.js';
import { PRESETS } from '../../trainer/mpdp/options.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const written = (yaml: string) => {
  const path = join(directory, 'sweep.yaml');
  writeFileSync(path, yaml);
  return path;
};
const plan = async (yaml: string) => planRuns(readSweepFile(written(yaml)));

test('every combination, the listed ones besides, of every task; the first seed of all before the second', async () => {
  const runs = await plan(`
task: [hopper, inverted-pendulum]
preset: smoke
seeds: [7, 3]
options: {steps: 900}
grid:
  horizonMax: [1, 5]
  policyHidden: [[8, 8], [4]]
settings:
  literal: {uncertaintyScore: kl, uncertaintyThreshold: -5}
`);
  const settings = ['1,policyHidden=8x8', '1,policyHidden=4', '5,policyHidden=8x8', '5,policyHidden=4'].map(
    (rest) => `horizonMax=${rest}`,
  );
  assert.deepEqual(
    runs.map(({ name }) => name),
    [7, 3].flatMap((seed) =>
      [...settings, 'literal'].flatMap((setting) =>
        ['hopper', 'inverted-pendulum'].map((task) => `${setting}/${task}-${seed}`),
      ),
    ),
  );
  const { config } = runs.find(({ name }) => name === 'horizonMax=1,policyHidden=4/hopper-3')!;
  const options = { ...PRESETS.smoke, steps: 900, horizonMax: 1, policyHidden: [4] };
  assert.deepEqual(config, { task: 'hopper', preset: 'smoke', seed: 3, options });
  const ids = runs.map(({ id }) => id);
  assert.equal(new Set(ids).size, runs.length);
  // The same run in another file, whatever else is there.
  const [alone] = await plan(
    'task: hopper\npreset: smoke\nseeds: [3]\noptions: {policyHidden: [4], steps: 900, horizonMax: 1}\n',
  );
  assert.equal(alone.name, 'default/hopper-3');
  assert.ok(ids.includes(alone.id));
});

test('drawn values lie in their ranges, whole where the option wants it, and are drawn again alike', async () => {
  const yaml = (seed: number) => `
task: hopper
random:
  draws: 200
  seed: ${seed}
  options:
    learningRate: {from: 1e-5, to: 1e-2, scale: log}
    batchSize: {from: 8, to: 16}
    activation: [relu, swish]
`;
  const runs = await plan(yaml(1));
  assert.equal(runs.length, 200);
  const options = runs.map(({ config }) => config.options);
  const share = (of: (one: (typeof options)[0]) => boolean) => options.filter(of).length / options.length;
  assert.ok(options.every(({ learningRate }) => learningRate >= 1e-5 && learningRate <= 1e-2));
  // Each power of ten has a third of them: five standard deviations are 0.17.
  assert.ok(Math.abs(share(({ learningRate }) => learningRate < 1e-4) - 1 / 3) < 0.17);
  assert.ok(
    options.every(({ batchSize }) => Number.isInteger(batchSize) && batchSize >= 8 && batchSize <= 16),
  );
  assert.ok(share(({ batchSize }) => batchSize > 12) > 0.2);
  assert.ok(Math.abs(share(({ activation }) => activation === 'relu') - 1 / 2) < 0.18);
  const names = (plan: typeof runs) => plan.map(({ name }) => name);
  assert.deepEqual(names(await plan(yaml(1))), names(runs));
  assert.notDeepEqual(names(await plan(yaml(2))), names(runs));
});

test('settings are drawn once each, and refused where there are fewer than are asked for', async () => {
  const drawn = (draws: number) =>
    plan(`
task: hopper
random:
  draws: ${draws}
  options:
    activation: [relu, swish, relu]
    horizonMax: {from: 1, to: 4}
`);
  assert.equal((await drawn(8)).length, 8);
  const message = /^random\.draws: 9 settings are asked for, and the values come to only 8: /;
  await assert.rejects(drawn(9), { name: 'UsageError', message });
});

test('what is wrong is told with file, line and key, before anything runs', async () => {
  for (const [yaml, wanted] of [
    ['seeds: 2', / line 1: task: must be a task or a list/],
    ['task: hopper\nseed: 2', / line 2: seed: no such key; there are task, preset, seeds, /],
    ['task: hopper\ngrid:\n  horizon: [1]', / line 3: grid\.horizon: no such key; there are ensembleSize, /],
    ['task: hopper\ngrid:\n  horizonMax: 5', / line 3: grid\.horizonMax: must be a list$/],
    ['task: hopper\ngrid:\n  horizonMax: [1, 0]', / line 3: grid\.horizonMax\.1: /],
    ['task: hopper\nsettings:\n  a/b: {}', / line 3: settings\.a\/b: .*letters, digits/],
    [
      'task: hopper\nrandom:\n  draws: 2\n  options:\n    batchSize: {from: 9, to: 3}',
      / line 5: .*batchSize/,
    ],
  ] as const) {
    const message = new RegExp(`^'.*sweep\\.yaml'${wanted.source}`);
    await assert.rejects(plan(yaml), { name: 'UsageError', message });
  }
  await assert.rejects(plan('task: hopper\nsettings:\n  odd: {elites: 9}'), {
    message: /^setting 'odd': --set elites: must not exceed/,
  });
  await assert.rejects(plan('task: [hopper, hopper]'), { message: /^task 'hopper' is there twice/ });
  await assert.rejects(plan('task: hoper'), { name: 'UsageError' });
});
