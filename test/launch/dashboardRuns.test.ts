// The runs that the dashboard shows: as their files tell, also while these come and go.
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { lockDirectory } from '../../contract/directoryLock.js';
import { Runs } from '../../launch/dashboard/runs.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { sampleLines, writeRun } from '../report/sampleRun.js';

const directory = join(temporaryDirectory(), 'runs');
const run = (name: string) => {
  const path = join(directory, name);
  mkdirSync(path, { recursive: true });
  const lines = sampleLines({ seed: 3, steps: 1000, halfway: 400, horizonMax: 2 });
  writeRun(path, lines, { task: 'hopper', preset: 'fast', options: { steps: 2000 } });
  return path;
};

test('a directory that goes away has no runs, and has them again when it is back', () => {
  run('one');
  const runs = new Runs(directory);
  const [card] = runs.cards();
  assert.deepEqual([card.name, card.task, card.steps, card.of], ['one', 'hopper', 1000, 2000]);
  renameSync(directory, `${directory}-away`);
  assert.deepEqual(runs.cards(), []);
  renameSync(`${directory}-away`, directory);
  assert.deepEqual(runs.cards(), [card]);
});

test('one that a process works on comes first, and one that cannot be read is named', () => {
  const unlock = lockDirectory(run('two'), 'two');
  const broken = run('three');
  writeFileSync(join(broken, 'config.json'), '{');
  const runs = new Runs(directory);
  const cards = () => runs.cards().map(({ name, running, task }) => [name, running, task]);
  assert.deepEqual(cards()[0], ['two', true, 'hopper']);
  assert.ok(cards().some(([name, , task]) => name === 'three' && task === ''));
  unlock();
  assert.ok(cards().every(([, running]) => !running));
  rmSync(directory, { recursive: true });
});
