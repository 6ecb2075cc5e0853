// farsight deliver: what may be said of each role, and what is told of one that does not do.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const place = (name: string) => join(directory, name);
const deliver = (name: string, ...args: string[]) => startCommand(['deliver', name, '--json', ...args]).ended;
const DAY = 86_400_000;

describe('farsight deliver', { concurrency: 2 }, () => {
  it('makes a repository with the lifetimes and thresholds that are given by role', async () => {
    const [repository, keys] = [place('policies'), place('keys')];
    const where = ['--repository', repository, '--keys', keys];
    assert.equal((await deliver('keys', 'root-1', 'root-2', '--out', keys)).code, 0);
    const roles = ['--root', 'root-1,root-2', '--threshold', 'root=2'];
    const lifetimes = ['--expires', 'root=30,targets=0.5', '--expires', 'timestamp=2'];
    const { code, stdout, stderr } = await deliver('init', ...where, ...roles, ...lifetimes);
    assert.equal(code, 0, stderr);
    const made: { role: string; expires: string; threshold: number }[] = JSON.parse(stdout);
    const found = made.map(({ role, expires, threshold }) => [
      role,
      Math.round((4 * (Date.parse(expires) - Date.now())) / DAY) / 4,
      threshold,
    ]);
    assert.deepEqual(found, [
      ['root', 30, 2],
      ['targets', 0.5, 1],
      ['snapshot', 7, 1],
      ['timestamp', 2, 1],
    ]);
  });

  it('tells in one line what is wrong with a flag, and makes nothing', async () => {
    const where = ['--repository', place('none'), '--keys', place('no-keys')];
    const cases: [string[], RegExp][] = [
      [['--expires', 'root'], /^--expires 'root': wants ROLE=DAYS, such as root=365$/],
      [['--expires', 'root=2,'], /^--expires '': wants ROLE=DAYS, such as root=365$/],
      [['--expires', 'rot=2'], /^--expires 'rot': no such role; the roles are root, targets, snapshot, time/],
      [
        ['--expires', 'root=2,targets=0'],
        /^--expires targets: must be a number of days, above 0 and at most/,
      ],
      [['--expires', 'root=1e9'], /^--expires root: must be a number of days, above 0 and at most 36500$/],
      [['--expires', 'timestamp=soon'], /^--expires timestamp: must be a number of days, above 0 and/],
      [['--threshold', 'root=1.5'], /^--threshold root: must be a number of keys, at least 1$/],
      [['--threshold', 'root=0'], /^--threshold root: must be a number of keys, at least 1$/],
    ];
    for (const [args, pattern] of cases) {
      const { code, stdout, stderr } = await deliver('init', ...where, ...args);
      assert.deepEqual([code, stdout], [2, ''], args.join(' '));
      assert.match(stderr, /^error: [^\n]*\n$/);
      assert.match(stderr.slice('error: '.length, -1), pattern);
    }
    assert.deepEqual([existsSync(place('none')), existsSync(place('no-keys'))], [false, false]);
  });
});
