// Sweeps of tasks of one's own: what runs are called.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { runsDone } from './sweeps.js';

const folder = temporaryDirectory();
const path = (...names: string[]) => join(folder, ...names);
const file = path('own.yaml');
const names = ['default/left-1', 'default/right-1'];

const sweep = (out: string, ...args: string[]) =>
  startCommand(['sweep', file, '--out', out, '--json', ...args]).ended;

before(async () => {
  for (const robot of ['left', 'right']) {
    const { code, stderr } = await startCommand(['new', path(robot)]).ended;
    assert.equal(code, 0, stderr);
    // Where the test's folder lies the package is not installed.
    const defineTask = fileURLToPath(new URL('../../trainer/sim/defineTask.js', import.meta.url));
    const task = readFileSync(path(robot, 'task.mjs'), 'utf8');
    writeFileSync(path(robot, 'task.mjs'), task.replace("'farsight'", JSON.stringify(defineTask)));
  }
  const options = { ...tinyRun, steps: 80, evaluateEvery: 80 };
  writeFileSync(file, stringify({ task: ['left/task.mjs', 'right/task.mjs'], preset: 'smoke', options }));
  const { code, stderr } = await sweep(path('runs'), '--jobs', '2', '--threads', '1');
  assert.equal(code, 0, stderr);
});

test('runs of two robots in files of the same name go by the names of the tasks, and are compared by them', async () => {
  assert.deepEqual(runsDone(path('runs')), names);
  const table = path('comparison.csv');
  const scales = ['left', 'right'].flatMap((task) => ['--scale', `${task}=0:100`]);
  const { code, stderr } = await startCommand([
    'compare',
    `all=${path('runs', 'default')}`,
    ...scales,
    '--out',
    table,
  ]).ended;
  assert.equal(code, 0, stderr);
  for (const task of ['left', 'right'])
    assert.match(readFileSync(table, 'utf8'), new RegExp(`^score,${task},all,`, 'm'));
});
