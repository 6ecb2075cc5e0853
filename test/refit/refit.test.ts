// Refit: a small run brought onto the recordings of a robot that differs from its simulation.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type PolicyFile, readPolicyFile } from '../../contract/policyFile.js';
import { Policy } from '../../controller/policy.js';
import { Mpdp } from '../../trainer/mpdp/mpdp.js';
import { resolveOptions } from '../../trainer/mpdp/options.js';
import type { Random } from '../../trainer/random.js';
import { readRealTransitions } from '../../trainer/refit/realTransitions.js';
import { type RefitRequest, refit } from '../../trainer/refit/refit.js';
import { readMetrics } from '../../trainer/report/metrics.js';
import { loadCheckpoint } from '../../trainer/run/checkpoint.js';
import { readConfig } from '../../trainer/run/runConfig.js';
import { resumeRun, startRun } from '../../trainer/run/train.js';
import { loadTask, type Task, taskInterface } from '../../trainer/sim/task.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { policyFixture, temporaryDirectory } from '../fixtures/policy.js';
import { driveRobot } from './driveRobot.js';
import { builtRobot, record } from './realRobot.js';

const folder = temporaryDirectory();
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
const path = (name: string) => join(folder, name);
const wiggle = (_: Float32Array, random: Random) => [random.uniform(-1, 1)];
const UPDATES = 20;
const STEPS = 300;

let task: Task;
let parent: PolicyFile;
const refused = (changes: Partial<RefitRequest>, message: RegExp) =>
  assert.rejects(
    refit({ from: path('run'), data: path('data'), out: path('never'), updates: 1, ...changes }, engine),
    (error: Error) => {
      assert.equal(error.name, 'FarsightError');
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    },
  );

before(async () => {
  task = await loadTask('inverted-pendulum');
  // A step size of almost nothing: the policy stays, so that what the gate says is known beforehand.
  const settings = [
    ...['steps=300', 'warmupSteps=250', 'evaluateEvery=300', 'evaluationEpisodes=2', 'stopAtReturn=null'],
    ...['learningRate=1e-9', 'horizonMax=2', 'updatesPerStep=1', 'batchSize=16', 'modelBatchSize=64'],
    ...['policyHidden=[16]', 'criticHidden=[16]', 'modelHidden=[32,32]', 'ensembleSize=3', 'elites=2'],
    'modelUpdatesMax=300',
  ];
  const options = resolveOptions('smoke', settings);
  await startRun(path('run'), { task: 'inverted-pendulum', preset: 'smoke', seed: 2, options }, engine);
  parent = readPolicyFile(path('run/policy.onnx'));
  await record(path('data'), parent, builtRobot(task), 400, wiggle);
});

