// The link on a real ROS 2, against a robot in a process of its own: good, clumsy, hostile, dead and back.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FarsightError } from '../../contract/errors.js';
import { loopWords } from '../../contract/loop.js';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { checkMap } from '../../controller/ros/link/checkMap.js';
import { offeredQos } from '../../controller/ros/link/commandTopic.js';
import {
  conflictStates,
  contestedSensors,
  linkCounters,
  sensorStates,
} from '../../controller/ros/link/linkState.js';
import { loopNode } from '../../controller/ros/link/loopNode.js';
import { rosRehearsal } from '../../controller/ros/link/rehearsal.js';
import { type RobotMap, robotMapSchema } from '../../controller/ros/link/robotMap.js';
import { openTopics, rosLink } from '../../controller/ros/link/rosLink.js';
import { survey } from '../../controller/ros/link/survey.js';
import { jointState, setStamp } from '../../controller/ros/link/writeMessages.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';
import { MONOTONIC, RosClock } from '../../controller/ros/rcl/rosClock.js';
import { garbage } from './garbage.js';
import { legTask } from './memoryTopics.js';
import type { PeerOrder, PeerReport } from './peer.js';

const skip = process.env.AMENT_PREFIX_PATH && process.env.ROS_DISTRO ? false : 'needs a sourced ROS 2';
// Away from everybody else's.
if (!skip) process.env.ROS_DOMAIN_ID = String(10 + (process.pid % 40));

const map = robotMapSchema.parse({
  sensors: [{ topic: 'joint_states', type: 'sensor_msgs/JointState', joints: ['hip', 'knee'] }],
  commands: [{ topic: 'commands', type: 'std_msgs/Float64MultiArray', joints: ['knee', 'hip'] }],
});

class Peer {
  report: PeerReport = { commands: 0, last: [] };
  readonly #process: ChildProcess = fork(fileURLToPath(new URL('./peer.js', import.meta.url)));
  constructor(rates: PeerOrder['rates']) {
    this.#process.on('message', (report) => {
      this.report = report as PeerReport;
    });
    this.#process.once('exit', (code, signal) => {
      if (signal !== 'SIGKILL') throw new Error(`the peer ended by itself: code ${code}, signal ${signal}`);
    });
    this.send(rates);
  }
  send(rates: PeerOrder['rates']): void {
    this.#process.send({ rates } satisfies PeerOrder);
  }
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

function open(opened: RobotMap = map) {
  const node = new RosNode({ name: 'controller' });
  const words = loopWords(0);
  const counters = linkCounters(opened);
  const clock = new RosClock();
  const parts = { task: legTask, map: opened, rateHz: 500, words, counters, clock };
  const link = rosLink({ ...parts, topics: openTopics(node, opened, parts.rateHz) });
  const state = () => sensorStates(opened, counters, clock.times[MONOTONIC])[0];
  return { node, parts, link, state };
}

/** Ticks the link, as a loop would, until `done`. */
async function until({ link }: ReturnType<typeof open>, what: string, done: (cell: Float64Array) => boolean) {
  // A discovery message that was lost is sent again after 30 s.
  const limit = Date.now() + 40_000;
  for (let i = 0; Date.now() < limit; i++) {
    const cell = link.sensors.read();
    link.commands.writable.set([0, 0, 0.5, i]);
    link.commands.publish();
    if (done(cell)) return;
    await sleep(1);
  }
  throw new Error(`never: ${what}`);
}

