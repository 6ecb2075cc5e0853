// Training runs in one process: the same seed gives the same files; what a crash leaves is taken up or refused.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { makeActor } from '../../trainer/mpdp/actor.js';
import { Mpdp } from '../../trainer/mpdp/mpdp.js';
import { type Options, resolveOptions } from '../../trainer/mpdp/options.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { type RunConfig, readConfig } from '../../trainer/run/runConfig.js';
import { type RunHooks, resumeRun, startRun } from '../../trainer/run/train.js';
import { loadTask } from '../../trainer/sim/task.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { FARSIGHT } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { beyondOptions, tinyRun } from '../mpdp/tiny.js';
import { checkpointOf, filesOf, metricsOf, stopAt } from './runFiles.js';

const directory = temporaryDirectory();
const path = (name: string) => join(directory, name);
const engine = () => new CompiledEngine({ threads: 1, device: 'cpu' });
const config: RunConfig = {
  task: 'inverted-pendulum',
  preset: 'smoke',
  seed: 1,
  options: { ...tinyRun, steps: 140 },
};
const start = (name: string, changes: Partial<RunConfig> = {}, hooks?: RunHooks) =>
  startRun(path(name), { ...config, ...changes }, engine(), hooks);

async function refused(work: Promise<unknown>, line: RegExp) {
  await assert.rejects(work, (error: Error) => {
    assert.ok(error instanceof FarsightError, error.stack);
    assert.match(error.message, line);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

before(() => start('whole'));

test('the same seed gives the same run, bit for bit; another seed another', async () => {
  await start('twin');
  const whole = filesOf(path('whole'));
  assert.equal(whole.metrics.length, 7);
  assert.ok(whole.metrics.at(-1)!.updates > 0);
  assert.deepEqual(filesOf(path('twin')), whole);
  await start('other', { seed: 2 });
  const other = filesOf(path('other'));
  assert.notDeepEqual(other.metrics[0].evaluation, whole.metrics[0].evaluation);
  assert.notDeepEqual(other.policy.graph, whole.policy.graph);
  assert.notDeepEqual(other.checkpoint.replay, whole.checkpoint.replay);
});

test('a run that was stopped between checkpoints ends as if it had not been', async () => {
  const stopped = await start(
    'stopped',
    {},
    stopAt((steps) => steps === 93),
  );
  assert.deepEqual([stopped.interrupted, stopped.environmentSteps], [true, 93]);
  cpSync(path('stopped'), path('torn'), { recursive: true });
  const resumed = await resumeRun(path('stopped'), engine());
  assert.deepEqual([resumed.interrupted, resumed.environmentSteps], [false, 140]);
  assert.deepEqual(checkpointOf(path('stopped')), checkpointOf(path('whole')));

  // The kill came in the middle of writing a line of metrics and a row of the replay buffer.
  const metrics = path('torn/metrics.jsonl');
  truncateSync(metrics, readFileSync(metrics).length - 40);
  writeFileSync(path('torn/checkpoint/replay.bin'), Buffer.alloc(46, 1), { flag: 'a' });
  await resumeRun(path('torn'), engine());
  assert.deepEqual(checkpointOf(path('torn')), checkpointOf(path('whole')));
  const steps_ = metricsOf(path('torn')).map(({ environmentSteps }) => environmentSteps);
  assert.deepEqual(steps_, [20, 40, 60, 100, 120, 140]);
});

test('beyond the paper: the same seed gives the same run, stopped anywhere or not', async () => {
  const beyond = { options: { ...config.options, ...beyondOptions } };
  await start('beyond', beyond);
  await start(
    'beyond stopped',
    beyond,
    stopAt((steps) => steps === 93),
  );
  // In the midst of the round of updates that began with step 100: after the model's training and those of the critic.
  let parts = 0;
  await resumeRun(
    path('beyond stopped'),
    engine(),
    stopAt((steps) => steps === 100 && ++parts === 1 + 1 + 5 + 8),
  );
  const { position } = checkpointOf(path('beyond stopped')).header;
  assert.deepEqual([position.environmentSteps, position.updatesDue], [100, 12]);
  const resumed = await resumeRun(path('beyond stopped'), engine());
  assert.equal(resumed.environmentSteps, 140);
  const whole = filesOf(path('beyond'));
  assert.equal(whole.metrics.at(-1)!.updates, 30 + 20 * 4);
  assert.deepEqual(checkpointOf(path('beyond stopped')), whole.checkpoint);
});

test('a run that has ended ends again at once', async () => {
  const whole = filesOf(path('whole'));
  const again = await resumeRun(path('whole'), engine());
  assert.equal(again.return, whole.policy.manifest.provenance.return);
  assert.deepEqual(filesOf(path('whole')), whole);
});

test('a run goes on further than it was to go, and ends as one that was to from the beginning', async () => {
  const longer = { ...config.options, steps: 180 };
  await start('longer', { options: longer });
  cpSync(path('whole'), path('extended'), { recursive: true });
  const remarks: string[] = [];
  const hooks = { onRemark: (line: string) => remarks.push(line) };
  await resumeRun(path('extended'), engine(), hooks);
  assert.match(remarks.join(), /^the run in '.*extended' has made its 140 steps: a larger --steps goes on$/);
  await resumeRun(path('extended'), engine(), hooks, { seed: 1, settings: ['steps=180', 'batchSize=8'] });
  assert.deepEqual(filesOf(path('extended')), filesOf(path('longer')));
  assert.deepEqual(readConfig(path('extended')), { ...config, options: longer });
  assert.equal(remarks.length, 1);

  await start('solved', { options: { ...config.options, stopAtReturn: 0 } });
  const early = await resumeRun(path('solved'), engine(), hooks, { settings: ['steps=160'] });
  assert.equal(early.environmentSteps, 20);
  assert.match(remarks[1], /reached its stopAtReturn 0 with \d+\.\d: --set stopAtReturn=null goes on$/);
  await resumeRun(path('solved'), engine(), hooks, { settings: ['stopAtReturn=null', 'steps=140'] });
  assert.deepEqual(filesOf(path('solved')), filesOf(path('whole')));
});

test('what a run cannot change when it goes on is refused by name, and nothing changes', async () => {
  const whole = filesOf(path('whole'));
  for (const [request, line] of [
    [{ seed: 2 }, /^--seed 2: the run in '.*whole' has 1, and --resume changes only steps, stopAtReturn, /],
    [{ task: 'hopper' }, /^--task 'hopper': the run in '.*whole' has "inverted-pendulum", and --resume/],
    [{ preset: 'fast' }, /^--preset 'fast': the run in '.*whole' has "smoke"/],
    [{ settings: ['learningRate=0.1'] }, /^--set learningRate: the run in '.*whole' has 0\.001/],
    [{ settings: ['policyHidden=[4,4]'] }, /^--set policyHidden: the run in '.*whole' has \[4\]/],
    [{ settings: ['steps=100'] }, /^--steps 100: the run in '.*whole' has made 140 already/],
  ] as const) {
    await refused(resumeRun(path('whole'), engine(), {}, request), line);
  }
  const flags = ['train', '--resume', '--out', path('whole'), '--seed', '2'];
  const { status, stderr } = spawnSync(process.execPath, [FARSIGHT, ...flags], { encoding: 'utf8' });
  assert.equal(status, 2);
  assert.match(stderr, /^error: --seed 2: the run in/);
  assert.deepEqual(filesOf(path('whole')), whole);
  assert.deepEqual(readConfig(path('whole')), config);
});

test('a damaged checkpoint is refused in one line, wherever it is cut', async () => {
  cpSync(path('whole'), path('damaged'), { recursive: true });
  const state = path('damaged/checkpoint/state.bin');
  const bytes = readFileSync(state);
  for (const share of [0, 0.0001, 0.001, 0.01, 0.3, 0.99]) {
    writeFileSync(state, bytes.subarray(0, Math.floor(share * bytes.length)));
    await refused(resumeRun(path('damaged'), engine()), /^checkpoint '.*state\.bin': /);
  }
  const flipped = (file: string, share: number) => {
    const whole = readFileSync(file);
    const damaged = Buffer.from(whole);
    damaged[Math.floor(share * whole.length)] ^= 4;
    writeFileSync(file, damaged);
    return () => writeFileSync(file, whole);
  };
  writeFileSync(state, bytes);
  for (const share of [0.0045, 0.2, 0.6, 0.9999]) {
    const mend = flipped(state, share);
    await refused(resumeRun(path('damaged'), engine()), /state\.bin': is damaged \(its checksum does not/);
    mend();
  }
  const mend = flipped(path('damaged/checkpoint/replay.bin'), 0.5);
  await refused(resumeRun(path('damaged'), engine()), /state\.bin': its replay\.bin is damaged \(its check/);
  mend();
  const older = bytes.toString('latin1').replace('"version":2', '"version":1');
  writeFileSync(state, older, 'latin1');
  await refused(resumeRun(path('damaged'), engine()), /is of an older version of Farsight \(format 1, this/);
  writeFileSync(state, bytes);
  truncateSync(path('damaged/checkpoint/replay.bin'), 1001);
  await refused(resumeRun(path('damaged'), engine()), /replay\.bin is missing or cut off/);
  rmSync(path('damaged/checkpoint/replay.bin'));
  await refused(resumeRun(path('damaged'), engine()), /replay\.bin is missing or cut off/);
});

test('other networks than the checkpoint has, and a configuration that is none, are refused', async () => {
  cpSync(path('whole'), path('changed'), { recursive: true });
  const file = path('changed/config.json');
  writeFileSync(file, JSON.stringify({ ...config, options: { ...config.options, policyHidden: [5] } }));
  await refused(
    resumeRun(path('changed'), engine()),
    /state\.bin': belongs to networks of other sizes; resume/,
  );
  writeFileSync(file, '{"task": ');
  await refused(resumeRun(path('changed'), engine()), /config\.json' cannot be read/);
  writeFileSync(file, '{"task": "inverted-pendulum"}');
  await refused(resumeRun(path('changed'), engine()), /config\.json': .*preset/);
  await refused(resumeRun(path('nowhere'), engine()), /is '.*nowhere' the directory of a run\?/);
});

test('a run that cannot begin leaves nothing; a second one in the same place is refused', async () => {
  await refused(start('fresh', { task: 'hoper' }), /unknown task 'hoper'/);
  for (const seed of [2 ** 53, 2 ** 32, -1, 0.5]) await refused(start('fresh', { seed }), /^--seed: /);
  await refused(
    start('fresh', { options: { ...config.options, warmupSteps: 200 } }),
    /^--set warmupSteps: must be/,
  );
  assert.equal(existsSync(path('fresh')), false);
  const whole = filesOf(path('whole'));
  await assert.rejects(start('whole'), UsageError);
  assert.deepEqual(filesOf(path('whole')), whole);
});

test('the replay buffer holds what the robot did, not what the policy wanted', async () => {
  const task = await loadTask('inverted-pendulum');
  const rate = 20;
  const joints = [{ joint: 'slider', commandRate: rate }];
  const limited = { ...task, safety: { ...task.safety, joints } };
  const run = await Mpdp.create(limited, config.options, 1, engine());
  for (let i = 0; i < 59; i++) await run.step();
  run.dispose();
  let [bound, previous] = [0, 0];
  for (let i = 0; i < run.replay.size; i++) {
    const row = run.replay.row(i);
    if (i > 0 && row[0] !== run.replay.row(i - 1)[6]) previous = 0;
    const change = Math.abs(3 * row[4] - previous) * task.controlRate;
    assert.ok(change < rate * 1.0001, `the command changes by ${change} a second`);
    if (change > rate * 0.9999) bound++;
    previous = 3 * row[4];
  }
  assert.ok(bound > 20, `the limit binds ${bound} times`);
});

test('a threshold from the replay buffer is a quantile of u over all of it, not of the newest transitions', async () => {
  const options = (
    thresholdFrom: Options['thresholdFrom'],
    uncertaintyThreshold: 'calibrated' | null = 'calibrated',
  ) => ({
    ...config.options,
    thresholdFrom,
    uncertaintyThreshold,
    thresholdQuantile: 0.9,
    thresholdMargin: 2,
    warmupSteps: 600,
  });
  const task = await loadTask('inverted-pendulum');
  const trained = async (options: Options) => {
    const run = await Mpdp.create(task, options, 1, engine());
    for (let i = 0; i < 599; i++) await run.step();
    await run.trainModel();
    run.dispose();
    return run;
  };
  const run = await trained(options('replay'));
  const below = async (from: number, threshold: number) => {
    const indices = Int32Array.from({ length: run.replay.size - from }, (_, i) => from + i);
    const { uncertainty } = await run.dynamics.check(run.replay, indices);
    return uncertainty.filter((u) => u < threshold - 2).length / indices.length;
  };
  const share = await below(0, run.position.threshold as number);
  assert.ok(Math.abs(share - 0.9) < 0.03, `${share} of the replay buffer below`);
  const newest = await trained(options('newest'));
  const shareOfNewest = await below(run.replay.size - 250, newest.position.threshold as number);
  assert.ok(Math.abs(shareOfNewest - 0.9) < 0.01, `${shareOfNewest} of the newest below`);
  assert.equal((await trained(options('replay', null))).position.threshold, null);
});

test('a threshold from the first model is a quantile of u where plans start, and is held while the model is trained on', async () => {
  const task = await loadTask('inverted-pendulum');
  const chosen = { thresholdFrom: 'first', thresholdQuantile: 0.8, startStates: 'rollouts' } as const;
  const run = await Mpdp.create(task, { ...config.options, ...chosen, warmupSteps: 200 }, 1, engine());
  for (let i = 0; i < 150; i++) await run.step();
  await run.trainModel();
  const threshold = run.position.threshold!;
  const actor = await makeActor(engine(), run.agent, task);
  const n = task.observation.length;
  const states = new Float32Array(2000 * n);
  await run.startStates!.sample(states, run.replay, run.random, threshold);
  const starts = new Replay(n, task.action.length, 2000);
  for (let i = 0; i < states.length; i += n) {
    const state = states.subarray(i, i + n);
    const action = await actor.sample(state, run.random);
    starts.add({ observation: state, action, reward: 0, next: state, terminal: false });
  }
  const { uncertainty } = await run.dynamics.check(
    starts,
    Int32Array.from({ length: 2000 }, (_, i) => i),
  );
  const share = uncertainty.filter((u) => u <= threshold).length / 2000;
  assert.ok(Math.abs(share - 0.8) < 0.04, `${share} of the plans' first steps are below it`);
  await run.trainModel();
  assert.equal(run.position.threshold, threshold);
  run.dispose();
});

test('options that contradict each other are refused by name', () => {
  const refuses = (setting: string, line: RegExp) =>
    assert.throws(() => resolveOptions('paper', [setting]), { message: line });
  refuses('criticSubset=3', /^--set criticSubset: must not exceed critics$/);
  refuses('realShare=0.5', /^--set realShare: needs criticTarget 'expansion': all are real otherwise$/);
  refuses('boundedCritic=true', /^--set boundedCritic: needs criticTarget 'expansion'$/);
  refuses('updateEvery=100', /^--set updateEvery: must be a multiple of modelEvery, or divide it$/);
  refuses(
    'entropyCoefficient=most',
    /^--set entropyCoefficient: must be a number of at least 0, or 'learned'$/,
  );
  refuses(
    'uncertaintyThreshold=high',
    /^--set uncertaintyThreshold: must be a number, 'calibrated' or null$/,
  );
  refuses('warmupSteps=1', /^--set warmupSteps: must be at least 20: fewer transitions train no model$/);
  refuses('steps=100', /^--set warmupSteps: must be less than steps: nothing would be learned$/);
  refuses('steps=1e300', /^--set steps: /);
  refuses('__proto__=1', /^--set '__proto__': no such option; the options are /);
  refuses('toString=1', /^--set 'toString': no such option; the options are /);
  for (const preset of ['constructor', '__proto__', 'best']) {
    assert.throws(() => resolveOptions(preset, []), {
      message: `--preset '${preset}': choose one of paper, fast, wide, smoke`,
    });
  }
});
