// farsight refit --watch: candidates as a dataset grows, by one process alone, through stops and refits that fail.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readPolicyFile } from '../../contract/policyFile.js';
import { resolveOptions } from '../../trainer/mpdp/options.js';
import { startRun } from '../../trainer/run/train.js';
import { loadTask } from '../../trainer/sim/task.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { FARSIGHT } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { builtRobot, record } from './realRobot.js';

const folder = temporaryDirectory();
const path = (name: string) => join(folder, name);
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

function watch(data: string, ...more: string[]) {
  const args = ['refit', '--watch', '--from', path('run'), '--data', data, '--out', path('candidates')];
  const own = ['--min-rows', '100', '--keep', '1', '--updates', '1', '--threads', '1', '--json'];
  const child = spawn(process.execPath, [FARSIGHT, ...args, ...own, ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const closed = once(child, 'close');
  let [said, output] = ['', ''];
  child.stdout.on('data', (piece) => {
    output += piece;
  });
  child.stderr.on('data', (piece) => {
    said += piece;
  });
  const until = async (wanted: RegExp) => {
    while (!wanted.test(said)) {
      assert.equal(child.exitCode, null, said);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const stop = async () => {
    child.kill('SIGTERM');
    const [code] = await closed;
    assert.equal(code, 0, said);
    return JSON.parse(output);
  };
  return { until, stop, closed, said: () => said };
}

test('a candidate whenever enough rows came; stopped, given up and refused without a trace', async () => {
  const task = await loadTask('inverted-pendulum');
  // A step size of almost nothing: what the gate says is known beforehand.
  const options = resolveOptions('smoke', [
    ...['steps=300', 'warmupSteps=250', 'evaluateEvery=300', 'evaluationEpisodes=2', 'stopAtReturn=null'],
    ...['learningRate=1e-9', 'horizonMax=1', 'updatesPerStep=1', 'batchSize=16', 'modelBatchSize=64'],
    ...['policyHidden=[8]', 'criticHidden=[8]', 'modelHidden=[8]', 'ensembleSize=2', 'elites=2'],
    'modelUpdatesMax=50',
  ]);
  const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
  await startRun(path('run'), { task: task.name, preset: 'smoke', seed: 2, options }, engine);
  const policy = readPolicyFile(path('run/policy.onnx'));
  const bring = async (name: string) => {
    await record(path(name), policy, builtRobot(task), 150, (_, random) => [random.uniform(-1, 1)]);
    execFileSync(process.execPath, [FARSIGHT, 'collect', '--out', path('fleet'), '--import', path(name)]);
  };
  await bring('first');
  const [name] = readdirSync(path('fleet')).filter((each) => each.startsWith(task.name));
  const data = path(`fleet/${name}`);
  const latest = () => JSON.parse(readFileSync(path('candidates/latest.json'), 'utf8'));

  const one = watch(data);
  await one.until(/candidate '.*0001' is accepted/);
  assert.deepEqual(latest(), { candidate: '0001', accepted: '0001' });
  const two = watch(data);
  assert.equal((await two.closed)[0], 1);
  assert.match(two.said(), /^error: --out '.*candidates' is in use by process \d+: /m);

  await bring('second');
  await one.until(/candidate '.*0002' is accepted/);
  assert.deepEqual(latest(), { candidate: '0002', accepted: '0002' });
  assert.deepEqual(readdirSync(path('candidates')).sort(), ['0002', 'latest.json', 'lock']);
  const { datasets } = JSON.parse(readFileSync(path('candidates/0002/refit.json'), 'utf8'));
  assert.equal(datasets.length, 2);
  assert.match(readFileSync(path('candidates/0002/refit.html'), 'utf8'), /^<!doctype html>/i);

  await bring('third');
  await one.until(/refit 0003$/m);
  assert.deepEqual(await one.stop(), { candidates: 2, accepted: 2, failed: 0 });
  assert.deepEqual(readdirSync(path('candidates')).sort(), ['0002', 'latest.json']);

  const hasty = watch(data, '--limit', '0.0001');
  await hasty.until(/refit 0003 failed: it took more than 0.0001 minutes/);
  await hasty.until(/150 new rows in .*: waiting for 100 at least/);
  assert.deepEqual(await hasty.stop(), { candidates: 0, accepted: 0, failed: 1 });
  assert.deepEqual(latest(), { candidate: '0002', accepted: '0002' });

  const stray = spawn(process.execPath, [
    FARSIGHT,
    'refit',
    '--from',
    'a',
    '--data',
    'b',
    '--out',
    'c',
    '--keep',
    '2',
  ]);
  assert.equal((await once(stray, 'exit'))[0], 2);
  assert.equal(existsSync(path('candidates/0003.partial')), false);
});
