// What ships for ROS 2's launch system: parameter files, the robot map, layouts, the systemd unit, the launch files
// themselves; and, with ROS 2 sourced, that `ros2 run` and `ros2 launch` start them from a prefix.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { FAULTS, PHASES, type Phase } from '../../contract/loop.js';
import { checkMap } from '../../controller/ros/link/checkMap.js';
import { defaultRobotMap, readRobotMap } from '../../controller/ros/link/robotMap.js';
import { MESSAGE_PACKAGES } from '../../controller/ros/management/node.js';
import {
  definitionOf,
  initialParameters,
  PARAMETER_NAMES,
  type ParameterName,
  valueProblem,
} from '../../controller/ros/management/parameters.js';
import { rclnodejsProblem } from '../../controller/ros/management/rclnodejs.js';
import { PERCENTILES } from '../../controller/ros/management/topics.js';
import { writeSyntheticPolicy } from '../../launch/bench/syntheticPolicy.js';
import { findProgram, readText } from '../../launch/doctor/computer.js';
import { loadTask, taskInterface } from '../../trainer/sim/task.js';
import { rosDomain } from './rosDomain.js';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const shipped = join(root, 'launch', 'ros2');
const text = (...path: string[]) => readFileSync(join(shipped, ...path), 'utf8');
const directory = mkdtempSync(join(tmpdir(), 'farsight-launch-'));
after(() => rmSync(directory, { recursive: true, force: true }));

