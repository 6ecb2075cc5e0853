// One process to a run's directory, and none that a dead one still holds.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isInUse } from '../../contract/directoryLock.js';
import { readConfig } from '../../trainer/run/runConfig.js';
import { startRun } from '../../trainer/run/train.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { FARSIGHT } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { filesOf } from './runFiles.js';

const directory = temporaryDirectory();
const path = (name: string) => join(directory, name);
const options = { ...tinyRun, steps: 100 };
const settings = Object.entries(options).flatMap(([key, value]) => [
  '--set',
  `${key}=${JSON.stringify(value)}`,
]);

function train(...args: string[]) {
  const child = spawn(process.execPath, [FARSIGHT, 'train', '--threads', '1', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (piece) => {
    stderr += piece;
  });
  return { child, ended: once(child, 'close').then(([code]) => ({ code, stderr })) };
}
const fresh = (seed: number, name: string) =>
  train(
    ...['--task', 'inverted-pendulum', '--preset', 'smoke', '--seed', `${seed}`, '--out', path(name)],
    ...settings,
  );

test('of two that begin or go on with a run at once, one does and the other says who has it', async () => {
  const both = [fresh(1, 'both'), fresh(2, 'both')];
  const outcomes = await Promise.all(both.map(({ ended }) => ended));
  assert.deepEqual(outcomes.map(({ code }) => code === 0).sort(), [false, true]);
  const loser = outcomes.findIndex(({ code }) => code !== 0);
  assert.match(
    outcomes[loser].stderr,
    /^error: --out '.*both' (is in use by process \d+|holds a run already): /m,
  );
  const { seed } = readConfig(path('both'));
  assert.equal(seed, loser === 0 ? 2 : 1);
  const config = { task: 'inverted-pendulum', preset: 'smoke', seed, options };
  await startRun(path('alone'), config, new CompiledEngine({ threads: 1, device: 'cpu' }));
  assert.deepEqual(filesOf(path('both')), filesOf(path('alone')));
  // TensorBoard's file has the time of its start in its name.
  const names = (run: string) =>
    readdirSync(path(run))
      .map((name) => name.replace(/\d{13}/, ''))
      .sort();
  assert.deepEqual(names('both'), names('alone'));

  const killed = fresh(seed, 'killed');
  while (!existsSync(path('killed/metrics.jsonl'))) await sleep(5);
  killed.child.kill('SIGKILL');
  await killed.ended;
  assert.ok(existsSync(path('killed/lock')));
  const resumed = [1, 2].map(() => train('--resume', '--out', path('killed')));
  const ends = await Promise.all(resumed.map(({ ended }) => ended));
  const refused = ends.filter(({ code }) => code !== 0);
  // The second may have come when the first was through.
  assert.ok(refused.length <= 1, ends.map(({ stderr }) => stderr).join());
  for (const { stderr } of refused)
    assert.match(stderr, /killed' is in use by process \d+: wait for it, stop it/);
  assert.deepEqual(filesOf(path('killed')), filesOf(path('alone')));
});

test('a run whose directory another computer has taken over writes nothing more', async () => {
  // A shared folder that keeps locks to one computer lets the other have the file.
  const lock = path('taken/lock');
  const metrics = () => readFileSync(path('taken/metrics.jsonl'), 'utf8');
  let before = '';
  const config = { task: 'inverted-pendulum', preset: 'smoke', seed: 1, options };
  const onStep = (_: number, line: unknown) => {
    if (!line || before) return;
    before = metrics();
    writeFileSync(lock, '7 elsewhere\n');
  };
  const run = startRun(path('taken'), config, new CompiledEngine({ threads: 1, device: 'cpu' }), { onStep });
  await assert.rejects(run, { message: /taken' was taken over by another process/ });
  assert.equal(metrics(), before);
  assert.equal(readFileSync(lock, 'utf8'), '7 elsewhere\n');
  assert.ok(isInUse(path('taken')));
});
