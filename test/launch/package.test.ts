// The package as people install it: a task of one's own in an empty folder, with its types, and where its run finds it again.
import assert from 'node:assert/strict';
import { type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pendulumPolicy } from '../fixtures/pendulum.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const folder = temporaryDirectory();
const farsight = join(folder, 'node_modules', 'farsight', 'build', 'launch', 'farsight.js');

function run(command: string, args: string[], options: SpawnSyncOptions = {}): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, ...options, encoding: 'utf8' });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

const TASK = `import { defineTask, type Transition } from 'farsight';

const speed = ({ previous, next, dt }: Transition) => (next.position('lift') - previous.position('lift')) / dt;

export default defineTask({
  name: 'lift',
  mjcf: \`<mujoco>
    <worldbody><body><joint name="lift" type="slide" axis="0 0 1"/><geom size="0.1"/></body></worldbody>
    <actuator><motor joint="lift" ctrlrange="-20 20"/></actuator>
  </mujoco>\`,
  frameSkip: 10,
  maxEpisodeSteps: 100,
  observation: [
    { kind: 'jointPosition', joint: 'lift' },
    { kind: 'jointVelocity', joint: 'lift' },
  ],
  action: [{ kind: 'effort', joint: 'lift', limits: [-20, 20] }],
  reset: { position: { distribution: 'normal', scale: 0 }, velocity: { distribution: 'normal', scale: 0 } },
  reward: speed,
  terminated: (observation) => observation[0] < -1,
});
`;

/** Installs packages. */
function link(...names: string[]): void {
  for (const name of names) {
    const place = join(folder, 'node_modules', name);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), place);
  }
}

before(() => {
  // As `npm install` of the packed file, with what it depends on taken from here and not from the network.
  const [{ filename }] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: root }),
  );
  const installed = join(folder, 'node_modules', 'farsight');
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', join(folder, filename), '--strip-components=1', '-C', installed]);
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  link(...Object.keys(dependencies));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
});

test('a task in TypeScript is checked by the types that the package brings', () => {
  const tsc = (name: string) =>
    spawnSync(
      process.execPath,
      [
        join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
        ...['--strict', '--target', 'es2023', '--module', 'nodenext', '--types', '', name],
      ],
      { cwd: folder, encoding: 'utf8' },
    );
  writeFileSync(join(folder, 'lift.ts'), TASK);
  const { status, stdout } = tsc('lift.ts');
  assert.equal(status, 0, stdout);
  writeFileSync(join(folder, 'wrong.ts'), TASK.replace("kind: 'effort'", "kind: 'torque'"));
  assert.match(tsc('wrong.ts').stdout, /^wrong\.ts\(\d+,\d+\): error .*"torque"/);
});

test('what training needs beside it is named in one line, with versions', () => {
  const train = [farsight, 'train', '--task', 'hopper', '--out', 'run'];
  const { status, stderr } = spawnSync(process.execPath, train, { cwd: folder, encoding: 'utf8' });
  assert.match(
    stderr,
    /^error: [^\n]*: npm install @mujoco\/mujoco@[\d.]+( @tensorflow\/tfjs-[a-z-]+@[\d.]+){3}\n$/,
  );
  assert.equal(status, 1);
});

test('a robot’s installation exports; HDF5 wants a package, which is named in one line, with its version', () => {
  const fixtures = join(root, 'test', 'bridge', 'fixtures');
  const policy = join(folder, 'pendulum.onnx');
  pendulumPolicy(policy);
  const convert = (from: string, ...args: string[]) =>
    spawnSync(process.execPath, [farsight, 'convert', from, ...args], { cwd: folder, encoding: 'utf8' });
  const taken = convert(join(fixtures, 'made-parquet-v0'), '--policy', policy, '--out', 'taken');
  assert.equal(taken.status, 0, taken.stderr);
  const given = convert('taken', '--to', 'lerobot', '--out', 'given');
  assert.equal(given.status, 0, given.stderr);
  assert.match(given.stderr, /^note: without rewards: simulation needs MuJoCo: /);
  const hdf5 = convert(join(fixtures, 'made-hdf5-v0'), '--policy', policy, '--out', 'hdf5');
  assert.match(hdf5.stderr, /^error: [^\n]* 'h5wasm', which is not installed: npm install h5wasm@[\d.]+\n$/m);
  assert.equal(hdf5.status, 1);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('hdf5')),
    [],
  );
});

test('doctor says how to install them there, where no checkout is', () => {
  const { checks } = JSON.parse(run(process.execPath, [farsight, 'doctor', '--json']).trim());
  const remedyOf = (name: string) => checks.find((check: { name: string }) => check.name === name).remedy;
  assert.match(remedyOf('MuJoCo'), /^npm install @mujoco\/mujoco@[\d.]+ @tensorflow/);
  assert.match(remedyOf('rclnodejs'), /npm install rclnodejs@[\d.]+ /);
  assert.doesNotMatch(JSON.stringify(checks), /npm ci/);
});

test('ONNX Runtime’s libraries for other systems go, this one’s stays', () => {
  const bin = join(folder, 'pruned', 'node_modules', 'onnxruntime-node', 'bin', 'napi-v6');
  const here = join(process.platform, process.arch);
  for (const place of [here, 'win32/x64', 'linux/s390x']) {
    mkdirSync(join(bin, place), { recursive: true });
    writeFileSync(join(bin, place, 'library'), '');
  }
  const script = join(folder, 'node_modules', 'farsight', 'launch', 'dropOtherPlatforms.mjs');
  run(process.execPath, [script], { cwd: join(folder, 'pruned') });
  const left = readdirSync(bin, { recursive: true }).map(String);
  assert.deepEqual(
    left.filter((path) => path.endsWith('library')),
    [join(here, 'library')],
  );
});

test('the installed command runs it, and its run finds it again from another folder', () => {
  link('@mujoco/mujoco', '@tensorflow');
  const settings = {
    warmupSteps: 40,
    evaluateEvery: 40,
    modelUpdatesMax: 2,
    batchSize: 4,
    updatesPerStep: 1,
    horizonMax: 1,
    ensembleSize: 2,
    elites: 1,
    evaluationEpisodes: 1,
    stopAtReturn: null,
  };
  const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const train = [
    'train',
    '--task',
    './lift.js',
    '--preset',
    'smoke',
    '--steps',
    '80',
    ...set,
    '--out',
    'run',
  ];
  run(process.execPath, [farsight, ...train]);
  const { task } = JSON.parse(readFileSync(join(folder, 'run', 'config.json'), 'utf8'));
  assert.equal(realpathSync(task), realpathSync(join(folder, 'lift.js')));
  const elsewhere = join(folder, 'elsewhere');
  mkdirSync(elsewhere);
  const resume = ['train', '--resume', '--out', join(folder, 'run'), '--json'];
  assert.match(run(process.execPath, [farsight, ...resume], { cwd: elsewhere }), /"environmentSteps":80/);
});

test('the policy of that run is put into a page, with nothing said of its task', () => {
  link('esbuild', 'three');
  run(process.execPath, [farsight, 'play', join('run', 'policy.onnx'), '--out', 'lift.html']);
  assert.match(readFileSync(join(folder, 'lift.html'), 'utf8'), /<title>lift · Farsight<\/title>/);
});

test('a robot of one’s own is begun, and its check passes', () => {
  const made = run(process.execPath, [farsight, 'new', 'my-robot']);
  const [, next] = /next: npx farsight check (\S+)/.exec(made)!;
  assert.match(run(process.execPath, [farsight, 'check', next]), /^nothing to mend$/m);
});
