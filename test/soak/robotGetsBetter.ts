// Whether robots get better: trained policies on robots that differ from their simulation, recorded, uploaded, refitted,
// delivered with shadow and canary, measured again; beside a refit on recordings of a robot that does not differ. Recorded and
// measured in simulated time, by the robot's own loop; uploaded by bridge and collector; delivered in real time, through
// Mosquitto, to two processes of the robot. By hand:
// node build/test/soak/robotGetsBetter.js [--task NAME] [--run DIRECTORY …] [--seeds 3] [--robots mass,late,…] …
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { RECORD_FILE } from '../../bridge/rollout.js';
import { watchRobots } from '../../bridge/watcher.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { spreadOf } from '../../trainer/refit/modelReturn.js';
import type { RefitResult } from '../../trainer/refit/refitResult.js';
import { Physics } from '../../trainer/sim/physics.js';
import { loadTask, type Task } from '../../trainer/sim/task.js';
import { CollectorProcess, killAll, pause, run as start } from '../bridge/fleet.js';
import { Mosquitto } from '../bridge/mosquitto.js';
import { FARSIGHT } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';
import { type Drive, driveRobot } from '../refit/driveRobot.js';

const { values } = parseArgs({
  options: {
    task: { type: 'string', default: 'inverted-pendulum' },
    /** Runs to refit, one a seed; without any they are trained. */
    run: { type: 'string', multiple: true, default: [] },
    seeds: { type: 'string', default: '3' },
    robots: { type: 'string', default: '' },
    preset: { type: 'string', default: 'smoke' },
    /** Of the training, as `farsight train --set` takes them. */
    set: { type: 'string', multiple: true, default: [] },
    /** The joint whose damping is tripled. */
    joint: { type: 'string' },
    /** Steps of the policy: recorded, and of each measurement. */
    record: { type: 'string', default: '3000' },
    measure: { type: 'string', default: '10000' },
    /** Of every velocity once a second, while it is measured: standard deviation, rad/s or m/s. */
    kick: { type: 'string', default: '0' },
    updates: { type: 'string', default: '1000' },
    threads: { type: 'string', default: '1' },
    /** Seconds of the trials, as `farsight control` takes them, and for which a stage is watched after. */
    shadow: { type: 'string', default: '10' },
    health: { type: 'string', default: '30' },
    soak: { type: 'string', default: '10' },
    out: { type: 'string' },
  },
});
const task = await loadTask(values.task);
const folder = values.out ?? mkdtempSync(join(tmpdir(), 'farsight-better-'));
const period = 1 / task.controlRate;
const damping = { joint: values.joint ?? task.action[0].joint, factor: 3 };
interface Robot extends Pick<Drive, 'faults'> {
  /** A joint is. */
  damped?: boolean;
}
const ALL: Record<string, Robot> = {
  mass: { faults: ['mass=1.33'] },
  friction: { faults: [], damped: true },
  late: { faults: ['gain=0.75', `actuatorDelay=${period}`] },
  all: { faults: ['mass=1.33', 'gain=0.75', `actuatorDelay=${period}`], damped: true },
};
const chosen = values.robots === '' ? Object.keys(ALL) : values.robots.split(',');
const DESCRIBED: Record<string, string> = {
  mass: 'a third heavier',
  friction: `damping of ${damping.joint} tripled`,
  late: `actuators 25 % weaker, ${1000 * period} ms late`,
  all: 'all at once',
};

/** Runs a command of ours; a refit that is rejected exits with 1. */
function run(...args: string[]): string {
  const { status, stdout } = spawnSync(process.execPath, [FARSIGHT, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0 && !stdout.includes('"accepted":false'))
    throw new Error(`farsight ${args.join(' ')} failed`);
  return stdout;
}

const driven = ({ faults, damped }: Robot) => ({ faults, ...(damped && { damping }) });

/** The task's file for `farsight control`: with the joint's damping tripled, which no fault of the simulated robot is. */
async function dampedTask(): Promise<string> {
  const physics = await Physics.create(task);
  const { mujoco, model } = physics.parts;
  const id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT.value, damping.joint);
  const value = damping.factor * model.dof_damping[model.jnt_dofadr[id]];
  physics.dispose();
  const tag = new RegExp(`<joint\\b[^>]*name="${damping.joint}"[^>]*?(?=/?>)`);
  const mjcf = task.mjcf.xml.replace(
    tag,
    (text) => `${text.replace(/\s+damping="[^"]*"/, '')} damping="${value}"`,
  );
  if (mjcf === task.mjcf.xml) throw new Error(`no joint '${damping.joint}' in the MJCF`);
  const built = new URL(`../../trainer/sim/tasks/${values.task}.js`, import.meta.url).href;
  const base = existsSync(values.task) ? pathToFileURL(resolve(values.task)).href : built;
  const path = join(folder, 'damped.mjs');
  writeFileSync(
    path,
    `import base from ${JSON.stringify(base)};\nexport default { ...base, mjcf: ${JSON.stringify(mjcf)} };\n`,
  );
  return path;
}

