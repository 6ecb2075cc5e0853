// farsight doctor beside what the system's own tools say, on an install without the trainer's packages, with a real
// broker that goes away, and with an rclnodejs that must not be touched.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MESSAGE_PACKAGES } from '../../controller/ros/management/node.js';
import type { Check } from '../../launch/doctor/check.js';
import { findProgram } from '../../launch/doctor/computer.js';
import { freePort } from '../fixtures/freePort.js';

const build = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const directory = mkdtempSync(join(tmpdir(), 'farsight-doctor-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** A script of the command from the build folder `from`. */
function command(from: string, args: string[]): string {
  const url = pathToFileURL(join(from, 'launch', 'commands', 'doctor.js')).href;
  return `const { doctorCommand } = await import(${JSON.stringify(url)});
    await doctorCommand().parseAsync(${JSON.stringify(args)}, { from: 'user' });`;
}

/** A script of one of doctor's parts alone. */
function part(from: string, file: 'broker' | 'ros2' | 'software' | 'realTime', argument?: string): string {
  const url = pathToFileURL(join(from, 'launch', 'doctor', `${file}.js`)).href;
  return `const part = await import(${JSON.stringify(url)});
    console.log(JSON.stringify({ checks: await part.${file}Checks(${JSON.stringify(argument)}) }));`;
}

/** Runs a script in a process of its own, begun by the command `before`. */
function run(script: string, env: NodeJS.ProcessEnv = {}, before: string[] = []) {
  const [program, ...args] = [...before, process.execPath, '--input-type=module', '-e', script];
  const run = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, ...env } });
  const last = run.stdout.trim().split('\n').at(-1)!;
  const checks: Check[] = last.startsWith('{') ? JSON.parse(last).checks : [];
  const find = (name: string) => checks.find((check) => check.name === name)!;
  return { ...run, checks, find };
}

test('every line names itself once and its remedy where something is to mend; people get the same lines', () => {
  const { checks, status, stderr } = run(command(build, ['--json']));
  assert.equal(stderr, '');
  assert.equal(status, 0);
  assert.equal(new Set(checks.map(({ name }) => name)).size, checks.length);
  for (const { name, status: found, detail, remedy } of checks) {
    assert.ok(['ok', 'warning', 'missing'].includes(found), `${name} is ${found}: ${detail}`);
    assert.doesNotMatch(`${detail} ${remedy}`, /undefined|NaN/);
    if (found === 'warning') assert.ok(remedy, `${name} has no remedy`);
  }
  const { stdout } = run(command(build, []));
  for (const { name } of checks) assert.match(stdout, new RegExp(`^(ok|warning|missing) +${name} `, 'm'));
});

