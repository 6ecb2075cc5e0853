// Ctrl-C in the phases that take longest: it is heard at once, said at once, and leaves files whole; a second one ends it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readPolicyFile } from '../../contract/policyFile.js';
import { loadTask } from '../../trainer/sim/task.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { record } from '../refit/realRobot.js';
import { chromium } from '../report/chromium.js';
import { checkpointOf } from '../run/runFiles.js';

const directory = temporaryDirectory();
const path = (name: string) => join(directory, name);
const hopper = fileURLToPath(new URL('../../../docs/hopper.onnx', import.meta.url));
/** Far less than any of these phases takes, and enough for a busy machine. */
const SOON_MS = 15_000;

function start(args: string[], env: NodeJS.ProcessEnv = {}) {
  const command = startCommand(args, { env: { ...process.env, ...env } });
  const until = async (reached: () => boolean) => {
    while (!reached()) {
      assert.equal(command.child.exitCode, null, `ended before its time: ${command.said()}`);
      await sleep(5);
    }
  };
  return { ...command, until };
}

/** Trains a model for minutes from the 60th step on. */
const endlessFit = { ...tinyRun, modelPatience: 1e6, modelUpdatesMax: 1e6, modelHidden: [200, 200] };
const settings = (options: object) =>
  Object.entries(options).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]);
const train = (out: string, options: object) =>
  start([
    ...['train', '--task', 'inverted-pendulum', '--preset', 'smoke', '--out', path(out), '--threads', '1'],
    ...settings(options),
  ]);

test('a training of the model is stopped at once, with a checkpoint', async () => {
  const first = train('fit', endlessFit);
  const lines = (out: string) =>
    existsSync(path(`${out}/metrics.jsonl`)) &&
    readFileSync(path(`${out}/metrics.jsonl`), 'utf8').split('\n').length > 2;
  await first.until(() => lines('fit'));
  await sleep(1500);
  const began = performance.now();
  first.child.kill('SIGINT');
  const { code, stderr } = await first.ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^SIGINT: stopping after a checkpoint; once more ends it at once$/m);
  assert.ok(performance.now() - began < SOON_MS);
  const { position } = checkpointOf(path('fit')).header;
  assert.deepEqual([position.environmentSteps, position.modelDue], [60, true]);
});

test('what does not stop at the first signal ends at a second one that is not the same wish', async () => {
  const signals = new URL('../../launch/signals.js', import.meta.url);
  const script = `
    const { stoppable } = await import('${signals}');
    await stoppable('an age', () => {
      process.stderr.write('begun');
      return new Promise((resolve) => setTimeout(resolve, 1e6));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'close');
  const [begun] = await once(child.stderr, 'data');
  assert.equal(String(begun), 'begun');
  child.kill('SIGINT');
  const [said] = await once(child.stderr, 'data');
  assert.match(String(said), /^SIGINT: stopping after an age; once more ends it at once$/m);
  // A launcher's own, beside the terminal's.
  child.kill('SIGINT');
  await sleep(1500);
  assert.equal(child.exitCode ?? child.signalCode, null);
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [null, 'SIGTERM']);
});

test('an evaluation: stopped at once, in training and as a command of its own', async () => {
  const training = train('evaluation', { ...tinyRun, evaluationEpisodes: 1e6 });
  await training.until(() => existsSync(path('evaluation/config.json')));
  await sleep(2000);
  training.child.kill('SIGINT');
  const { code, stdout, stderr } = await training.ended;
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'interrupted; go on with --resume\n', 'a policy that is not there yet');
  // There it was after some milliseconds, unless the machine was busy.
  assert.ok(checkpointOf(path('evaluation')).header.position.environmentSteps <= 20);

  await train('short', { ...tinyRun, steps: 40, warmupSteps: 30 }).ended;
  const evaluation = start(['eval', path('short/policy.onnx'), '--episodes', '1000000']);
  await evaluation.until(() => evaluation.said().includes('evaluate:'));
  evaluation.child.kill('SIGINT');
  const stopped = await evaluation.ended;
  assert.equal(stopped.code, 1, stopped.stderr);
  assert.match(stopped.stderr, /^SIGINT: stopping after this step; once more ends it at once$/m);
  assert.match(stopped.stderr, /^error: stopped by SIGINT, without a result$/m);
});

test('a refit that looks for the latency: stopped at once, and nothing of it stays', async () => {
  const task = await loadTask('inverted-pendulum');
  const policy = readPolicyFile(path('short/policy.onnx'));
  const { path: data } = await record(path('data'), policy, task, 15_000, (_, random) => [
    random.uniform(-1, 1),
  ]);
  const refit = start(['refit', '--from', path('short'), '--data', data, '--out', path('refitted')]);
  await refit.until(() => refit.said().includes('recorded runs'));
  refit.child.kill('SIGINT');
  const { code, stderr } = await refit.ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^SIGINT: stopping after this step; nothing is written; once more ends it at once$/m);
  assert.match(stderr, /^error: stopped by SIGINT, without a result$/m);
  assert.doesNotMatch(stderr, /latency from command/);
  assert.deepEqual([existsSync(path('refitted')), existsSync(path('refitted.partial'))], [false, false]);
});

const skip = chromium ? false : 'chromium is not installed';
test('a clip: stopped at once, and neither the browser nor a file of it stays', { skip }, async () => {
  const temporary = path('temporary');
  mkdirSync(temporary);
  const recording = ['play', hopper, '--record', path('clip.webm'), '--seconds', '600'];
  const { child, ended, until } = start(recording, { TMPDIR: temporary });
  await until(() => readdirSync(temporary).some((name) => name.startsWith('farsight-chromium')));
  child.kill('SIGINT');
  const { code, stderr } = await ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^SIGINT: stopping after this picture; once more ends it at once$/m);
  assert.match(stderr, /^error: stopped by SIGINT, without a result$/m);
  assert.deepEqual(readdirSync(temporary), []);
  assert.ok(!existsSync(path('clip.webm')));
});

for (const [benchmark, phase] of [
  [['control', '--duration', '300'], /^/],
  [['planner', '--plans', '1000', '--threads', '1'], /bench planner:/],
  [['trainer', '--seconds', '1', '--presets', 'paper', '--threads', '1'], /bench trainer:100%/],
] as const) {
  test(`bench ${benchmark[0]}: stopped at once`, async (t) => {
    const bench = start(['bench', ...benchmark]);
    while (bench.child.exitCode === null && !phase.test(bench.said())) await sleep(5);
    await Promise.race([sleep(3000), bench.ended]);
    if (/cyclictest/.test(bench.said())) return t.skip(bench.said());
    bench.child.kill('SIGINT');
    const began = performance.now();
    const { code, stderr } = await bench.ended;
    assert.ok(performance.now() - began < SOON_MS);
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /^SIGINT: stopping after this \w+; once more ends it at once\nerror: stopped by SIGINT, without a result$/m,
    );
  });
}
