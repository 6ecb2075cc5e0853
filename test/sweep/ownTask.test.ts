// Sweeps of tasks of one's own: what runs are called, that none passes for that of a changed task, and where workers find them.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { planRuns } from '../../launch/sweep/plan.js';
import { openQueue } from '../../launch/sweep/queue.js';
import { readSweepFile } from '../../launch/sweep/sweepFile.js';
import { trainRun } from '../../launch/sweep/trainChild.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { needsRedis, RedisServer } from './redis.js';
import { runsDone, startWorker } from './sweeps.js';

const folder = temporaryDirectory();
/** The folder that workers share. */
const path = (...names: string[]) => join(folder, 'here', ...names);
const file = path('own.yaml');
const names = ['default/left-1', 'default/right-1'];

const sweep = (out: string, ...args: string[]) =>
  startCommand(['sweep', file, '--out', out, '--json', ...args]).ended;
const resultOf = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1)!);

before(async () => {
  mkdirSync(path());
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
    const [{ code, stderr }, resumed] = await Promise.all([
      sweep(path('runs')),
      startCommand(['train', '--resume', '--out', path('runs', run.name)]).ended,
    ]);
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

test('a task outside the folder that workers share is refused before anything is submitted', async () => {
  const { code, stderr } = await sweep(path('inner', 'runs'), '--queue', 'redis://127.0.0.1:1');
  assert.equal(code, 2, stderr);
  const [task, shared] = [path('left', 'task.mjs'), path('inner')];
  assert.ok(
    stderr.startsWith(`error: task '${task}' lies outside '${shared}', the folder that workers`),
    stderr,
  );
});

test('workers to whom the shared folder has another path begin runs of the tasks in it, and go on with them', {
  ...needsRedis,
  timeout: 120_000,
}, async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.dispose());
  const { queue } = await openQueue(redis.url);
  t.after(() => queue.close());
  // One run is to go on, the other to begin.
  cpSync(path('runs'), path('queued'), { recursive: true });
  rmSync(path('queued', names[0], 'result.json'));
  rmSync(path('queued', names[1]), { recursive: true });
  const queued = startCommand(['sweep', file, '--out', path('queued'), '--queue', redis.url]);
  while ((await queue.getPrioritizedCount()) < 2) await sleep(20);
  queued.child.kill('SIGINT');
  await queued.ended;

  const there = join(folder, 'there');
  renameSync(path(), there);
  const worker = startWorker(redis.url, 3, '--threads', '1', '--shared', there);
  while ((await queue.getCompletedCount()) + (await queue.getFailedCount()) < 2) await sleep(20);
  worker.child.kill('SIGINT');
  const { stderr } = await worker.ended;
  renameSync(there, path());
  const ends = names.map((name) => existsSync(path('queued', name, 'result.json')));
  assert.deepEqual(ends, [true, true], stderr);
  const { code, stdout, stderr: told } = await sweep(path('queued'), '--queue', redis.url);
  assert.equal(code, 0, told);
  assert.equal(resultOf(stdout).done, 2);
});