test('how to have the tests that are skipped here is one line', () => {
  const list = fileURLToPath(new URL('../../../launch/testPrograms.mjs', import.meta.url));
  const bare = { PATH: '', AMENT_PREFIX_PATH: '' };
  const { stdout } = run(`console.log((await import(${JSON.stringify(list)})).howToSkipLess())`, bare);
  assert.match(stdout, /^apt install [a-z -]*fish[a-z -]*; source ROS 2's setup\.bash; .*unshare.*\n$/);
  const { stdout: packages } = spawnSync(process.execPath, [list], { encoding: 'utf8', env: bare });
  assert.match(packages, /^[a-z -]*chromium [a-z -]*\n$/);
});

describe('on Linux', { skip: process.platform === 'linux' ? false : 'needs Linux' }, () => {
  test('SCHED_FIFO is granted when chrt gets it, and no thread keeps it', () => {
    const policies = `
      const { readdirSync, readFileSync } = await import('node:fs');
      const policy = (task) => readFileSync('/proc/self/task/' + task + '/stat', 'utf8').split(') ')[1].split(' ')[38];
      console.error(readdirSync('/proc/self/task').map(policy).join());`;
    const { find, stderr } = run(command(build, ['--json']) + policies);
    const granted = spawnSync('chrt', ['--fifo', '80', 'true']).status === 0;
    assert.equal(find('SCHED_FIFO').status, granted ? 'ok' : 'warning');
    assert.match(stderr.trim(), /^0(,0)*$/);
    assert.match(find('Wake-up latency').detail, granted ? /at 1 kHz, SCHED_FIFO/ : /without SCHED_FIFO/);
  });

  const mayDrop = process.getuid?.() === 0 && findProgram('setpriv') && findProgram('prlimit');
  test('without the privilege it says what to set', {
    skip: mayDrop ? false : 'needs root, setpriv and prlimit to drop the privilege',
  }, () => {
    const drop = ['setpriv', '--bounding-set=-sys_nice', 'prlimit', '--rtprio=0'];
    const { find } = run(part(build, 'realTime'), {}, drop);
    for (const name of ['SCHED_FIFO', 'rtprio limit']) {
      assert.equal(find(name).status, 'warning');
      assert.match(find(name).remedy!, /rtprio 98/);
    }
  });
});

test("a robot's install lacks the trainer's packages, and an unsourced rclnodejs is left alone", () => {
  const robot = join(directory, 'robot');
  const modules = join(robot, 'node_modules');
  mkdirSync(modules, { recursive: true });
  writeFileSync(join(robot, 'package.json'), '{"type":"module"}');
  cpSync(build, join(robot, 'build'), { recursive: true });
  const installed = join(dirname(build), 'node_modules');
  const left = ['@tensorflow', '@mujoco', 'rclnodejs', '.bin'];
  for (const name of readdirSync(installed).filter((entry) => !left.includes(entry)))
    symlinkSync(join(installed, name), join(modules, name));
  const touched = join(directory, 'touched');
  mkdirSync(join(modules, 'rclnodejs', 'build', 'Release'), { recursive: true });
  mkdirSync(join(modules, 'rclnodejs', 'generated'));
  writeFileSync(join(modules, 'rclnodejs', 'package.json'), '{"version":"0.0.0","main":"index.js"}');
  writeFileSync(join(modules, 'rclnodejs', 'build', 'Release', 'rclnodejs.node'), '');
  writeFileSync(
    join(modules, 'rclnodejs', 'index.js'),
    `require('node:fs').writeFileSync(${JSON.stringify(touched)}, '')`,
  );

  const unsourced = { AMENT_PREFIX_PATH: '', ROS_DISTRO: '' };
  const { find } = run(part(join(robot, 'build'), 'software'), unsourced);
  for (const name of ['MuJoCo', 'TensorFlow.js']) {
    assert.equal(find(name).status, 'missing');
    assert.match(find(name).detail, /not installed \(trainer/);
  }
  assert.equal(find('ONNX Runtime').status, 'ok');
  assert.equal(existsSync(touched), false);

  // Sourced, built and with the messages, it is loaded: the trip wire works.
  const library = join(directory, 'ros', 'lib');
  mkdirSync(library, { recursive: true });
  const sourced = { AMENT_PREFIX_PATH: join(directory, 'ros'), ROS_DISTRO: 'jazzy', LD_LIBRARY_PATH: '' };
  const withLibrary = { ...sourced, LD_LIBRARY_PATH: library };
  const found = (env: NodeJS.ProcessEnv) => run(part(join(robot, 'build'), 'ros2'), env).find('rclnodejs');
  writeFileSync(join(library, 'librcl.so'), '');
  assert.match(found(unsourced).detail, /not tried/);
  assert.match(found(sourced).detail, /LD_LIBRARY_PATH/);
  assert.match(found(withLibrary).remedy!, /generate-ros-messages/);
  assert.equal(existsSync(touched), false);
  for (const name of MESSAGE_PACKAGES)
    mkdirSync(join(modules, 'rclnodejs', 'generated', name), { recursive: true });
  assert.equal(found(withLibrary).status, 'ok');
  assert.equal(existsSync(touched), true);

  rmSync(join(modules, 'onnxruntime-node'));
  const broken = run(command(join(robot, 'build'), ['--json']), unsourced);
  assert.equal(broken.find('ONNX Runtime').status, 'broken');
  assert.equal(broken.status, 1);
});

test('with ROS 2 sourced but wrongly set, each line says what to set', () => {
  const wrong = {
    AMENT_PREFIX_PATH: directory,
    ROS_DISTRO: 'kinetic',
    RMW_IMPLEMENTATION: 'rmw_none_cpp',
    ROS_DOMAIN_ID: '150',
    ROS_AUTOMATIC_DISCOVERY_RANGE: 'SUBNETS',
  };
  const found = (env: NodeJS.ProcessEnv) => run(part(build, 'ros2'), { ...wrong, ...env });
  const { find } = found({});
  for (const [name, remedy] of [
    ['ROS 2', /jazzy/],
    ['ROS 2 node', /apt install ros-kinetic-rmw-none-cpp/],
    ['ROS domain', /below 102/],
    ['ROS discovery', /LOCALHOST/],
  ] as const) {
    assert.equal(find(name).status, 'warning', find(name).detail);
    assert.match(find(name).remedy!, remedy);
  }
  assert.match(found({ ROS_DOMAIN_ID: 'left' }).find('ROS domain').detail, /'left'/);
  assert.match(
    found({ ROS_AUTOMATIC_DISCOVERY_RANGE: 'OFF' }).find('ROS discovery').detail,
    /finds no other/,
  );
});

test('with ROS 2 sourced, two nodes find each other, unless they may not', {
  skip: process.env.AMENT_PREFIX_PATH && process.env.ROS_DISTRO ? false : 'needs a sourced ROS 2',
}, () => {
  const { find } = run(part(build, 'ros2'));
  assert.equal(find('ROS 2 node').status, 'ok', find('ROS 2 node').detail);
  assert.match(find('ROS discovery').detail, /two nodes found each other in \d+ ms/);
  const lonely = run(part(build, 'ros2'), { RMW_IMPLEMENTATION: 'rmw_none_cpp' });
  assert.equal(lonely.find('ROS 2 node').status, 'warning');
  assert.match(lonely.find('ROS 2 node').detail, /rmw_none_cpp/);
});

const mosquitto = findProgram('mosquitto');
test('a broker that answers, then does not', {
  skip: mosquitto ? false : 'mosquitto is not installed',
}, async () => {
  const port = await freePort();
  const broker = spawn(mosquitto!, ['-p', String(port)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const url = `mqtt://user:secret@127.0.0.1:${port}`;
  try {
    await spoken(broker, 'running');
    const reached = run(part(build, 'broker', url));
    assert.equal(reached.find('MQTT broker').status, 'ok');
    assert.doesNotMatch(reached.stdout, /secret/);
  } finally {
    const ended = new Promise((resolve) => broker.once('exit', resolve));
    broker.kill('SIGKILL');
    await ended;
  }
  const lost = run(command(build, ['--json', '--mqtt', url]));
  assert.equal(lost.find('MQTT broker').status, 'broken');
  assert.match(lost.find('MQTT broker').detail, new RegExp(`127.0.0.1:${port}.*ECONNREFUSED`));
  assert.equal(lost.status, 1);
});

test('a URL that is no broker is wrong usage, and names the flag', () => {
  const { status, stderr } = run(command(build, ['--mqtt', 'localhost']));
  assert.equal(status, 2);
  assert.match(stderr, /^error: --mqtt 'localhost'.*mqtt:\/\/HOST:PORT.*\n$/);
});

function spoken(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stderr!.on('data', (chunk: Buffer) => chunk.toString().includes(word) && resolve());
    child.once('exit', () => reject(new Error('ended early')));
  });
}
