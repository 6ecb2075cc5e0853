// The simulated robot as a node of its own process: what a ROS 2 engineer does to it, through ros2's own tools and a peer.
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CdrReader } from '../../controller/ros/link/cdr.js';
import { JointStateDecoder } from '../../controller/ros/link/jointStateDecoder.js';
import { DECODED, type Decoder } from '../../controller/ros/link/readMessages.js';
import {
  float64MultiArray,
  jointTrajectory,
  multiDofCommand,
  type OutgoingMessage,
  setFloat64,
} from '../../controller/ros/link/writeMessages.js';
import type { Qos } from '../../controller/ros/rcl/qos.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';
import { MultiDofDecoder, TrajectoryDecoder } from '../../launch/robot/commands.js';
import { foldRosArguments, parseRosArguments } from '../../launch/rosArguments.js';
import { FARSIGHT } from '../fixtures/command.js';
import { noRos } from './needsRos.js';
import { rosDomain } from './rosDomain.js';

const RELIABLE: Qos = { reliability: 'reliable', durability: 'volatile', depth: 10 };
const LATCHED: Qos = { reliability: 'reliable', durability: 'transientLocal', depth: 1 };
// Away from everybody else's.
const environment = { ...process.env, ROS_DOMAIN_ID: rosDomain };

test('ROS arguments pass through the command line as they are', () => {
  const argv = [
    'robot',
    '--ros-args',
    '-r',
    'a:=b',
    '--params-file',
    'x',
    '--',
    '--json',
    '--ros-args',
    '-r',
    'c:=d',
  ];
  const [first, folded, json, last] = foldRosArguments(argv);
  assert.deepEqual([first, json], ['robot', '--json']);
  const [, before] = /^--ros-args=(.*)$/.exec(folded) ?? [];
  const [, after] = /^--ros-args=(.*)$/.exec(last) ?? [];
  assert.deepEqual(parseRosArguments(after, parseRosArguments(before)), [
    ...['--ros-args', '-r', 'a:=b', '--params-file', 'x'],
    ...['--ros-args', '-r', 'c:=d'],
  ]);
});

test('commands with names are read by name, and refused for what they lack', () => {
  const outcome = (decoder: Decoder, { view, bytes }: OutgoingMessage, length = bytes.length) =>
    DECODED[decoder.decode(view, length)];
  const names = ['hip', 'knee'];
  const trajectory = jointTrajectory(['knee', 'hip'], 'effort', 0.01);
  const multiDof = multiDofCommand(['knee', 'ankle', 'hip']);
  for (const [decoder, message, start, knee, hip] of [
    [new TrajectoryDecoder(names, 'effort'), trajectory, trajectory.effort, 0, 1],
    [new MultiDofDecoder(names), multiDof, multiDof.data, 0, 2],
  ] as const) {
    setFloat64(message, start, knee, 0.25);
    setFloat64(message, start, hip, -0.5);
    assert.equal(outcome(decoder, message), 'decoded');
    assert.deepEqual([...decoder.values], [-0.5, 0.25]);
    for (let length = 0; length < message.bytes.length; length++) {
      assert.equal(outcome(decoder, message, length), 'malformed', `${length} bytes`);
    }
    setFloat64(message, start, knee, Number.NaN);
    assert.equal(outcome(decoder, message), 'not finite');
  }
  const decoder = new TrajectoryDecoder(names, 'effort');
  assert.equal(outcome(decoder, jointTrajectory(['knee', 'hop'], 'effort', 0.01)), 'wrong names');
  assert.equal(outcome(decoder, jointTrajectory(['knee', 'hip'], 'position', 0.01)), 'wrong size');
  assert.equal(outcome(new MultiDofDecoder(names), multiDofCommand(['knee'])), 'wrong names');
});

/** `farsight robot` in a process of its own. */
function startRobot(t: TestContext, ...args: string[]) {
  const child = spawn(
    process.execPath,
    [FARSIGHT, 'robot', '--task', 'inverted-pendulum', '--json', ...args],
    {
      env: environment,
    },
  );
  t.after(() => child.kill('SIGKILL'));
  return { process: child, ...heard(child) };
}

/** What a process says. */
function heard(child: ChildProcessWithoutNullStreams) {
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (piece) => {
      texts[name] += piece;
    });
  }
  return { texts };
}

/** Runs one of ros2's tools until it has printed what matches `enough`, and has ended, or is ended if it does not. */
async function ros2(t: TestContext, enough: RegExp, ...args: string[]): Promise<void> {
  const tool = spawn('ros2', args, { env: environment });
  t.after(() => tool.kill('SIGKILL'));
  const ended = once(tool, 'close');
  const { texts } = heard(tool);
  await until(`${enough} from ros2 ${args.join(' ')}: ${texts.stderr}`, () => enough.test(texts.stdout));
  // The others end when they have done what they are for, which may be after they have said so.
  if (args.includes('hz')) tool.kill('SIGINT');
  await ended;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 3000; i++) {
    if (holds()) return;
    await sleep(10);
  }
  assert.fail(`never: ${what}`);
}

/** The stamp of a header that has come, seconds. */
function stampOf(subscription: ReturnType<RosNode['subscription']>): number | undefined {
  const reader = new CdrReader();
  const length = subscription.take();
  reader.begin(subscription.view, length);
  const stamp = reader.int32() + reader.int32() / 1e9;
  return reader.ok ? stamp : undefined;
}