test('the model comes to fit the robot; the policy carries its lineage; the old run is untouched', async () => {
  const untouched = contents(path('run'));
  const request = { from: path('run'), data: path('data'), out: path('refitted'), updates: UPDATES };
  const result = await refit(request, engine);

  const { modelError, transitions, termErrors } = result;
  assert.ok(modelError.after < 0.5 * modelError.before, `${modelError.before} → ${modelError.after}`);
  assert.deepEqual(
    termErrors.map(({ term }) => term),
    ['slider jointPosition', 'hinge jointPosition', 'slider jointVelocity', 'hinge jointVelocity'],
  );
  const joined = transitions.training + transitions.heldOut;
  assert.equal(joined + result.skipped.reset, 399);
  assert.ok(result.skipped.reset > 0);
  assert.equal(transitions.training, Math.ceil(0.8 * joined));

  assert.equal(result.latency?.applied, false);
  assert.equal(readConfig(path('refitted')).options.commandDelay, 0);
  assert.equal(result.accepted, true);
  assert.equal(result.updates, UPDATES);
  assert.ok(Math.abs(result.return.after - result.return.before) <= 0.05 * result.return.before);
  const { provenance, safety, derivedLimits } = readPolicyFile(
    path('refitted/policy.onnx'),
    task.name,
  ).manifest;
  assert.deepEqual(derivedLimits, parent.manifest.derivedLimits);
  for (const [j, limits] of safety.joints.entries()) {
    const before = parent.manifest.safety.joints[j];
    for (const field of ['jumpMargin', 'jumpAllowance', 'stuckTimeout'] as const) {
      assert.ok(limits[field]! >= before[field]!, `${limits.joint} ${field}`);
    }
  }
  const [recording] = readdirSync(path('data'));
  assert.deepEqual(provenance.datasets, [sha256(join(path('data'), recording))]);
  assert.equal(provenance.parent, sha256(path('run/policy.onnx')));
  assert.equal(provenance.environmentSteps, STEPS + transitions.training);
  assert.equal(provenance.return, result.return.after);
  assert.deepEqual(contents(path('run')), untouched);

  assert.deepEqual(JSON.parse(readFileSync(path('refitted/refit.json'), 'utf8')), result);
  const lines = readMetrics(path('refitted/metrics.jsonl'));
  assert.deepEqual(
    lines.slice(0, -1).map((line) => line.environmentSteps),
    readMetrics(path('run/metrics.jsonl')).map((line) => line.environmentSteps),
  );
  assert.equal(lines.at(-1)!.environmentSteps, STEPS + transitions.training);
  assert.equal(lines.at(-1)!.evaluation!.mean, result.return.after);
  // One data set: simulation goes where the robot goes, then come the robot's own transitions.
  const { learner: before } = await learnerOf('run');
  const { learner: after } = await learnerOf('refitted');
  assert.equal(after.replay.size, STEPS + transitions.training);
  const real = await readRealTransitions(path('data'), task);
  for (let i = 0; i < after.replay.size; i++) {
    const row = after.replay.row(i);
    const next = row.subarray(6, 10);
    assert.equal(row[10] === 0, task.terminated(next), `row ${i} ends where the task does`);
    if (i < STEPS) assert.deepEqual(row.subarray(0, 6), before.replay.row(i).subarray(0, 6));
    else assert.deepEqual([...next], [...real.transitions[i - STEPS].next]);
  }
  const everything = Int32Array.from({ length: STEPS }, (_, i) => i);
  const uncorrected = await after.dynamics.check(before.replay, everything);
  const corrected = await after.dynamics.check(after.replay, everything);
  assert.ok(
    corrected.error < 0.5 * uncorrected.error,
    `${corrected.error}, uncorrected ${uncorrected.error}`,
  );
  const { returnInModel } = result;
  assert.ok(returnInModel.before.mean > 0 && returnInModel.before.sd > 0);
  assert.ok(
    Math.abs(returnInModel.after.mean - returnInModel.before.mean) < 0.01 * returnInModel.before.mean,
  );
  assert.match(readFileSync(path('refitted/report.html'), 'utf8'), /^<!doctype html>/i);

  await refused({ from: path('refitted') }, /was refitted on it already; give --data only new recordings/);
  await refused({ out: path('refitted') }, /holds a run already/);
});

test('a robot that is a step late is found out, and planned with from then on', async () => {
  const robot = { task, policy: parent, faults: ['actuatorDelay=0.04', 'gain=0.75'], seed: 3 };
  const driven = await driveRobot({ ...robot, steps: 400, noise: 0.5, record: path('late') });
  assert.equal(driven.recording!.lost, 0);
  const result = await refit(
    { from: path('run'), data: path('late'), out: path('awaited'), updates: 2 },
    engine,
  );
  const { latency, modelError } = result;
  assert.ok(latency?.applied && Math.abs(latency.seconds - 0.04) < 0.006, `${latency?.seconds} s`);
  assert.ok(Math.abs(latency.sensorAge) < 1e-6);
  assert.ok(modelError.after < 0.5 * modelError.before, `${modelError.before} → ${modelError.after}`);
  assert.equal(readConfig(path('awaited')).options.commandDelay, latency.seconds / 0.04);
  const page = readFileSync(path('awaited/refit.html'), 'utf8');
  assert.match(page, new RegExp(`Commands take effect ${(1000 * latency.seconds).toFixed(1)} ms late`));
  // A second refit knows the latency that the first has planned with.
  await driveRobot({ ...robot, seed: 4, steps: 400, noise: 0.5, record: path('late again') });
  const request = { from: path('awaited'), data: path('late again'), out: path('awaited again'), updates: 1 };
  const again = await refit(request, engine);
  assert.ok(again.modelError.before < 0.5 * modelError.before, `${again.modelError.before}`);
  const steps = STEPS + result.transitions.training + again.transitions.training + 2;
  const resumed = await resumeRun(path('awaited again'), engine, {}, { settings: [`steps=${steps}`] });
  assert.equal(resumed.environmentSteps, steps);
});

