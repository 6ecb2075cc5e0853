// farsight bench ros2: every part of it lives a second, and the numbers are of the messages that were sent.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RosComparison } from '../../launch/commands/benchRos.js';
import { findProgram } from '../../launch/doctor/computer.js';
import { FARSIGHT, startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { noRclnodejs } from './needsRos.js';
import { rosDomain } from './rosDomain.js';

const bench = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  spawnSync(process.execPath, [FARSIGHT, 'bench', 'ros2', ...args], {
    encoding: 'utf8',
    timeout: 100_000,
    env: { ...process.env, ...env },
  });

const skip = noRclnodejs || (!findProgram('cyclictest') && 'cyclictest is not installed');

test('both controllers answer the robot’s messages, beside cyclictest', { skip }, () => {
  const arguments_ = ['--rates', '200', '--conditions', 'garbage', '--duration', '2', '--json'];
  const { stdout, stderr, status } = bench({ ROS_DOMAIN_ID: rosDomain }, ...arguments_);
  assert.equal(status, 0, stderr);
  const { comparisons } = JSON.parse(stdout.trim().split('\n').at(-1)!);
  assert.equal(comparisons.length, 1);
  const [one]: RosComparison[] = comparisons;
  assert.equal(`${one.condition} ${one.rateHz}`, 'garbage 200');
  for (const which of ['ours', 'eventLoop'] as const) {
    const { messages, lost } = one;
    assert.ok(messages[which] > 50, `${messages[which]} messages in 1 s`);
    assert.ok(lost[which] < messages[which] / 2, stdout);
    assert.ok(one[which].p50 > 0 && one[which].max >= one[which].p999, stdout);
  }
  for (const which of ['wake', 'cyclictest', 'ratio', 'wakeRatio'] as const)
    assert.ok(one[which].p50 > 0, stdout);
});

test('a signal ends it at once, and nothing of it stays', { skip }, async () => {
  const folder = temporaryDirectory();
  const environment = { ...process.env, ROS_DOMAIN_ID: rosDomain, TMPDIR: folder };
  const { child, ended, said } = startCommand(['bench', 'ros2', '--duration', '300'], { env: environment });
  while (child.exitCode === null && !said().includes('the policy acts')) await sleep(10);
  assert.equal(readdirSync(folder).length, 1);
  await sleep(500);
  child.kill('SIGINT');
  const { code, stderr } = await ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^SIGINT: stopping after this window; once more ends it at once$/m);
  assert.match(stderr, /error: stopped by SIGINT, without a result\n$/);
  assert.deepEqual(readdirSync(folder), []);
});

test('without ROS 2 it says what to do', () => {
  const { stderr, status } = bench({ AMENT_PREFIX_PATH: '', ROS_DISTRO: '' });
  assert.equal(status, 1);
  assert.match(stderr, /^error: ROS 2 is not sourced: source ROS 2's setup\.bash[^\n]*\n$/);
});