/** Another node, which drives the robot and watches it. */
function startPeer(t: TestContext) {
  process.env.ROS_DOMAIN_ID = rosDomain;
  const node = new RosNode({ name: 'peer', namespace: '/lab' });
  t.after(() => node.release());
  const states = node.subscription('joint_states', 'sensor_msgs/msg/JointState', RELIABLE);
  const resets = node.subscription('farsight_robot/resets', 'std_msgs/msg/Header', LATCHED);
  const terminations = node.subscription('farsight_robot/terminations', 'std_msgs/msg/Header', LATCHED);
  const commands = node.publisher(
    'forward_command_controller/commands',
    'std_msgs/msg/Float64MultiArray',
    RELIABLE,
  );
  const decoder = new JointStateDecoder(
    ['slider', 'hinge'].map((name) => ({ name, position: true, velocity: true, effort: false })),
  );
  const message = float64MultiArray(1);
  const state = { stamp: 0, slider: 0, hinge: 0, speed: 0, messages: 0, reset: 0, termination: 0 };
  return {
    node,
    commands,
    command(effort: number) {
      setFloat64(message, message.data, 0, effort);
      commands.publish(message.bytes);
    },
    /** The newest that has come. */
    look() {
      for (let length = states.take(); length > 0; length = states.take()) {
        assert.equal(DECODED[decoder.decode(states.view, length)], 'decoded');
        state.messages++;
        state.stamp = decoder.stamp[0] + decoder.stamp[1] / 1e9;
        [state.slider, state.hinge, state.speed] = decoder.values;
      }
      state.reset = stampOf(resets) ?? state.reset;
      state.termination = stampOf(terminations) ?? state.termination;
      return state;
    },
  };
}

describe('farsight robot on ROS 2', () => {
  test('a peer drives it, it damps, falls, starts anew, suffers faults and ends whole', {
    skip: noRos,
  }, async (t) => {
    const robot = startRobot(t, '--rate', '200', '--ros-args', '-r', '__ns:=/lab');
    const peer = startPeer(t);
    const { look } = peer;
    await until(`joint states; it says ${robot.texts.stderr}`, () => look().messages > 0);
    const start = { ...look() };
    assert.ok(Math.abs(start.stamp - Date.now() / 1000) < 60, `stamp ${start.stamp}`);
    // Whoever listened to a robot before this one hears that it is another start.
    await until('its first start is told', () => look().reset > 0);
    assert.ok(look().reset <= start.stamp);
    await until('a command arrives', () => {
      peer.command(0);
      look();
      return robot.texts.stderr.includes('commands come');
    });
    assert.deepEqual([look().slider, look().hinge], [start.slider, start.hinge], 'it holds its start state');
    for (const bad of [float64MultiArray(2).bytes, Uint8Array.of(0, 1, 0, 0)]) {
      peer.commands.publish(bad);
      await sleep(50);
    }

    await until('the cart moves', () => {
      peer.command(0.4);
      return look().slider > start.slider + 0.02;
    });
    await until('it damps without commands', () => robot.texts.stderr.includes('no command for 0.1 s'));
    await until('it falls and starts anew', () => look().reset > start.stamp);
    assert.ok(look().termination > start.stamp && look().termination < look().reset - 0.4);
    await until('the new start', () => look().stamp > look().reset + 0.1);
    assert.ok(Math.abs(look().slider) <= 0.01 && Math.abs(look().hinge) <= 0.01);

    const order = (text: string) =>
      ros2(
        t,
        /publishing/,
        ...['topic', 'pub', '--once', '/lab/farsight_robot/fault'],
        'std_msgs/msg/String',
        `data: ${text}`,
      );
    await order('jump=5 stuck=none');
    await until('a jump', () => look().hinge > 4);
    await order('jmp=5');
    await until('a refusal', () => /refused: fault 'jmp': no such fault/.test(robot.texts.stderr));
    await order('none');
    await until('health', () => Math.abs(look().hinge) < 0.1);

    const { reset } = look();
    await ros2(t, /success=True/, 'service', 'call', '/lab/farsight_robot/reset', 'std_srvs/srv/Trigger');
    await until('a new start', () => look().reset > reset);

    robot.process.kill('SIGINT');
    const [code] = await once(robot.process, 'close');
    assert.equal(code, 0, robot.texts.stderr);
    const result = JSON.parse(robot.texts.stdout);
    assert.equal(result.task, 'inverted-pendulum');
    assert.equal(result.resets, 2);
    assert.deepEqual(result.refusals, { malformed: 1, 'wrong size': 1 });
    assert.equal(result.refused, 2);
    assert.ok(result.published >= look().messages && result.received > 2);
  });

  test("ros2's own tools read it", { skip: noRos }, async (t) => {
    const robot = startRobot(t, '--rate', '100', '--ros-args', '-r', '__ns:=/lab');
    await until('it runs', () => robot.texts.stderr.includes('/lab/joint_states at 100 Hz'));
    await Promise.all([
      ros2(
        t,
        /- slider\n- hinge/,
        'topic',
        'echo',
        '--no-daemon',
        '--once',
        '/lab/joint_states',
        'sensor_msgs/msg/JointState',
      ),
      ros2(t, /average rate: \d/, 'topic', 'hz', '/lab/joint_states'),
      ros2(
        t,
        /\/lab\/forward_command_controller\/commands: std_msgs\/msg\/Float64MultiArray[\s\S]*Publishers:[\s\S]*\/lab\/joint_states: sensor_msgs\/msg\/JointState[\s\S]*\/lab\/farsight_robot\/reset: std_srvs\/srv\/Trigger/,
        // Half a second, the tool's own patience, is not always enough for Fast DDS.
        ...['node', 'info', '--no-daemon', '--spin-time', '5', '/lab/farsight_robot'],
      ),
    ]);
  });
});
