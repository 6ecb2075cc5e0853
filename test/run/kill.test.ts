// farsight train under kill -9 and Ctrl-C at any moment: its files stay readable, and --resume ends where an
// undisturbed run ends, to the last bit.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readPolicyFile } from '../../contract/policyFile.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { checkpointOf, filesOf, metricsOf } from './runFiles.js';

const directory = temporaryDirectory();
const settings = Object.entries(tinyRun).flatMap(([key, value]) => [
  '--set',
  `${key}=${JSON.stringify(value)}`,
]);
const fresh = ['--task', 'inverted-pendulum', '--preset', 'smoke', '--seed', '3', ...settings];

function train(name: string, args: string[]) {
  const out = join(directory, name);
  const command = ['train', '--out', out, '--threads', '1', '--json', ...args];
  const { child, ended, said } = startCommand(command);
  /** Resolves when the run has come to something. */
  const reached = async (something: () => boolean) => {
    while (!something()) {
      assert.equal(child.exitCode, null, `ended before its time: ${said()}`);
      await sleep(1);
    }
  };
  const lines = () => {
    const path = join(out, 'metrics.jsonl');
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
  };
  /** Bytes of the replay buffer's file, the first that a checkpoint writes. */
  const replay = () => statSync(join(out, 'checkpoint', 'replay.bin'), { throwIfNoEntry: false })?.size ?? 0;
  return { out, child, ended, reached, lines, replay };
}

async function whole(name: string, args: string[]) {
  const { code, stdout, stderr } = await train(name, args).ended;
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout.trim().split('\n').at(-1)!);
  assert.deepEqual([result.interrupted, result.environmentSteps], [false, tinyRun.steps]);
}

test('killed and interrupted runs end as an undisturbed one', { timeout: 120_000 }, async () => {
  const undisturbed = whole('undisturbed', fresh);

  const moments = [
    'before any checkpoint',
    'after a line of metrics',
    'in a checkpoint',
    'at random',
  ] as const;
  const wait = Math.random() * 100;
  for (const moment of moments) {
    const { out, child, ended, reached, lines, replay } = train(
      'killed',
      moment === 'before any checkpoint' ? fresh : ['--resume'],
    );
    const begun = { lines: lines(), replay: replay() };
    if (moment === 'before any checkpoint') await reached(() => existsSync(join(out, 'config.json')));
    else {
      await reached(() => lines() > begun.lines);
      if (moment === 'in a checkpoint') await reached(() => replay() > begun.replay);
      if (moment === 'at random') await sleep(wait);
    }
    child.kill('SIGKILL');
    assert.equal((await ended).signal, 'SIGKILL', `killed ${moment}`);
    if (lines() === 0) continue;
    const seen = metricsOf(out);
    assert.ok(seen.length > 0, `killed ${moment}`);
    assert.equal(readPolicyFile(join(out, 'policy.onnx')).manifest.task, 'inverted-pendulum');
    if (existsSync(join(out, 'checkpoint', 'state.bin'))) assert.ok(checkpointOf(out).header.replay >= 20);
  }
  await whole('killed', ['--resume']);

  const { child, ended, reached, lines } = train('interrupted', fresh);
  await reached(() => lines() >= 4);
  await sleep(wait);
  child.kill('SIGINT');
  const { code, stdout, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^\{[^\n]*"interrupted":true[^\n]*\}\n$/);
  await whole('interrupted', ['--resume']);

  await undisturbed;
  const expected = filesOf(join(directory, 'undisturbed'));
  assert.deepEqual(filesOf(join(directory, 'killed')), expected, `waited ${wait} ms`);
  assert.deepEqual(checkpointOf(join(directory, 'interrupted')), expected.checkpoint);
});
