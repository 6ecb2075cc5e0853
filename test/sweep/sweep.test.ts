// farsight sweep on this computer and behind a real Redis: whatever is killed, every run ends once, as if left alone.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { settingsOf } from '../../launch/configFile.js';
import { planRuns } from '../../launch/sweep/plan.js';
import { openQueue, submit } from '../../launch/sweep/queue.js';
import { readSweepFile } from '../../launch/sweep/sweepFile.js';
import { trainRun } from '../../launch/sweep/trainChild.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { filesOf } from '../run/runFiles.js';
import { needsRedis, RedisServer } from './redis.js';
import { endsSeen, runsDone, startWorker, writeSweep } from './sweeps.js';

const directory = temporaryDirectory();
const path = (...names: string[]) => join(directory, ...names);
const file = writeSweep(path('tiny.yaml'), 2, 2, 200);
const names = [1, 2].flatMap((horizon) =>
  [1, 2].map((seed) => `horizonMax=${horizon}/inverted-pendulum-${seed}`),
);

const sweep = (out: string, ...args: string[]) =>
  startCommand(['sweep', file, '--out', path(out), '--json', ...args]);
const resultOf = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1)!);
const until = async (something: () => boolean) => {
  while (!something()) await sleep(5);
};
/** Whether a run has written some lines. */
const underWay = (out: string, name: string) =>
  existsSync(path(out, name, 'metrics.jsonl')) &&
  readFileSync(path(out, name, 'metrics.jsonl'), 'utf8').split('\n').length > 2;
const wholeAs = (out: string, other: string) => {
  assert.deepEqual(runsDone(path(out)), names);
  for (const name of names) assert.deepEqual(filesOf(path(out, name)), filesOf(path(other, name)), name);
};

before(async () => {
  const { code, stdout, stderr } = await sweep('alone', '--jobs', '2', '--threads', '1').ended;
  assert.equal(code, 0, stderr);
  const { runs, done, failed, left } = resultOf(stdout);
  assert.deepEqual([runs, done, failed, left], [4, 4, 0, 0]);
  assert.deepEqual(runsDone(path('alone')), names);
});

test('what a sweep left can be compared by the command that it prints', async () => {
  const { stdout } = await sweep('alone').ended;
  const command: string = resultOf(stdout).compare;
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
  assert.deepEqual(words.slice(0, 2), ['farsight', 'compare']);
  const { code, stderr } = await startCommand(words.slice(1)).ended;
  assert.equal(code, 0, stderr);
  const page = readFileSync(path('alone', 'comparison.html'), 'utf8');
  for (const label of ['horizonMax 1: 2 runs', 'horizonMax 2: 2 runs'])
    assert.ok(page.includes(label), label);
});

test('stopped by Ctrl-C, and killed with its runs orphaned, a sweep here goes on to the same ends', async () => {
  const first = sweep('stopped', '--jobs', '2', '--threads', '1');
  await until(() => underWay('stopped', names[0]));
  first.child.kill('SIGINT');
  const { code, stdout, stderr } = await first.ended;
  assert.equal(code, 0, stderr);
  assert.ok(resultOf(stdout).left > 0, stderr);

  const second = sweep('stopped', '--jobs', '2', '--threads', '1');
  await until(() => underWay('stopped', names[2]) || second.child.exitCode !== null);
  second.child.kill('SIGKILL');
  await second.ended;
  // Its runs see that it is gone, and end too.
  const third = await sweep('stopped', '--jobs', '2', '--threads', '1').ended;
  assert.equal(third.code, 0, third.stderr);
  wholeAs('stopped', 'alone');
});

test('a process that a killed worker left, and that begins the same run just now, is waited for', async () => {
  const runs = await planRuns(readSweepFile(file));
  const run = runs.find(({ name }) => name === names[0])!;
  const { task, preset, seed, options } = run.config;
  // It has a head start, and no lock yet.
  const left = startCommand([
    ...['train', '--task', task, '--preset', preset, '--seed', `${seed}`, '--threads', '1'],
    ...['--out', path('left', run.name)],
    ...settingsOf(options).flatMap((setting) => ['--set', setting]),
  ]);
  const stop = new AbortController().signal;
  const hooks = { threads: 1, stop, grace: () => 0, onProgress: () => {} };
  const result = await trainRun(path('left', run.name), run, hooks);
  await left.ended;
  assert.equal(result?.environmentSteps, options.steps);
  assert.deepEqual(filesOf(path('left', run.name)), filesOf(path('alone', run.name)));
});

