// The operator's keys on a real terminal: the stop needs nothing of the main thread, and only rearming ends it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeSyntheticPolicy } from '../../launch/bench/syntheticPolicy.js';
import { findProgram } from '../../launch/doctor/computer.js';
import { loadTask, taskInterface } from '../../trainer/sim/task.js';
import { FARSIGHT } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const script = findProgram('script');

test('space stops while the main thread is busy; r and a go on, q ends', {
  skip: script ? false : 'script is not installed',
}, async (t) => {
  const directory = temporaryDirectory();
  const policy = join(directory, 'policy.onnx');
  const report = join(directory, 'report.json');
  const state = join(directory, 'state');
  const latched = join(state, 'latched-fault.json');
  const { safety, ...task } = taskInterface(await loadTask('inverted-pendulum'));
  writeSyntheticPolicy(policy, { ...task, safety: { ...safety, joints: [], sensorTimeout: 10 } }, [8]);
  const blockable = new URL('../ros/blockable.js', import.meta.url).href;
  const command = [
    ...[process.execPath, '--import', blockable, FARSIGHT, 'control', '--policy', policy],
    ...['--report', report, '--state', state],
  ].join(' ');
  const terminal = spawn(script!, ['-qfec', `exec ${command}`, '/dev/null']);
  const ended = once(terminal, 'close');
  t.after(() => terminal.kill('SIGKILL'));
  let said = '';
  terminal.stdout.on('data', (piece) => {
    said += piece;
  });
  const until = async (what: string, holds: () => boolean) => {
    for (const end = performance.now() + 20_000; !holds(); await sleep(5)) {
      if (performance.now() > end) assert.fail(`never ${what}; it says ${said}`);
    }
  };
  await until('the keys', () => said.includes('space emergency stop'));
  await until('the policy', () => /policy {2}500 Hz/.test(said));
  const [pid] = readFileSync(`/proc/${terminal.pid}/task/${terminal.pid}/children`, 'utf8').split(' ');
  process.kill(Number(pid), 'SIGUSR2');
  terminal.stdin.write(' ');
  await until('latched', () => existsSync(latched));
  assert.doesNotMatch(said, /emergency stop: key/, 'the main thread is still busy');
  await until('said', () => said.includes('emergency stop: key'));
  terminal.stdin.write('a');
  await until('refused', () => /damping: emergency stop; look at the robot, then rearm/.test(said));
  terminal.stdin.write('r');
  await until('rearmed', () => !existsSync(latched));
  terminal.stdin.write('a');
  await sleep(300);
  terminal.stdin.write('q');
  await ended;
  const { mode, fault } = JSON.parse(readFileSync(report, 'utf8'));
  assert.deepEqual([mode, fault], ['policy', 'none'], said);
});

test("in a terminal's background the controller goes on, without its keys", {
  skip: script ? false : 'script is not installed',
}, async (t) => {
  const policy = join(temporaryDirectory(), 'policy.onnx');
  writeSyntheticPolicy(policy, taskInterface(await loadTask('inverted-pendulum')), [8]);
  const command = `${process.execPath} ${FARSIGHT} control --policy ${policy} --duration 0.5`;
  const terminal = spawn(script!, [
    '-qfec',
    `bash -c 'set -m; ${command} & wait $!; echo it ended'`,
    '/dev/null',
  ]);
  const ended = once(terminal, 'close');
  t.after(() => terminal.kill('SIGKILL'));
  let said = '';
  terminal.stdout.on('data', (piece) => {
    said += piece;
  });
  await ended;
  assert.match(said, /[1-9]\d* ticks at 500 Hz[\s\S]*it ended/);
  assert.doesNotMatch(said, /keys:/);
});