/** Mean return over whole episodes of the policy on the robot. */
async function returnOn(robot: Robot, policy: string, measured: Task): Promise<number> {
  const { returns } = await driveRobot({
    ...driven(robot),
    ...{ task: measured, policy: readPolicyFile(policy), seed: 1000 },
    steps: Number(values.measure),
    kick: Number(values.kick),
  });
  return returns.reduce((sum, value) => sum + value, 0) / returns.length;
}

/** Records the deployed policy, takes the recording into a dataset, refits: the result. */
async function refitOn(robot: Robot, from: string, name: string, seed: number): Promise<RefitResult> {
  const record = join(folder, `${name}-recordings`);
  const fleet = join(folder, `${name}-fleet`);
  const out = join(folder, `${name}-refit`);
  if (!existsSync(join(out, 'refit.json'))) {
    const policy = readPolicyFile(join(from, 'policy.onnx'));
    const recorded = { task, policy, seed: seed + 50, steps: Number(values.record), record };
    await driveRobot({ ...driven(robot), ...recorded });
    await upload(record, fleet);
    const [dataset] = readdirSync(fleet).filter((each) => each.startsWith(`${task.name}-`));
    const { updates, threads } = values;
    run(
      'refit',
      '--from',
      from,
      '--data',
      join(fleet, dataset),
      '--out',
      out,
      '--updates',
      updates,
      '--threads',
      threads,
      '--json',
    );
  }
  return JSON.parse(readFileSync(join(out, 'refit.json'), 'utf8'));
}

/** Brings recordings to a collector as a robot does. */
async function upload(recordings: string, fleet: string): Promise<void> {
  const collector = await CollectorProcess.start(fleet);
  const bridge = ['bridge', '--recordings', recordings, '--collect', collector.url, '--once', '--json'];
  const { code, quarantined } = await start(...bridge).result();
  await collector.stop();
  if (code !== 0 || quarantined > 0) throw new Error(`${recordings}: not all of it arrived`);
}

const ROBOTS = ['canary', 'other'];
interface Delivery {
  done: boolean;
  reason?: string;
}

/** Rolls a policy out to two such robots that run the old one: a canary, then all. */
async function deliver(robot: Robot, old: string, policy: string, name: string): Promise<Delivery> {
  const place = (part: string) => join(folder, `${name}-delivery-${part}`);
  if (existsSync(place('result.json'))) return JSON.parse(readFileSync(place('result.json'), 'utf8'));
  const [broker, port] = [new Mosquitto(await freePort()), await freePort()];
  await broker.start();
  const repository = place('policies');
  run('deliver', 'init', '--repository', repository, '--keys', place('keys'));
  start('deliver', 'serve', '--repository', repository, '--listen', `${port}`);
  const damped = robot.damped ? ['--task', await dampedTask()] : [];
  for (const each of ROBOTS) {
    start(
      ...['control', '--policy', old, '--name', each, '--mqtt', broker.url, ...damped],
      ...robot.faults.flatMap((fault) => ['--fault', fault]),
      ...['--deliver', `http://127.0.0.1:${port}`, '--slots', place(each)],
      ...['--trust', join(repository, 'metadata', '1.root.json')],
      ...['--shadow', values.shadow, '--health', values.health],
    );
  }
  const watcher = await watchRobots({ broker: { url: broker.url } });
  while (!ROBOTS.every((each) => watcher.robots.get(each)?.raw)) await pause(100);
  await watcher.stop();
  writeFileSync(place('groups.yaml'), 'canary: [canary]\n');
  const rollout = await start(
    ...['deliver', 'rollout', policy, '--keys', place('keys'), '--repository', repository],
    ...['--mqtt', broker.url, '--groups', place('groups.yaml'), '--stages', 'canary,100%'],
    ...['--soak', values.soak, '--json'],
  ).result();
  killAll();
  await broker.dispose();
  if (rollout.done === undefined) throw new Error(`${name}: the roll-out failed`);
  // What the robot did, and not only that it did.
  const record = readFileSync(join(repository, RECORD_FILE), 'utf8').trim().split('\n');
  const failed = record.map((line) => JSON.parse(line)).find(({ what }) => what === 'failed');
  const result: Delivery = {
    done: rollout.done,
    ...(!rollout.done && { reason: failed?.reason ?? rollout.reason }),
  };
  writeFileSync(place('result.json'), JSON.stringify(result));
  return result;
}

