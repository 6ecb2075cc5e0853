// train --config and --print-config: a printed file gives the same run, flags win over it, what is wrong has its line.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { readConfigFile } from '../../launch/configFile.js';
import { PRESETS } from '../../trainer/mpdp/options.js';
import { readConfig } from '../../trainer/run/runConfig.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { filesOf } from '../run/runFiles.js';

const directory = temporaryDirectory();
const path = (name: string) => join(directory, name);

async function train(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await startCommand(['train', ...args], { cwd: directory }).ended;
  assert.equal(code, 0, stderr);
  return stdout;
}

/** The path of a file that says so. */
function written(name: string, yaml: string): string {
  writeFileSync(path(name), yaml);
  return path(name);
}

test('the file that is printed, and config.json, give the same run, bit for bit; flags win over them', async () => {
  const settings = Object.entries({ ...tinyRun, steps: 100 }).flatMap(([key, value]) => [
    '--set',
    `${key}=${JSON.stringify(value)}`,
  ]);
  const flags = [
    '--task',
    'inverted-pendulum',
    '--preset',
    'paper',
    '--seed',
    '3',
    '--threads',
    '1',
    ...settings,
  ];
  const printed = await train(...flags, '--print-config');
  assert.match(printed, /\n {2}batchSize: 8 # states per update\n/);
  const file = written('printed.yaml', printed);
  await train(...flags, '--out', 'by-flags');
  await train('--config', file, '--out', 'by-file');
  assert.deepEqual(filesOf(path('by-file')), filesOf(path('by-flags')));
  assert.deepEqual(readConfig(path('by-file')), readConfig(path('by-flags')));

  assert.equal(await train('--config', file, '--print-config'), printed);
  assert.equal(await train('--config', 'by-flags/config.json', '--threads', '1', '--print-config'), printed);
  const changed = parse(
    await train(
      '--config',
      file,
      '--seed',
      '4',
      '--threads',
      '2',
      '--set',
      'elites=1',
      '--steps',
      '200',
      '--print-config',
    ),
  );
  const expected = parse(printed);
  Object.assign(expected, { seed: 4, threads: 2 });
  Object.assign(expected.options, { elites: 1, steps: 200 });
  assert.deepEqual(changed, expected);
});

test("what a file leaves out is the preset's, and a task's path is relative to the file", () => {
  mkdirSync(path('robots'));
  const yaml =
    'task: ./robot.mjs\noptions:\n  learningRate: 5e-4\n  stopAtReturn: null\n  policyHidden: [8, 8]\n';
  const { flags, change } = readConfigFile(written('robots/run.yaml', yaml));
  assert.deepEqual(flags, { task: path('robots/robot.mjs') });
  const own = { learningRate: 5e-4, stopAtReturn: null, policyHidden: [8, 8] };
  assert.deepEqual(change(PRESETS.smoke, []), { ...PRESETS.smoke, ...own });
  assert.deepEqual(change(PRESETS.smoke, ['learningRate=1']), { ...PRESETS.smoke, ...own, learningRate: 1 });
  assert.deepEqual(readConfigFile(written('name.yaml', 'task: hopper')).flags, { task: 'hopper' });
});

test('what is wrong is told with file, line and key', () => {
  for (const [yaml, wanted] of [
    ['seed: 1\ntsak: hopper', / line 2: tsak: no such key; there are task, preset, seed, engine, /],
    ['options:\n\n  batchsize: 3', / line 3: options\.batchsize: no such key; there are ensembleSize, /],
    ['preset: slow', / line 1: preset: must be one of paper, fast, wide, smoke$/],
    ['seed: 1\noptions:\n  modelHidden: [4, x]', / line 3: options\.modelHidden\.1: must be a number$/],
    ['options:\n  entropyCoefficient: most', / line 2: .*: must be a number of at least 0, or 'learned'$/],
    ['seed: 1\nseed: 2', / line 2: is not YAML: Map keys must be unique/],
    ['seed: 1\n\ntask: [a', / line 3: is not YAML: /],
    ['', / line 1: the file: must be an object$/],
  ] as const) {
    const message = new RegExp(`^--config '.*wrong\\.yaml'${wanted.source}`);
    assert.throws(() => readConfigFile(written('wrong.yaml', yaml)), { name: 'UsageError', message });
  }
  assert.throws(() => readConfigFile(path('none.yaml')), /--config '.*none\.yaml' cannot be read: ENOENT/);

  // Keys that contradict each other are the file's where it is refused alone too, otherwise the flags'.
  const { change } = readConfigFile(written('elites.yaml', 'seed: 1\noptions:\n  elites: 8\n'));
  assert.throws(
    () => change(PRESETS.smoke, ['steps=900']),
    /elites\.yaml' line 3: options\.elites: must not exceed/,
  );
  assert.equal(change(PRESETS.smoke, ['ensembleSize=9']).elites, 8);
  const three = readConfigFile(written('three.yaml', 'options:\n  ensembleSize: 6\n'));
  assert.throws(
    () => three.change(PRESETS.smoke, ['elites=7']),
    /^UsageError: --set elites: must not exceed/,
  );
});
