// Whether robots get better: trained policies on robots that differ from their simulation, recorded, refitted, measured
// again; beside a refit on recordings of a robot that does not differ. Simulated time, the robot's own loop. By hand:
// node build/test/soak/robotGetsBetter.js [--task NAME] [--run DIRECTORY …] [--seeds 3] [--robots mass,late,…] …
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readPolicyFile } from '../../contract/policyFile.js';
import { spreadOf } from '../../trainer/refit/modelReturn.js';
import type { RefitResult } from '../../trainer/refit/refitResult.js';
import { loadTask, type Task } from '../../trainer/sim/task.js';
import { FARSIGHT } from '../fixtures/command.js';
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
    out: { type: 'string' },
  },
});
const task = await loadTask(values.task);
const folder = values.out ?? mkdtempSync(join(tmpdir(), 'farsight-better-'));
const period = 1 / task.controlRate;
const damping = { joint: values.joint ?? task.action[0].joint, factor: 3 };
type Robot = Pick<Drive, 'faults' | 'damping'>;
const ALL: Record<string, Robot> = {
  mass: { faults: ['mass=1.33'] },
  friction: { faults: [], damping },
  late: { faults: ['gain=0.75', `actuatorDelay=${period}`] },
  all: { faults: ['mass=1.33', 'gain=0.75', `actuatorDelay=${period}`], damping },
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

/** Mean return over whole episodes of the policy on the robot. */
async function returnOn(robot: Robot, policy: string, measured: Task): Promise<number> {
  const { returns } = await driveRobot({
    ...robot,
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
    await driveRobot({ ...robot, task, policy, seed: seed + 50, steps: Number(values.record), record });
    run('collect', '--out', fleet, '--import', record);
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

interface Row {
  before: number;
  after: number;
  control: number;
  result: RefitResult;
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
  /** A rejected policy is not deployed. */
  const deployed = (result: RefitResult) => (result.accepted ? result.policy : old);
  const nothing = await refitOn({ faults: [] }, from, `nothing-${seed}`, seed);
  for (const name of chosen) {
    const robot = ALL[name];
    const before = await returnOn(robot, old, task);
    const result = await refitOn(robot, from, `${name}-${seed}`, seed);
    const after = await returnOn(robot, deployed(result), task);
    const control = await returnOn(robot, deployed(nothing), task);
    rows.get(name)!.push({ before, after, control, result });
    console.error(
      `seed ${seed}, ${name}: ${before.toFixed(1)} → ${after.toFixed(1)} (${result.accepted ? 'accepted' : 'rejected'}), on nothing ${control.toFixed(1)} (${nothing.accepted ? 'accepted' : 'rejected'})`,
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
  '| robot | deployed | refitted | refitted on nothing | accepted | model error, held out | latency found, ms |',
);
console.log('|---|---|---|---|---|---|---|');
for (const [name, all] of rows) {
  const cells = [
    DESCRIBED[name],
    spread(all.map(({ before }) => before)),
    spread(all.map(({ after }) => after)),
    spread(all.map(({ control }) => control)),
    `${all.filter(({ result }) => result.accepted).length} of ${all.length}`,
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