test('a run that fails is told, and keeps no other from its end; other options in the same place are refused', async () => {
  const content = parse(readFileSync(file, 'utf8'));
  const other = path('other.yaml');
  writeFileSync(other, stringify({ ...content, options: { ...content.options, batchSize: 9 } }));
  const refused = await startCommand(['sweep', other, '--out', path('alone')]).ended;
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /^error: --out '.*alone' holds another sweep: --set batchSize: .* has 8/m);

  const typo = path('typo.yaml');
  writeFileSync(typo, stringify({ ...content, sedes: 2 }));
  const noQueue = ['--queue', 'redis://127.0.0.1:1', '--cancel'];
  for (const [wrong, said] of [
    [typo, /^error: '.*typo\.yaml' line \d+: sedes: no such key/m],
    [path('none.yaml'), /^error: '.*none\.yaml' cannot be read/m],
  ] as const) {
    const cancel = await startCommand(['sweep', wrong, '--out', path('alone'), ...noQueue]).ended;
    assert.match(cancel.stderr, said);
  }

  // Where a run's directory should be there is a file.
  cpSync(path('alone'), path('blocked'), { recursive: true });
  for (const name of [names[0], names[3]]) rmSync(path('blocked', name), { recursive: true });
  writeFileSync(path('blocked', names[0]), '');
  const { code, stdout, stderr } = await sweep('blocked', '--jobs', '1', '--threads', '1').ended;
  assert.equal(code, 1);
  assert.deepEqual([resultOf(stdout).done, resultOf(stdout).failed], [3, 1]);
  assert.match(stderr, /^horizonMax=1\/inverted-pendulum-1: failed: '.*' cannot be written: /m);
  assert.deepEqual(runsDone(path('blocked')), names.slice(1));
});

const workers = { ...needsRedis, timeout: 180_000 };
test(
  'a sweep that comes later takes turns with the one before, and what is there is not put there again',
  workers,
  async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.dispose());
    const { queue } = await openQueue(redis.url);
    t.after(() => queue.close());
    const runs = await planRuns(readSweepFile(file));
    const [first, second] = ['first', 'second'].map((id) => ({ id, cancelled: 0 }));
    await submit(queue, first, path('first'), runs);
    await submit(queue, second, path('second'), runs.slice(0, 2));
    await submit(queue, first, path('first'), runs);
    const waiting = await queue.getPrioritized();
    assert.deepEqual(
      waiting.map(({ data }) => data.sweep.id),
      ['first', 'second', 'first', 'second', 'first', 'first'],
    );
    const order = waiting.filter(({ data }) => data.sweep.id === 'first').map(({ name }) => name);
    assert.deepEqual(
      order,
      runs.map(({ name }) => name),
    );
    // Nobody would ever train the runs of a directory that was deleted.
    const cancel = await sweep('first', '--queue', redis.url, '--cancel').ended;
    assert.equal(cancel.code, 0, cancel.stderr);
    assert.equal(resultOf(cancel.stdout).waiting, 4);
    const left = (await queue.getPrioritized()).map(({ data }) => data.sweep.id);
    assert.deepEqual(left, ['second', 'second']);
  },
);

test('workers killed, Redis killed: every run ends once, as one that was left alone', workers, async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.dispose());
  const start = (...args: string[]) => startWorker(redis.url, 3, '--threads', '1', ...args);
  const queued = sweep('queued', '--queue', redis.url);
  t.after(() => queued.child.kill());

  // A worker that does not have the folder, or another's sweep of the same name in it, takes nothing away from the others.
  mkdirSync(path('others', 'queued'), { recursive: true });
  writeFileSync(path('others', 'queued', 'sweep.json'), '{"id":"another"}');
  for (const shared of ['elsewhere', 'others']) {
    const { code, stderr } = await start('--shared', path(shared)).ended;
    assert.equal(code, 1, stderr);
    const message = `^error: '.*${shared}/queued' is not the directory of the sweep .*--shared`;
    assert.match(stderr, new RegExp(message, 'm'));
  }
  assert.deepEqual(readdirSync(path('others', 'queued')), ['sweep.json']);

  const started = [start(), start()];
  await until(() => names.some((name) => underWay('queued', name)));
  started[0].child.kill('SIGKILL');
  started.push(start());
  await until(() => runsDone(path('queued')).length > 0);
  await redis.kill();
  await sleep(500);
  await redis.start();
  // Submitted once more, by another who looks on.
  const again = sweep('queued', '--queue', redis.url);
  for (const { ended } of [queued, again]) {
    const { code, stdout, stderr } = await ended;
    assert.equal(code, 0, stderr);
    assert.equal(resultOf(stdout).done, 4);
  }
  for (const { child } of started) child.kill('SIGINT');
  const logs = (await Promise.all(started.map(({ ended }) => ended))).map(({ stderr }) => stderr);
  assert.deepEqual(await endsSeen(redis.url), names, logs.join('\n'));
  wholeAs('queued', 'alone');
});

test('cancelled runs stop with a checkpoint and go on when they are submitted again', workers, async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.dispose());
  const queued = sweep('cancelled', '--queue', redis.url);
  const worker = startWorker(redis.url, 3, '--threads', '1');
  await until(() => underWay('cancelled', names[0]));
  const cancel = await sweep('cancelled', '--queue', redis.url, '--cancel').ended;
  assert.equal(cancel.code, 0, cancel.stderr);
  const { waiting, running, left } = resultOf(cancel.stdout);
  assert.equal(left, 0);
  const told = resultOf((await queued.ended).stdout);
  assert.equal(told.left, waiting + running);
  assert.ok(waiting > 0);

  const again = await sweep('cancelled', '--queue', redis.url).ended;
  assert.equal(again.code, 0, again.stderr);
  worker.child.kill('SIGINT');
  await worker.ended;
  wholeAs('cancelled', 'alone');
});
