// Sweeps of tasks of one's own: what runs are called, and that none passes for that of a changed task.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { planRuns } from '../../launch/sweep/plan.js';
import { readSweepFile } from '../../launch/sweep/sweepFile.js';
import { trainRun } from '../../launch/sweep/trainChild.js';
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
const resultOf = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1)!);

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

test('a sweep whose task, or the MJCF of whose task, has changed is refused by the task; changed back it is done', async () => {
  const planned = await planRuns(readSweepFile(file));
  const hooks = { threads: 1, stop: new AbortController().signal, grace: () => 0, onProgress: () => {} };
  for (const [robot, name, from, to] of [
    ['left', 'robot.xml', 'timestep="0.005"', 'timestep="0.004"'],
    ['right', 'task.mjs', 'scale: 0.05', 'scale: 0.06'],
  ]) {
    const changed = path(robot, name);
    const text = readFileSync(changed, 'utf8');
    const run = planned.find(({ task }) => task === robot)!;
    writeFileSync(changed, text.replace(from, to));
    assert.notEqual(readFileSync(changed, 'utf8'), text);
    const { code, stderr } = await sweep(path('runs'));
    const resumed = await startCommand(['train', '--resume', '--out', path('runs', run.name)]).ended;
    // Where it has changed since the sweep was begun, what it trained would pass for a run of the earlier one.
    const late = trainRun(path('late'), run, hooks);
    await assert.rejects(
      late,
      /^FarsightError: task '.*task\.mjs': .* has changed since the sweep was begun; /,
    );
    writeFileSync(changed, text);
    const refused = `--task '${path(robot, 'task.mjs')}': its file or its MJCF has changed since the run in '`;
    assert.equal(code, 2, stderr);
    assert.ok(stderr.startsWith(`error: --out '${path('runs')}' holds another sweep: ${refused}`), stderr);
    assert.ok(resumed.stderr.includes(`error: ${refused}`), resumed.stderr);
  }
  const { code, stdout, stderr } = await sweep(path('runs'));
  assert.equal(code, 0, stderr);
  assert.equal(resultOf(stdout).done, 2);
});