test('a robot in another process: sensors in, commands out, through everything that a peer may send', {
  skip,
  timeout: 240_000,
}, async () => {
  const controller = open();
  let peer = new Peer({ good: 200 });
  try {
    let first = 0;
    await until(controller, 'a first state', (cell) => cell[SENSOR.stamp] > 0);
    await until(controller, 'rising positions', (cell) => {
      first ||= cell[SENSOR.vectors];
      assert.deepEqual([...cell.subarray(SENSOR.vectors + 1)], [-1, 2, 3]);
      return cell[SENSOR.vectors] > first + 50;
    });
    await until(controller, 'commands at the robot', () => peer.report.commands > 20);
    assert.equal(peer.report.last[1], 0.5, 'hip is the second of the robot’s');

    const count = (reason: string) => controller.state().refused[reason];
    const unharmed = async (rates: PeerOrder['rates'], what: string, done: () => boolean) => {
      peer.send({ good: 200, ...rates });
      let position = 0;
      await until(controller, what, (cell) => {
        assert.ok(cell.every(Number.isFinite));
        position ||= cell[SENSOR.vectors];
        return done() && cell[SENSOR.vectors] > position + 20;
      });
    };
    await unharmed(
      { garbage: 10_000 },
      'a flood of garbage, and states beside it',
      () => count('malformed') > 5000,
    );
    await unharmed({ permuted: 100, misnamed: 100 }, 'other joints', () => controller.state().others > 50);
    await unharmed({ nan: 100 }, 'NaN beside good states', () => count('not finite') > 20);
    await unharmed({ past: 100 }, 'old states', () => count('out of order') > 20);
    const malformed = count('malformed');
    await unharmed({ big: 20 }, 'messages of a megabyte', () => count('malformed') > malformed + 5);

    peer.send({ nan: 200 });
    await until(controller, 'NaN when nothing else comes', (cell) => Number.isNaN(cell[SENSOR.vectors]));
    peer.send({ good: 200 });
    await until(controller, 'good states again', (cell) => cell[SENSOR.vectors] > 0);

    await peer.kill();
    await until(controller, 'an age that grows', () => controller.state().arrivalAge! > 0.3);
    peer = new Peer({ good: 200 });
    await until(controller, 'the robot back', () => controller.state().arrivalAge! < 0.1);
    const { commands } = peer.report;
    await until(controller, 'and hearing commands', () => peer.report.commands > commands + 5);
  } finally {
    await peer.kill();
    controller.node.release();
  }
});

test('a survey shows who is there, and the check names every mismatch', {
  skip,
  timeout: 60_000,
}, async () => {
  const peer = new Peer({ good: 100 });
  try {
    await sleep(500);
    const fine = await survey(map, { name: 'survey' }, 40, 500);
    assert.deepEqual(fine.sensors[0].names, ['hip', 'knee']);
    assert.deepEqual(checkMap(legTask, map, fine), []);
    const wrong = robotMapSchema.parse({
      sensors: [
        {
          topic: 'joint_states',
          type: 'sensor_msgs/JointState',
          joints: { hip: { name: 'left_hip' }, knee: null },
        },
      ],
      commands: [
        { topic: 'commands', type: 'sensor_msgs/JointState', joints: ['hip'] },
        { topic: 'nowhere', type: 'std_msgs/Float64MultiArray', joints: ['knee'] },
      ],
    });
    const expected = [
      "topic /joint_states does not name joint 'left_hip'; it names hip, knee",
      'topic /commands is std_msgs/msg/Float64MultiArray on the network, sensor_msgs/msg/JointState in the map',
      'topic /nowhere is heard by nobody, or by subscriptions whose QoS does not fit reliable, volatile (see: ros2 topic info -v /nowhere)',
    ];
    let found: string[] = [];
    for (let i = 0; i < 10 && found.join() !== expected.join(); i++) {
      found = checkMap(legTask, wrong, await survey(wrong, { name: 'survey', namespace: '/' }, 1, 500));
    }
    assert.deepEqual(found, expected);
  } finally {
    await peer.kill();
  }
});

