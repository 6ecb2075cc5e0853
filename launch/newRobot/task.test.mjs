// What must stay true of the task: run with `node --test`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import task from './task.mjs';

test('farsight check finds nothing to mend', () => {
  const path = fileURLToPath(new URL('./task.mjs', import.meta.url));
  const { stdout, stderr } = spawnSync('npx', ['farsight', 'check', path, '--json'], { encoding: 'utf8' });
  assert.notEqual(stdout, '', stderr);
  const { findings } = JSON.parse(stdout.trim().split('\n').at(-1));
  assert.deepEqual(
    findings.filter(({ level }) => level !== 'note'),
    [],
  );
});

test('an episode ends when the pole has spun round, and not before', () => {
  assert.equal(task.terminated(Float32Array.of(0, Math.PI, 0, 0)), false);
  assert.equal(task.terminated(Float32Array.of(0, 7, 0, 0)), true);
});