test('a refit starts from the policy that it names as parent, not from the last one', async () => {
  const { config } = await learnerOf('run');
  const options = { ...config.options, learningRate: 0.02, evaluateEvery: 10, steps: 290 };
  await startRun(path('wandered'), { ...config, options }, engine);
  const { learner } = await learnerOf('wandered');
  const parent = readPolicyFile(path('wandered/policy.onnx'));
  assert.equal(learner.position.bestAt, parent.manifest.provenance.environmentSteps);
  assert.notEqual(learner.position.bestAt, 290);
  assert.notDeepEqual(learner.best!.arrays[0], learner.agent.policies[0].flat.data);

  changeOptions(path('wandered'), { learningRate: 1e-9 });
  const request = { from: path('wandered'), data: path('data'), out: path('returned'), updates: 1 };
  const remarks: string[] = [];
  await refit(request, engine, { onRemark: (line) => remarks.push(line) });
  assert.match(
    remarks.join('\n'),
    /^return of the run's policy in the model fitted to the robot \d+\.\d ± \d+\.\d$/m,
  );
  const [file] = readdirSync(path('returned')).filter((name) => name.endsWith('.onnx'));
  const refitted = new Policy('refitted', readFileSync(path(`returned/${file}`)), parent.manifest);
  for (const { observation, action } of parent.manifest.selfCheck) {
    refitted.observation.set(observation);
    refitted.run();
    assert.ok(Math.abs(refitted.action[0] - action[0]) < 1e-3, `${refitted.action[0]} is not ${action[0]}`);
  }
  refitted.release();

  cpSync(path('run/policy.onnx'), path('wandered/policy.onnx'));
  await refused(
    { from: path('wandered') },
    /policy\.onnx is of step 300, the best policy of its checkpoint of step/,
  );
});

test('a refitted run is refitted again, and its lineage grows', async () => {
  const newer = await record(path('newer'), parent, builtRobot(task), 200, wiggle);
  const request = { from: path('refitted'), data: newer.path, out: path('again'), updates: 1 };
  const { datasets } = await refit(request, engine);
  const first = readPolicyFile(path('refitted/policy.onnx'));
  const { manifest } = readPolicyFile(path('again/policy.onnx'));
  assert.deepEqual(manifest.provenance.datasets, datasets);
  assert.deepEqual(datasets, [...first.manifest.provenance.datasets, sha256(newer.files[0])]);
  assert.equal(manifest.provenance.parent, first.sha256);
});

test('a policy that lost its return is rejected; its run can still be trained on, and keeps its lineage', async () => {
  cpSync(path('run'), path('reckless'), { recursive: true });
  changeOptions(path('reckless'), { learningRate: 1 });
  const request = { from: path('reckless'), data: path('data'), out: path('rejected'), updates: UPDATES };
  const result = await refit(request, engine);
  assert.ok(result.return.after < 0.95 * result.return.before);
  assert.equal(result.accepted, false);
  assert.equal(result.policy, path('rejected/policy.rejected.onnx'));
  assert.equal(readPolicyFile(result.policy).manifest.provenance.return, result.return.after);
  assert.equal(existsSync(path('rejected/policy.onnx')), false);
  changeOptions(path('rejected'), { learningRate: 1e-9, evaluateEvery: 2 });
  // What to do next is said, and works.
  const steps = STEPS + result.transitions.training + 2;
  const next = `farsight train --resume --out '${path('rejected')}' --steps ${steps}$`;
  await refused(
    { from: path('rejected') },
    new RegExp(`no policy\\.onnx: its refit was rejected; .*: ${next}`),
  );
  const resumed = await resumeRun(path('rejected'), engine, {}, { settings: [`steps=${steps}`] });
  assert.equal(resumed.environmentSteps, steps);
  const { provenance } = readPolicyFile(path('rejected/policy.onnx')).manifest;
  assert.deepEqual(provenance.datasets, result.datasets);
  assert.equal(provenance.parent, parent.sha256);
});