test('the parameter file names every parameter, with the value that holds without it', () => {
  const { diagnostics, ...rest } = parse(text('config', 'controller.yaml'))['/**'].ros__parameters;
  const values: Record<string, unknown> = { ...rest };
  for (const [name, value] of Object.entries(diagnostics)) values[`diagnostics.${name}`] = value;
  const initial = initialParameters();
  for (const [name, value] of Object.entries(values)) {
    assert.equal(valueProblem(name, value), undefined);
    assert.equal(value, initial[name as ParameterName], name);
  }
  // As a double is written: a node refuses a whole number for one.
  for (const [, name, value] of text('config', 'controller.yaml').matchAll(/^ +(\w+): (-?[\d.]+)/gm)) {
    const { integer } = definitionOf(name) ?? definitionOf(`diagnostics.${name}`)!;
    assert.equal(value.includes('.'), !integer, name);
  }
  const unset = [...text('config', 'controller.yaml').matchAll(/^ {4}# (\w+): /gm)].map(([, name]) => name);
  assert.deepEqual([...Object.keys(values), ...unset].sort(), [...PARAMETER_NAMES].sort());
});

test('the package depends on every package whose messages are spoken', () => {
  const mapped = text('config', 'robot_map.yaml').match(/\w+_msgs(?=\/)/g)!;
  const manifest = text('package.xml');
  for (const name of new Set([...MESSAGE_PACKAGES, ...mapped]))
    assert.ok(manifest.includes(`<depend>${name}</depend>`), name);
});

test('the robot map is the default one, spelled out', async () => {
  const map = readRobotMap(join(shipped, 'config', 'robot_map.yaml'));
  const task = taskInterface(await loadTask('inverted-pendulum'));
  assert.deepEqual(map, defaultRobotMap(task));
  assert.deepEqual(checkMap(task, map), []);
});

test('a launch file takes the same arguments in Python and in XML', () => {
  const python = text('launch', 'simulated.launch.py');
  const xml = text('launch', 'simulated.launch.xml');
  const inPython = [...python.matchAll(/DeclareLaunchArgument\(\s*'(\w+)'/gm)].map(([, name]) => name);
  const inXml = [...xml.matchAll(/<arg name="(\w+)"/g)].map(([, name]) => name);
  assert.ok(inXml.length > 2);
  assert.deepEqual(inPython, inXml);
});

test('the layouts show percentiles where the latency topic has them', () => {
  const at = (phase: string, percentile: string) =>
    PHASES.indexOf(phase as Phase) * PERCENTILES.length +
    PERCENTILES.findIndex(([one]) => one === percentile);
  const foxglove = JSON.parse(text('layouts', 'foxglove.json'));
  const panels = JSON.stringify(foxglove.layout).match(/\w+!\w+/g)!;
  assert.deepEqual(panels.sort(), Object.keys(foxglove.configById).sort());
  for (const phase of ['wake', 'total']) {
    const shown = foxglove.configById[`Plot!${phase}`].paths.map(
      ({ value, label }: Record<string, string>) => [value, label],
    );
    assert.equal(shown.length, 3);
    for (const [value, percentile] of shown)
      assert.equal(value, `/farsight_controller/latency.data[${at(phase, percentile)}]`);
  }
  const curve = /latency\/data\[(\d+)\]"[^>]*>\s*<transform name="Scale\/Offset" alias="(\w+)"/g;
  const curves = [...text('layouts', 'plotjuggler.xml').matchAll(curve)].map(([, index, name]) => [
    Number(index),
    name,
  ]);
  assert.deepEqual(
    curves,
    ['wake', 'infer', 'total'].flatMap((phase) =>
      ['max', 'p99', 'p50'].map((percentile) => [at(phase, percentile), percentile]),
    ),
  );
});

test('the page on ROS 2 names every parameter and every fault, and its robot map is one', async () => {
  const page = readFileSync(join(root, 'docs', 'ros2.md'), 'utf8');
  for (const fault of FAULTS.filter((one) => one !== 'none'))
    assert.match(
      page,
      new RegExp(`^\\| [^|]*\`${fault}\`[^|]* \\| [^|]+ \\| (fault|damping) \\| \`[\\w/]+\`: .+ \\|$`, 'm'),
      `docs/ros2.md has no line for ${fault}`,
    );
  for (const [, file, title] of page.matchAll(/\| (?:fault|damping) \| `([\w/]+)`: (.+) \|$/gm))
    assert.ok(
      readFileSync(join(root, 'test', `${file}.test.ts`), 'utf8').includes(title),
      `${file} has no test '${title}'`,
    );
  const when = { never: 'at start', unconfigured: 'unconfigured', inactive: 'not active', always: 'live' };
  for (const name of PARAMETER_NAMES) {
    const { initial, range, choices, change, description } = definitionOf(name)!;
    const given = initial === '' ? 'empty' : String(initial);
    const value = range
      ? `${given} (${range.join(' to ')})`
      : (choices?.map((one) => (one === initial ? `**${one}**` : one)).join(', ') ?? given);
    const row = `| \`${name}\` | ${value} | ${when[change]} | ${description} |`;
    assert.ok(page.includes(`${row}\n`), `docs/ros2.md lacks the row\n${row}`);
  }
  const path = join(directory, 'map.yaml');
  writeFileSync(path, /```yaml\n(.*?)```/s.exec(page)![1]);
  assert.deepEqual(checkMap(taskInterface(await loadTask('inverted-pendulum')), readRobotMap(path)), []);
});

const analyze = findProgram('systemd-analyze');
test('systemd takes the units and their drop-ins', {
  skip: analyze ? false : 'systemd-analyze is not installed',
}, () => {
  const copy = join(directory, 'systemd');
  cpSync(join(root, 'launch', 'systemd'), copy, { recursive: true });
  for (const unit of ['farsight.service', 'farsight-bridge.service']) {
    const run = spawnSync(analyze!, ['verify', join(copy, unit)], { encoding: 'utf8' });
    assert.equal(run.stderr, '');
    assert.equal(run.status, 0);
  }
});

const ros2 = process.env.AMENT_PREFIX_PATH && process.env.ROS_DISTRO ? findProgram('ros2') : undefined;
describe('installed under a prefix', { skip: ros2 ? false : 'needs a sourced ROS 2' }, () => {
  const prefix = join(directory, 'prefix');
  const share = join(prefix, 'share', 'farsight');
  const environment = {
    ...process.env,
    AMENT_PREFIX_PATH: `${prefix}${delimiter}${process.env.AMENT_PREFIX_PATH}`,
    ROS_DOMAIN_ID: rosDomain,
    ROS_LOG_DIR: join(directory, 'log'),
  };
  const run = (...args: string[]) =>
    spawnSync(ros2!, args, { encoding: 'utf8', env: environment, timeout: 60_000 });

  before(() => {
    mkdirSync(join(prefix, 'share', 'ament_index', 'resource_index', 'packages'), { recursive: true });
    writeFileSync(join(prefix, 'share', 'ament_index', 'resource_index', 'packages', 'farsight'), '');
    cpSync(shipped, share, { recursive: true });
    symlinkSync(join(root, 'build'), join(share, 'build'));
    cpSync(join(shipped, 'executables'), join(prefix, 'lib', 'farsight'), { recursive: true });
  });

  test('ros2 run starts both, with their own arguments and its', () => {
    const robot = ['--task', 'inverted-pendulum', '--duration', '1', '--json'];
    const { stdout, stderr } = run('run', 'farsight', 'robot', ...robot, '--ros-args', '-r', '__ns:=/left');
    assert.match(stderr, /\/left\/joint_states at 1000 Hz/);
    assert.ok(JSON.parse(stdout.trim().split('\n').at(-1)!).published > 100);
    assert.match(run('run', 'farsight', 'controller', '--help').stdout, /farsight control /);
  });

  for (const file of ['controller', 'simulated'].flatMap((name) => [
    `${name}.launch.py`,
    `${name}.launch.xml`,
  ])) {
    test(`${file} is read, and says what its arguments are`, () => {
      const { stdout, stderr, status } = run('launch', 'farsight', file, '--show-args');
      assert.equal(status, 0, stderr);
      for (const name of ['policy', 'namespace', 'autostart', 'params_file'])
        assert.match(stdout, new RegExp(`'${name}':\n +\\w`));
    });
  }

  const missing = rclnodejsProblem(MESSAGE_PACKAGES);

  /** Launches robot and controller, and waits until the policy acts. */
  async function launched(t: TestContext, file: string) {
    const policy = join(directory, 'policy.onnx');
    writeSyntheticPolicy(policy, taskInterface(await loadTask('inverted-pendulum')), [16, 16]);
    const args = ['launch', 'farsight', file, `policy:=${policy}`, 'namespace:=left', 'rate:=250'];
    const launch = spawn(ros2!, args, {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    t.after(() => killGroup(launch.pid!));
    const heard = { said: '' };
    const ended = once(launch, 'close');
    const active = new Promise<void>((resolve) => {
      for (const stream of [launch.stdout, launch.stderr]) {
        stream.on('data', (chunk) => {
          heard.said += chunk;
          if (/left\.farsight_controller\]: activate: the policy acts at 250 Hz/.test(heard.said)) resolve();
        });
      }
    });
    await Promise.race([
      active,
      ended.then(() => assert.fail(heard.said)),
      sleep(40_000, undefined, { ref: false }).then(() => assert.fail(heard.said)),
    ]);
    return { launch, heard, ended };
  }

  for (const file of ['simulated.launch.py', 'simulated.launch.xml']) {
    test(`${file} brings robot and controller up to active, in a namespace, and down again`, {
      skip: missing ?? false,
    }, async (t) => {
      const { launch, heard, ended } = await launched(t, file);
      launch.kill('SIGINT');
      await ended;
      const { said } = heard;
      assert.match(said, /robot-1\] published \d+ measurements; received [1-9]/);
      assert.match(said, /controller-2\] \d+ ticks at 250 Hz/);
      assert.doesNotMatch(said, /SIGTERM|SIGKILL/);
    });
  }

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`robot and controller end when ros2 launch is ended by ${signal}`, {
      skip: missing ?? false,
    }, async (t) => {
      const { launch } = await launched(t, 'simulated.launch.py');
      launch.kill(signal);
      for (const end = performance.now() + 15_000; runs(launch.pid!); await sleep(50)) {
        if (performance.now() > end) assert.fail('they run on');
      }
    });
  }
});

/** Whether a process of a group runs: one that has ended may wait for its new parent to notice. */
function runs(group: number): boolean {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => {
      const [, state, , its] = /\) (\S) (\d+) (\d+) /.exec(readText(`/proc/${pid}/stat`) ?? '') ?? [];
      return Number(its) === group && state !== 'Z';
    });
}

/** Kills a process that leads a group, and all that it started. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
  }
}
