// The whole path with the real commands as processes: train, eval, inspect, control, record, monitor, and rough ends.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type LoopReport, PHASES } from '../../contract/loop.js';
import { type Manifest, manifestSchema } from '../../contract/manifest.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { readTransitions } from '../../contract/recordedRows.js';
import { Mosquitto, needsMosquitto } from '../bridge/mosquitto.js';
import { startCommand } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';
import { policyFixture, temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const run = join(directory, 'run');
const policy = join(run, 'policy.onnx');
const started: ChildProcess[] = [];
const home = join(directory, 'home');
mkdirSync(home);
after(() => {
  for (const child of started) child.kill('SIGKILL');
});

/** A farsight command that runs; `said` resolves when stderr holds the text, `ended` with all that it left. */
function start(...args: string[]) {
  const { child, ended, said: heard } = startCommand(args, { env: { ...process.env, HOME: home } });
  started.push(child);
  const said = async (text: string) => {
    while (!heard().includes(text)) {
      assert.equal(child.exitCode ?? child.signalCode, null, `ended before it said '${text}': ${heard()}`);
      await Promise.race([once(child.stderr, 'data'), ended]);
    }
  };
  return { child, ended, said };
}

/** Runs a command to its good end; what it printed with --json, the only line of its stdout. */
async function result(...args: string[]) {
  const { code, stdout, stderr } = await start(...args, '--json').ended;
  assert.equal(code, 0, stderr);
  return onlyLine(stdout);
}

function onlyLine(stdout: string) {
  assert.match(stdout, /^\{[^\n]*\}\n$/);
  return JSON.parse(stdout);
}

const control = (...args: string[]) => ['control', '--policy', policy, '--robot', 'sim', ...args];
const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const manifest = (): Manifest => readPolicyFile(policy).manifest;

/** A report that is whole, of a loop at 500 Hz. */
function assertWhole(report: LoopReport): void {
  assert.equal(report.rateHz, 500);
  assert.deepEqual(Object.keys(report.phases), [...PHASES]);
  for (const phase of PHASES) {
    const { p50, p99, max } = report.phases[phase];
    assert.ok(p50 > 0 && p50 <= p99 && p99 <= max, phase);
  }
}

describe('the whole path', { concurrency: 2, timeout: 120_000 }, () => {
  before(async () => {
    const tiny = 'warmupSteps=40 modelUpdatesMax=5 batchSize=16 updatesPerStep=1 ensembleSize=2 elites=1';
    const nets = 'horizonMax=2 modelHidden=[8] policyHidden=[8] criticHidden=[8]';
    const evaluation = 'evaluateEvery=30 evaluationEpisodes=1';
    const settings = `${tiny} ${nets} ${evaluation}`.split(' ').flatMap((setting) => ['--set', setting]);
    const task = ['--task', 'inverted-pendulum', '--preset', 'smoke', '--steps', '60', '--threads', '1'];
    const trained = await result('train', ...task, ...settings, '--out', run);
    assert.equal(trained.policy, policy);
    assert.equal(trained.environmentSteps, 60);
    assert.ok(existsSync(join(run, 'report.html')));
  });

  it('a trained file is evaluated and inspected', async () => {
    const evaluated = await result('eval', policy, '--episodes', '2', '--seed', '7');
    assert.equal(evaluated.task, 'inverted-pendulum');
    assert.equal(evaluated.returns.length, 2);
    assert.equal(evaluated.mean, (evaluated.returns[0] + evaluated.returns[1]) / 2);
    const shown = manifestSchema.parse(await result('inspect', policy));
    assert.deepEqual(shown, manifest());
    assert.ok(shown.provenance.environmentSteps <= 60 && shown.selfCheck.length === 16);
  });

  it('the broker is killed and comes back while the loop runs on', needsMosquitto, async () => {
    const broker = new Mosquitto(await freePort());
    await broker.start();
    try {
      const run = start(...control('--mqtt', broker.url, '--name', 'leg-2', '--json'));
      const seen = () => result('monitor', '--mqtt', broker.url, '--once', '--robot', 'leg-2');
      await run.said('telemetry of');
      const earlier = await seen();
      await broker.kill();
      await run.said('no connection to the broker');
      await broker.start();
      const later = await seen();
      run.child.kill('SIGINT');
      const { stdout } = await run.ended;
      assert.equal(later.boot, earlier.boot);
      assert.ok(later.ticks > earlier.ticks, `${earlier.ticks}, then ${later.ticks}`);
      assertWhole(onlyLine(stdout));
    } finally {
      await broker.dispose();
    }
  });

  it('control runs it, records, reports, and a monitor sees it', needsMosquitto, async () => {
    const broker = new Mosquitto(await freePort());
    await broker.start();
    try {
      const [record, report] = [join(directory, 'recording'), join(directory, 'reports', 'report.json')];
      const run = start(
        ...control('--rate', '500', '--duration', '3', '--record', record, '--report', report),
        ...['--mqtt', broker.url, '--name', 'arm-7', '--json'],
      );
      await run.said('telemetry of');
      const seen = await result('monitor', '--mqtt', broker.url, '--once', '--robot', 'arm-7');
      const { code, stdout, stderr } = await run.ended;
      const printed = onlyLine(stdout);
      assertWhole(printed);
      // Trained for 60 steps, it may fall, which is a fault.
      assert.equal(code, printed.fault === 'none' ? 0 : 1, stderr);
      const periods = printed.ticks + printed.missed;
      assert.ok(periods >= 1450 && periods <= 30 * 500, `${periods} periods in 3 s and the start`);
      assert.equal(printed.recording, record);
      assert.deepEqual(readJson(report), printed);

      const { sha256 } = readPolicyFile(policy);
      assert.equal(seen.robot, 'arm-7');
      assert.equal(seen.rateHz, 500);
      assert.deepEqual(seen.policy, { sha256, task: 'inverted-pendulum' });
      assert.ok(seen.ticks > 0 && seen.ticks <= printed.ticks);

      const { transitions, files } = await readTransitions(record, manifest());
      assert.ok(transitions.count > 0);
      assert.equal(transitions.observation.length, 4 * transitions.count);
      assert.ok(transitions.action.every((action) => Math.abs(action) <= 3));
      assert.ok(files.every((file) => file.complete && file.policy === sha256));
      assert.ok(readFileSync(files[0].path).includes('"robot":"arm-7"'));
    } finally {
      await broker.dispose();
    }
  });

  it('a recording is readable after kill -9 of control', async () => {
    const record = join(directory, 'killed');
    const { child, ended, said } = start(...control('--record', record));
    await said('running');
    const rows = async () => (await readTransitions(record, manifest())).files[0].rows;
    while ((await rows()) === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    child.kill('SIGKILL');
    assert.equal((await ended).signal, 'SIGKILL');
    assert.ok((await rows()) > 0);
    assert.ok(readdirSync(record).every((name) => name.endsWith('.mcap')));
  });

  it('Ctrl-C, and a terminal that goes away, end control with a whole report', async () => {
    const interrupt = async () => {
      const report = join(directory, 'interrupted.json');
      const { child, ended, said } = start(
        ...control('--mqtt', 'embedded', '--rate', '500', '--report', report),
        '--json',
      );
      await said('running');
      await new Promise((resolve) => setTimeout(resolve, 500));
      child.kill('SIGINT');
      // ros2 launch sends one of its own beside the terminal's.
      setTimeout(() => child.kill('SIGINT'), 20);
      const { code, stdout, stderr } = await ended;
      assert.equal(code, 0, stderr);
      const printed = onlyLine(stdout);
      assertWhole(printed);
      assert.deepEqual(readJson(report), printed);
    };
    const hangUp = async () => {
      const [record, report] = [join(directory, 'hung-up'), join(directory, 'hung-up.json')];
      const { child, ended, said } = start(...control('--record', record, '--report', report));
      await said('running');
      await new Promise((resolve) => setTimeout(resolve, 500));
      child.stdout.destroy();
      child.stderr.destroy();
      child.kill('SIGHUP');
      assert.equal((await ended).code, 0);
      assertWhole(readJson(report));
      assert.ok((await readTransitions(record, manifest())).files[0].complete);
    };
    await Promise.all([interrupt(), hangUp()]);
  });

  it('nothing that runs leaves files in the home directory, ONNX Runtime included', async () => {
    await start(...control('--duration', '0.1')).ended;
    assert.deepEqual(readdirSync(home), []);
  });

  it('what does not do is refused in one line with its exit code, and leaves nothing', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    const otherTask = join(directory, 'other.onnx');
    policyFixture(otherTask);
    const refusals: [string[], number, RegExp][] = [
      [control('--record', file), 1, /^error: --record '.*file' cannot be written: .*\n$/],
      [control('--report', join(file, 'report.json')), 1, /^error: --report '.*report.json' cannot .*\n$/],
      [control('--report', directory), 1, /^error: --report '.*' cannot be written: .*directory\n$/],
      [control('--mqtt', 'nonsense'), 2, /^error: --mqtt 'nonsense': wants a broker's URL, .*\n$/],
      [control('--rate', '333'), 2, /^error: --rate 333: .* 325 and 350\n$/],
      [control('--name', 'a b'), 2, /^error: option '--name <robot>' argument 'a b' .*\n\(.*--help.*\)\n$/],
      [
        ['control', '--policy', otherTask, '--task', 'inverted-pendulum'],
        1,
        /^error: policy '.*other.onnx': is for task 'three-joints', not 'inverted-pendulum'\n$/,
      ],
      [['monitor', '--mqtt', 'mqtt://localhost', '--robot', 'a/b'], 2, /^error: --robot 'a\/b': .*\n$/],
      [
        ['bench', 'ros2', '--rates', 'x'],
        2,
        /^error: option '--rates .*\n\(farsight bench ros2 --help .*\)\n$/,
      ],
      [['contrl'], 2, /^error: unknown command 'contrl'\n\(Did you mean control\?\)\n/],
    ];
    // Under /proc no directory can be made, and Node's recursive mkdir would try for ever.
    if (existsSync('/proc/self')) {
      refusals.push([
        control('--record', '/proc/x/y'),
        1,
        /^error: --record '\/proc\/x\/y' cannot be written: .*\n$/,
      ]);
    }
    await Promise.all(
      refusals.map(async ([args, expected, line]) => {
        const { code, stdout, stderr } = await start(...args, '--json').ended;
        assert.match(stderr, line);
        assert.deepEqual([code, stdout], [expected, '']);
      }),
    );
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });
});
