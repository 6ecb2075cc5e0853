// The link on a real ROS 2, against a robot in a process of its own: good, clumsy, hostile, dead and back.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { checkMap } from '../../controller/ros/link/checkMap.js';
import { contestedSensors } from '../../controller/ros/link/linkState.js';
import { rosRehearsal } from '../../controller/ros/link/rehearsal.js';
import { robotMapSchema } from '../../controller/ros/link/robotMap.js';
import { survey } from '../../controller/ros/link/survey.js';
import { jointState, setStamp } from '../../controller/ros/link/writeMessages.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';
import { MONOTONIC, RosClock } from '../../controller/ros/rcl/rosClock.js';
import { garbage } from './garbage.js';
import { map, open, Peer, until } from './linkedController.js';
import { legTask } from './memoryTopics.js';
import { noRos } from './needsRos.js';
import type { PeerOrder } from './peer.js';
import { rosDomain } from './rosDomain.js';

// Away from everybody else's.
process.env.ROS_DOMAIN_ID = rosDomain;

test('a robot in another process: sensors in, commands out, through everything that a peer may send', {
  skip: noRos,
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
  skip: noRos,
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
  skip: noRos,
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

test('a tick through the real middleware leaves no garbage', { skip: noRos, timeout: 60_000 }, () => {
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

const tools = noRos || ((await runs('ros2', ['--help'])) ? false : 'needs the ros2 command');
function runs(command: string, parameters: string[]): Promise<boolean> {
  return new Promise((resolve) => execFile(command, parameters, (error) => resolve(!error)));
}
test('publishers that come and go between two looks are counted', {
  skip: noRos,
  timeout: 60_000,
}, async () => {
  const node = new RosNode({ name: 'listener' });
  const qos = { reliability: 'reliable', durability: 'volatile', depth: 1 } as const;
  const heard = node.subscription('passing', 'std_msgs/msg/Bool', qos);
  try {
    for (let left = 1; left <= 3; left++) {
      const passer = new RosNode({ name: 'passer' });
      const publisher = passer.publisher('passing', 'std_msgs/msg/Bool', qos);
      while (publisher.matched === 0 || heard.matched === 0) await sleep(5);
      passer.release();
      while (heard.matched > 0) await sleep(5);
      assert.equal(heard.departed, left);
    }
    const passers = Array.from({ length: 2 }, (_, i) => {
      const passer = new RosNode({ name: `passer${i}` });
      return { passer, publisher: passer.publisher('passing', 'std_msgs/msg/Bool', qos) };
    });
    while (heard.matched < 2) await sleep(5);
    for (const { passer } of passers) passer.release();
    while (heard.matched > 0) await sleep(5);
    assert.equal(heard.departed, 5);
  } finally {
    node.release();
  }
});

test('who waits for messages sleeps, whoever has come, left or does not fit', {
  skip: noRos,
  timeout: 60_000,
}, async () => {
  const node = new RosNode({ name: 'listener' });
  const qos = { reliability: 'reliable', durability: 'volatile', depth: 1 } as const;
  const heard = node.subscription('waiting', 'std_msgs/msg/Bool', qos);
  const waiter = node.waiter(heard);
  const others = new RosNode({ name: 'others' });
  try {
    const fits = others.publisher('waiting', 'std_msgs/msg/Bool', qos);
    others.publisher('waiting', 'std_msgs/msg/Bool', { ...qos, reliability: 'bestEffort' });
    for (const matched of [1, 0]) {
      while (heard.matched !== matched) await sleep(5);
      await sleep(200);
      // What has come up by now ends one wait more.
      waiter.wait(1e6);
      const began = performance.now();
      for (let i = 0; i < 20; i++) waiter.wait(10e6);
      assert.ok(performance.now() - began > 150, `20 waits of 10 ms took ${performance.now() - began} ms`);
      assert.equal(heard.conflicts.total, 1);
      if (matched === 1) others.drop(fits);
    }
  } finally {
    others.release();
    node.release();
  }
});

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