interface Row {
  before: number;
  after: number;
  control: number;
  result: RefitResult;
  delivery: Delivery;
}
const rows = new Map<string, Row[]>(chosen.map((name) => [name, []]));
const seeds = values.run.length > 0 ? values.run.length : Number(values.seeds);
for (let seed = 1; seed <= seeds; seed++) {
  const from = values.run[seed - 1] ?? join(folder, `run-${seed}`);
  if (!existsSync(from)) {
    const settings = values.set.flatMap((setting) => ['--set', setting]);
    const { preset, threads } = values;
    run(
      'train',
      '--task',
      values.task,
      '--preset',
      preset,
      '--seed',
      `${seed}`,
      '--out',
      from,
      '--threads',
      threads,
      ...settings,
    );
  }
  const old = join(from, 'policy.onnx');
  const policyOf = (result: RefitResult) => (result.accepted ? result.policy : old);
  const nothing = await refitOn({ faults: [] }, from, `nothing-${seed}`, seed);
  for (const name of chosen) {
    const robot = ALL[name];
    const before = await returnOn(robot, old, task);
    const result = await refitOn(robot, from, `${name}-${seed}`, seed);
    const delivery: Delivery = result.accepted
      ? await deliver(robot, old, result.policy, `${name}-${seed}`)
      : { done: false, reason: 'rejected by the gate' };
    // What was not delivered, or taken back, does not act.
    const after = await returnOn(robot, delivery.done ? result.policy : old, task);
    const control = await returnOn(robot, policyOf(nothing), task);
    rows.get(name)!.push({ before, after, control, result, delivery });
    console.error(
      `seed ${seed}, ${name}: ${before.toFixed(1)} → ${after.toFixed(1)} (${delivery.done ? 'delivered' : delivery.reason}), on nothing ${control.toFixed(1)} (${nothing.accepted ? 'accepted' : 'rejected'})`,
    );
  }
}

const spread = (numbers: number[], digits = 0) => {
  const { mean, sd } = spreadOf(numbers);
  return numbers.length > 1 ? `${mean.toFixed(digits)} ± ${sd.toFixed(digits)}` : mean.toFixed(digits);
};
const revision = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const kicked =
  Number(values.kick) > 0 ? `, a kick of ${values.kick} (sd) to every velocity once a second` : '';
console.log(
  `${values.task}, ${seeds} seeds, ${values.record} steps recorded, ${values.updates} updates${kicked}, commit ${revision}: mean return ± standard deviation over seeds`,
);
console.log('');
console.log(
  '| robot | deployed | refitted | refitted on nothing | accepted | delivered | model error, held out | latency found, ms |',
);
console.log('|---|---|---|---|---|---|---|---|');
for (const [name, all] of rows) {
  const cells = [
    DESCRIBED[name],
    spread(all.map(({ before }) => before)),
    spread(all.map(({ after }) => after)),
    spread(all.map(({ control }) => control)),
    `${all.filter(({ result }) => result.accepted).length} of ${all.length}`,
    `${all.filter(({ delivery }) => delivery.done).length} of ${all.length}`,
    `${spread(
      all.map(({ result }) => result.modelError.before),
      3,
    )} → ${spread(
      all.map(({ result }) => result.modelError.after),
      3,
    )}`,
    spread(
      all.map(({ result }) => 1000 * (result.latency?.seconds ?? Number.NaN)),
      1,
    ),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
console.error(`runs, recordings and refits: ${folder}`);