test('what cannot be used is refused in one line, before anything is written', async () => {
  mkdirSync(path('empty'));
  await refused({ data: path('empty') }, /has no \.mcap file/);
  await refused({ data: path('absent') }, /no such file/);
  await refused({ from: path('empty') }, /is '.*empty' the directory of a run\?/);
  const few = await record(path('few'), parent, task, 20, wiggle);
  await refused({ data: few.path }, /gives 1\d transitions, refit wants 50 at least \(skipped: gap 0/);
  const other = policyFixture(path('other.onnx'), { ...taskInterface(task), task: 'acrobot' });
  await record(path('acrobot'), other, task, 100, wiggle);
  await refused({ data: path('acrobot') }, /another task: its task is acrobot, not inverted-pendulum/);
  await refused({ out: folder }, /is not an empty directory/);
  assert.equal(existsSync(path('never')), false);
});

test('two refits to one place: the second is refused at once, and the first is whole', async () => {
  const request = { from: path('run'), data: path('data'), out: path('both'), updates: 1 };
  const first = refit(request, engine);
  await assert.rejects(refit(request, engine), {
    name: 'FarsightError',
    message: new RegExp(`^--out '.*both' is in use by process ${process.pid}: wait for it`),
  });
  await first;
  assert.deepEqual(readdirSync(path('both')).sort(), readdirSync(path('refitted')).sort());
  assert.equal(existsSync(path('both.partial')), false);
});

test('a refit that is stopped, in the training of its model or later, leaves nothing', async () => {
  const request = { from: path('run'), data: path('data'), out: path('stopped'), updates: 1000 };
  for (const when of [/held out/, /in the model fitted/, undefined]) {
    const stop = new AbortController();
    const end = () => stop.abort(new Error('enough'));
    const hooks = {
      stop: stop.signal,
      onRemark: (line: string) => when?.test(line) && end(),
      onUpdate: (done: number) => done === 3 && end(),
    };
    await assert.rejects(refit(request, engine, hooks), /^Error: enough$/);
    assert.deepEqual([existsSync(path('stopped')), existsSync(path('stopped.partial'))], [false, false]);
  }
});

test('a killed refit leaves no directory, or a whole one', async () => {
  const untouched = contents(path('run'));
  const out = path('killed');
  const started = async (updates: number) => {
    const child = spawn(
      process.execPath,
      [
        fileURLToPath(new URL('./refitProcess.js', import.meta.url)),
        path('run'),
        path('data'),
        out,
        `${updates}`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const exited = once(child, 'exit');
    await once(child.stdout, 'data');
    return { child, exited };
  };
  const early = await started(1e6);
  early.child.kill('SIGKILL');
  await early.exited;
  assert.equal(existsSync(out), false);

  const late = await started(1);
  while (late.child.exitCode === null && !existsSync(`${out}.partial`) && !existsSync(out))
    await new Promise((resolve) => setImmediate(resolve));
  late.child.kill('SIGKILL');
  await late.exited;
  assert.deepEqual(contents(path('run')), untouched);
  if (!existsSync(out)) {
    await refit({ from: path('run'), data: path('data'), out, updates: 1 }, engine);
  }
  assert.equal(existsSync(`${out}.partial`), false);
  await resumeRun(out, engine);
});

/** A run as its checkpoint has it. */
async function learnerOf(run: string) {
  const config = readConfig(path(run));
  const learner = await Mpdp.create(task, config.options, config.seed, engine);
  loadCheckpoint(learner, path(`${run}/checkpoint`));
  learner.dispose();
  return { learner, config };
}

function changeOptions(run: string, changes: Record<string, unknown>): void {
  const file = join(run, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ ...config, options: { ...config.options, ...changes } }));
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** Every file of a directory with its SHA-256. */
function contents(directory: string): [string, string][] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry): [string, string] => {
      const file = join(entry.parentPath, entry.name);
      return [file, sha256(file)];
    });
}