test('two drivers share a topic, each for its own joint; a second one of the same joint is noticed', {
  skip,
  timeout: 60_000,
}, async () => {
  const robot = new RosNode({ name: 'robot' });
  const controller = open();
  const contested = () =>
    contestedSensors(map, controller.parts.counters, controller.parts.clock.times[MONOTONIC]);
  try {
    const drivers = ['hip', 'knee'].map((joint) => {
      const message = jointState([joint], ['position', 'velocity']);
      const publisher = robot.publisher('joint_states', 'sensor_msgs/msg/JointState', map.sensors[0].qos);
      return { message, publisher };
    });
    robot.subscription('commands', 'std_msgs/msg/Float64MultiArray', map.commands[0].qos);
    const clock = new RosClock();
    const send = () => {
      clock.read();
      for (const { message } of drivers) setStamp(message, clock.stamp[0], clock.stamp[1]);
      for (const { message, publisher } of drivers) publisher.publish(message.bytes);
    };
    const sending = setInterval(send, 1);
    await until(controller, 'both joints', (cell) => cell[SENSOR.stamp] > 0);
    assert.deepEqual(checkMap(legTask, map, await survey(map, { name: 'survey' }, 10, 500)), []);
    clearInterval(sending);
    assert.deepEqual(contested(), []);
    drivers[1].message = drivers[0].message;
    const contesting = setInterval(send, 1);
    await until(controller, 'a second publisher', () => contested().length > 0);
    clearInterval(contesting);
    assert.match(contested()[0], /joint 'hip'/);
  } finally {
    robot.release();
    controller.node.release();
  }
});

test('who asks for no deadline hears the commands, who asks for a longer one too; who asks for less is not served', {
  skip,
  timeout: 60_000,
}, async () => {
  const node = new RosNode({ name: 'controller' });
  try {
    const [command] = map.commands;
    const publisher = node.publisher('offered', command.type, offeredQos(command, 500));
    const asks = [
      {},
      { deadline: 0.06, liveliness: 'manual', lease: 0.11 },
      { deadline: 0.04 },
      { liveliness: 'manual', lease: 0.09 },
    ] as const;
    const readers = asks.map((asked) =>
      node.subscription('offered', command.type, { ...command.qos, ...asked }),
    );
    const served = () => readers.map(({ matched }) => matched);
    for (let i = 0; publisher.matched < 2 && i < 200; i++) await sleep(20);
    assert.deepEqual(served(), [1, 1, 0, 0]);
  } finally {
    node.release();
  }
});

test('peers whose QoS does not fit are counted, and what does not fit is said', {
  skip,
  timeout: 60_000,
}, async () => {
  const strict = robotMapSchema.parse({
    sensors: [
      {
        topic: 'strict_states',
        type: 'sensor_msgs/JointState',
        joints: ['hip', 'knee'],
        qos: { reliability: 'reliable' },
      },
    ],
    commands: [{ topic: 'strict_commands', type: 'std_msgs/Float64MultiArray', joints: ['knee', 'hip'] }],
  });
  const robot = new RosNode({ name: 'robot' });
  const controller = open(strict);
  try {
    const qos = { reliability: 'bestEffort', durability: 'transientLocal', depth: 1 } as const;
    robot.publisher('strict_states', 'sensor_msgs/msg/JointState', qos);
    robot.subscription('strict_commands', 'std_msgs/msg/Float64MultiArray', qos);
    const found = () => conflictStates(strict, controller.parts.counters);
    await until(controller, 'two conflicts', () => found().length === 2);
    assert.deepEqual(found(), [
      { topic: 'strict_states', ours: 'subscription', peers: 1, policy: 'reliability' },
      { topic: 'strict_commands', ours: 'publisher', peers: 1, policy: 'durability' },
    ]);
    const [states, commands] = checkMap(legTask, strict, await survey(strict, { name: 'survey' }, 1, 500));
    assert.match(states, /has publishers whose reliability does not fit reliable, volatile/);
    assert.match(commands, /has subscriptions whose durability does not fit/);
  } finally {
    robot.release();
    controller.node.release();
  }
});

test('a tick through the real middleware leaves no garbage', { skip, timeout: 60_000 }, () => {
  const controller = open();
  const rehearsal = new RosNode({ name: 'rehearsal' });
  try {
    const { link, sense } = rosRehearsal(rehearsal, controller.parts);
    const last = new Float64Array(1);
    const tick = () => {
      sense(1);
      const cell = link.sensors.read();
      last[0] = cell[SENSOR.stamp];
      link.commands.writable[COMMAND.vectors] = cell[SENSOR.vectors];
      link.commands.publish();
    };
    assert.ok(garbage(tick, 30_000, 2000) < 2);
    assert.ok(last[0] > 0, 'the rehearsal hears itself');
  } finally {
    rehearsal.release();
    controller.node.release();
  }
});

