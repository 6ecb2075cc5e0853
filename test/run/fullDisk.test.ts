// A full disk, a directory that went away, a report that cannot be drawn: what is on disk stays whole, and words say it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const canMount = spawnSync('unshare', ['-rm', 'true']).status === 0;
const skip = canMount ? false : 'needs unshare and user namespaces, for a small disk of its own';

test('training and refit on a disk that is full, at every file', { skip }, () => {
  const script = fileURLToPath(new URL('./fullDiskProcess.js', import.meta.url));
  const { status, stderr } = spawnSync('unshare', ['-rm', process.execPath, script, directory], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