test('names, namespaces and arguments that ROS refuses are one clear line', { skip }, () => {
  const refused = (options: ConstructorParameters<typeof RosNode>[0], message: RegExp) =>
    assert.throws(
      () => new RosNode(options),
      (error) => error instanceof FarsightError && message.test(error.message),
    );
  refused({ name: 'no good' }, /no ROS 2 node 'no good'.*alphanumerics/);
  refused({ name: 'a', namespace: '/b c' }, /namespace '\/b c'/);
  refused({ name: 'a', arguments: ['--ros-args', '-r', 'oops'] }, /remap rule/);
  const node = new RosNode({ name: 'a', namespace: '/robot', arguments: ['--ros-args', '-r', 'b:=c'] });
  try {
    const qos = { reliability: 'reliable', durability: 'volatile', depth: 1 } as const;
    assert.equal(node.publisher('b', 'std_msgs/msg/Bool', qos).topic, '/robot/c');
    assert.throws(
      () => node.publisher('b', 'nobodys_msgs/msg/Bool', qos),
      /install the package nobodys_msgs/,
    );
  } finally {
    node.release();
  }
});

test('the loop’s node reads and writes what people mean by the name of the other', { skip }, () => {
  const rules = ['__ns:=/lab', '__node:=arm', 'arm:joint_states:=js', '~/x:=y'];
  const parameters = {
    'qos_overrides./lab/js.subscription.depth': 5,
    'qos_overrides./lab/a.publisher.depth': 'all',
  };
  const node = new RosNode(
    loopNode('controller', ['--ros-args', ...rules.flatMap((rule) => ['-r', rule])], parameters),
  );
  try {
    const [{ type, qos }] = map.sensors;
    const states = node.subscription('joint_states', type, qos);
    assert.deepEqual([states.topic, states.depth], ['/lab/js', 5]);
    assert.equal(node.publisher('~/x', type, qos).topic, '/lab/y');
    assert.equal(node.publisher('~/z', type, qos).topic, '/lab/arm/z');
    assert.throws(
      () => node.publisher('a', type, qos),
      /a\.publisher\.depth is 'all': it wants a whole number/,
    );
  } finally {
    node.release();
  }
});

const tools = skip || ((await runs('ros2', ['--help'])) ? false : 'needs the ros2 command');
function runs(command: string, parameters: string[]): Promise<boolean> {
  return new Promise((resolve) => execFile(command, parameters, (error) => resolve(!error)));
}
test('ros2 topic pub and ros2 topic echo are understood and understand', {
  skip: tools,
  timeout: 60_000,
}, async () => {
  const controller = open();
  const state =
    '{header: {stamp: now, frame_id: base}, name: [knee, hip], position: [1.5, 2.5], velocity: [3.5, 4.5]}';
  const pub = spawn('ros2', [
    'topic',
    'pub',
    '-r',
    '50',
    '/joint_states',
    'sensor_msgs/msg/JointState',
    state,
  ]);
  const echo = spawn('ros2', ['topic', 'echo', '/commands', 'std_msgs/msg/Float64MultiArray']);
  let heard = '';
  echo.stdout.on('data', (text) => {
    heard += text;
  });
  try {
    await until(controller, 'what ros2 topic pub sends', (cell) => cell[SENSOR.stamp] > 0);
    assert.deepEqual([...controller.link.sensors.read().subarray(SENSOR.vectors)], [2.5, 1.5, 4.5, 3.5]);
    await until(controller, 'what ros2 topic echo shows', () => /data:\n- \d+\.0\n- 0\.5\n/.test(heard));
  } finally {
    pub.kill('SIGINT');
    echo.kill('SIGINT');
    controller.node.release();
  }
});
