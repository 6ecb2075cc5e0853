// The loop's ROS link on messages in memory: what it makes of a robot's good ones, of bad ones, and of none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS, WORD } from '../../contract/loop.js';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { MODE } from '../../controller/modes.js';
import { contestedSensors, sensorStates } from '../../controller/ros/link/linkState.js';
import { COUNTERS, REFUSALS } from '../../controller/ros/link/sensorTopic.js';
import { MONOTONIC } from '../../controller/ros/rcl/rosClock.js';
import { deserialize, serialize } from './definitions.js';
import { garbage } from './garbage.js';
import { setUp, stampOf, state, vectors } from './memoryLink.js';
import { legTask } from './memoryTopics.js';

const TIMEOUT = legTask.safety.sensorTimeout;
const refused = (counters: Float64Array) =>
  Object.fromEntries(
    REFUSALS.map((name, i): [string, number] => [name, counters[COUNTERS.refusals + i]]).filter(([, n]) => n),
  );

test('a measurement is dated by its stamp, on the loop’s clock', () => {
  const { link, send, counters } = setUp();
  assert.equal(link.sensors.read()[SENSOR.stamp], 0);
  send(1049.98);
  const cell = link.sensors.read();
  assert.ok(Math.abs(cell[SENSOR.stamp] - 49.98) < 1e-6);
  assert.deepEqual(vectors(cell), [0.5, -1, 2, 3]);
  assert.equal(counters[COUNTERS.received], 1);
  assert.equal(counters[COUNTERS.arrival], 50);
});

test('joints turned and shifted come and go in the robot’s own count', () => {
  const { link, inbox, outboxes } = setUp({
    sensors: [
      {
        topic: 'joint_states',
        type: 'sensor_msgs/msg/JointState',
        joints: { hip: { name: 'LF_HAA', sign: -1, offset: 0.25 }, knee: null },
      },
    ],
    commands: [
      {
        topic: 'effort',
        type: 'std_msgs/msg/Float64MultiArray',
        joints: { knee: {}, hip: { sign: -1, offset: 0.25 } },
      },
    ],
  });
  inbox.put(state(1049.99, { name: ['knee', 'LF_HAA'] }));
  // Theirs: knee 0.5 and 2, LF_HAA -1 and 3.
  assert.deepEqual(vectors(link.sensors.read()), [1.25, 0.5, -3, 2]);
  link.commands.writable.set([0, MODE.policy, 7, 8]);
  link.commands.publish();
  assert.deepEqual([...deserialize('Float64MultiArray', outboxes[0].sent!).data], [8, -7]);
});

test('a message that cannot be used is refused and counted, and changes nothing', () => {
  const { link, send, inbox, counters } = setUp();
  send(1049.95);
  send(1049.95, { position: [9, 9] });
  send(1049.94, { position: [9, 9] });
  send(1050 + 0.3 * TIMEOUT, { position: [9, 9] });
  send(1049.96, { name: ['knee', 'knee'], position: [9, 9] });
  send(1049.97, { name: ['elbow', 'ankle'], position: [9, 9] });
  send(1049.96, { position: [9] });
  send(1049.96, { velocity: [9, Number.NaN] });
  inbox.put(state(1049.96).subarray(0, 40));
  inbox.put(Uint8Array.from({ length: 300 }, (_, i) => i * 7));
  const cell = link.sensors.read();
  assert.deepEqual(vectors(cell), [0.5, -1, 2, 3]);
  assert.ok(Math.abs(cell[SENSOR.stamp] - 49.95) < 1e-6);
  assert.deepEqual(refused(counters), {
    decoded: 1,
    'other joints': 1,
    malformed: 2,
    'wrong names': 1,
    'wrong size': 1,
    'not finite': 1,
    duplicate: 1,
    'out of order': 1,
    'stamp in the future': 1,
  });
  assert.equal(counters[COUNTERS.received], 10);
});

test('a sensor that sends only NaN, or whose clock went back, is let through to the envelope; a flood beside it not', () => {
  for (const bad of [{ position: [Number.NaN, 0] }, { header: { stamp: stampOf(1049), frame_id: '' } }]) {
    const { link, send, clock } = setUp();
    const isBad = (cell: Float64Array) => Number.isNaN(cell[SENSOR.vectors]) || cell[SENSOR.stamp] < 49.5;
    send(1050);
    link.sensors.read();
    for (let i = 1; i < 100; i++) {
      clock.move(50 + i * 0.002);
      for (let k = 0; k < 20; k++) send(1050 + i * 0.002, bad);
      send(1050 + i * 0.002);
      assert.equal(isBad(link.sensors.read()), false, 'while good ones come');
    }
    let last = 0;
    for (let i = 100; last === 0 && i < 200; i++) {
      clock.move(50 + i * 0.002);
      send(1050 + i * 0.002, bad);
      if (isBad(link.sensors.read())) last = i;
    }
    const seconds = (last - 99) * 0.002;
    assert.ok(seconds > 0 && seconds < 0.5 * TIMEOUT, `let through after ${seconds} s`);
  }
});

test('by arrival where stamps do not count', () => {
  const unset = setUp({
    sensors: [{ topic: 's', type: 'sensor_msgs/JointState', joints: ['hip', 'knee'], stamp: 'arrival' }],
  });
  for (const now of [50, 51]) {
    unset.clock.move(now);
    unset.send(0);
    assert.equal(unset.link.sensors.read()[SENSOR.stamp], now);
  }
});

test('when somebody sets the system’s clock, the robot runs on', () => {
  const { link, send, clock, counters } = setUp();
  send(1050);
  link.sensors.read();
  clock.steps++;
  clock.move(50.002, 400);
  send(450.002);
  assert.ok(Math.abs(link.sensors.read()[SENSOR.stamp] - 50.002) < 1e-6);
  clock.move(50.004, 400);
  send(450.003);
  send(450.001);
  link.sensors.read();
  assert.deepEqual(refused(counters), { decoded: 3, 'out of order': 1 });
});

test('several topics: the oldest dates the whole, and all must be heard', () => {
  const { link, inboxes } = setUp({
    sensors: [
      { topic: 'joint_states', type: 'sensor_msgs/msg/JointState', joints: ['knee'] },
      {
        topic: 'odom',
        type: 'nav_msgs/Odometry',
        joints: { hip: { position: 'rotation.y', velocity: 'angularVelocity.y', sign: -1 } },
      },
    ],
  });
  inboxes[0].put(state(1049.99));
  assert.equal(link.sensors.read()[SENSOR.stamp], 0);
  const zero = { x: 0, y: 0, z: 0 };
  inboxes[1].put(
    serialize('Odometry', {
      header: { stamp: stampOf(1049.97), frame_id: 'odom' },
      child_frame_id: 'base',
      pose: {
        pose: { position: zero, orientation: { x: 0, y: Math.sin(0.1), z: 0, w: Math.cos(0.1) } },
        covariance: new Array(36).fill(0),
      },
      twist: { twist: { linear: zero, angular: { ...zero, y: 4 } }, covariance: new Array(36).fill(0) },
    }),
  );
  const cell = link.sensors.read();
  assert.ok(Math.abs(cell[SENSOR.stamp] - 49.97) < 1e-6);
  const [hip, knee, hipSpeed, kneeSpeed] = vectors(cell);
  assert.ok(Math.abs(hip + 0.2) < 1e-12);
  assert.deepEqual([knee, hipSpeed, kneeSpeed], [-1, -4, 3]);
});

test('several drivers on one topic: each joint has its own age and order, and the one furthest behind dates the whole', () => {
  const { map, link, send, counters, clock } = setUp();
  const hip = (time: number, value: number) =>
    send(time, { name: ['gripper', 'hip'], position: [7, value], velocity: [7, 2] }, 1);
  const knee = (time: number, value: number) =>
    send(time, { name: ['knee'], position: [value], velocity: [3] }, 2);
  const shown = () => sensorStates(map, counters, clock.times[MONOTONIC])[0];
  hip(1049.99, 0.5);
  assert.equal(link.sensors.read()[SENSOR.stamp], 0, 'the knee was not heard');
  assert.deepEqual([shown().behind, shown().age], ['knee', null]);
  knee(1049.9, -1);
  let cell = link.sensors.read();
  assert.ok(Math.abs(cell[SENSOR.stamp] - 49.9) < 1e-6);
  assert.deepEqual(vectors(cell), [0.5, -1, 2, 3]);
  knee(1049.92, -1.5);
  hip(1049.98, 9);
  cell = link.sensors.read();
  assert.deepEqual(
    vectors(cell),
    [0.5, -1.5, 2, 3],
    'older than the knee’s is not out of order, older than its own is',
  );
  assert.deepEqual(refused(counters), { decoded: 3, 'out of order': 1 });

  for (let i = 1; i <= 20; i++) {
    clock.move(50 + 0.01 * i);
    hip(1050 + 0.01 * i, i);
    cell = link.sensors.read();
  }
  assert.equal(cell[SENSOR.vectors], 20);
  assert.ok(Math.abs(cell[SENSOR.stamp] - 49.92) < 1e-6, 'a joint that its driver dropped grows old');
  assert.deepEqual([shown().behind, shown().contested.now], ['knee', false]);
});

test('a joint that the policy does not measure dates nothing', () => {
  const observation = legTask.observation.filter(({ joint }) => joint === 'hip');
  const { link, send } = setUp({}, { ...legTask, observation });
  send(1049.99, { name: ['hip'], position: [1], velocity: [1] });
  assert.ok(link.sensors.read()[SENSOR.stamp] > 0);
});

test('NaN from one of several drivers is let through when that is all that comes of its joint', () => {
  const { link, send, clock } = setUp();
  send(1050);
  for (let i = 1; i < 40; i++) {
    clock.move(50 + 0.002 * i);
    send(1050 + 0.002 * i, { name: ['hip'], position: [1], velocity: [1] }, 1);
    send(1050 + 0.002 * i, { name: ['knee'], position: [Number.NaN], velocity: [1] }, 2);
    link.sensors.read();
  }
  const [hip, knee] = vectors(link.sensors.read());
  assert.equal(hip, 1);
  assert.ok(Number.isNaN(knee));
});

test('two publishers of one joint are a fault while the policy acts; one that was started anew is not', () => {
  const hear = (change: object, mode: number, publishers: number[]) => {
    const { map, link, send, words, counters, clock } = setUp(change);
    words[WORD.mode] = mode;
    let now = 50;
    for (const publisher of publishers) {
      now += 0.1;
      clock.move(now);
      send(1000 + now, {}, publisher);
      link.sensors.read();
    }
    const said = contestedSensors(map, counters, now);
    assert.equal(contestedSensors(map, counters, now + 2).length, 0, 'it passes');
    return [FAULTS[words[WORD.trip]], said.length > 0];
  };
  assert.deepEqual(hear({}, MODE.policy, [1, 1, 1, 2, 2, 2]), ['none', false]);
  assert.deepEqual(hear({}, MODE.policy, [1, 2, 1]), ['second publisher', true]);
  assert.deepEqual(hear({}, MODE.policy, [1, 2, 3, 4, 1]), ['second publisher', true]);
  assert.deepEqual(hear({}, MODE.hold, [1, 2, 1]), ['none', true]);
  assert.deepEqual(hear({ otherPublishers: 'refuse' }, MODE.policy, [1, 2, 1]), ['none', true]);
  // Long after, it is a driver that was started anew under an old identity.
  assert.deepEqual(hear({}, MODE.policy, [1, ...new Array(11).fill(2), 1]), ['none', false]);

  // Its messages are refused, and it is there all the same.
  const { map, link, send, counters } = setUp();
  send(1050, {}, 1);
  send(1000, {}, 2);
  send(1050.001, {}, 1);
  link.sensors.read();
  assert.deepEqual(contestedSensors(map, counters, 50), [
    "joint 'knee' of joint_states has a second publisher (see: ros2 topic info -v joint_states)",
  ]);
});

test('a sensor is never of the future', () => {
  const { map, link, send, counters } = setUp();
  send(1050);
  link.sensors.read();
  assert.equal(sensorStates(map, counters, 49.999)[0].age, 0);
});

test('a simulated robot’s new start and end of an episode hold from the sensor message that they name', () => {
  const { link, send, episodes, clock } = setUp();
  const header = (time: number) => Uint8Array.from([...state(time).subarray(0, 12), 1, 0, 0, 0, 0]);
  const at = (time: number) => {
    clock.move(time - 1000);
    send(time);
    const cell = link.sensors.read();
    return [cell[SENSOR.resets], cell[SENSOR.terminal]];
  };
  assert.deepEqual(at(1050), [0, 0]);
  episodes.terminations.put(header(1050.02));
  assert.deepEqual(at(1050.01), [0, 0]);
  assert.deepEqual(at(1050.02), [0, 1]);
  episodes.resets.put(header(1050.04));
  assert.deepEqual(at(1050.03), [0, 1]);
  assert.deepEqual(at(1050.05), [1, 0]);
  assert.deepEqual(at(1050.06), [1, 0]);
});

test('a tick’s reading and writing leaves no garbage, whatever arrives', () => {
  const { link, clock, inbox, send } = setUp();
  const good = state(1050);
  const queue = [
    good,
    state(1050, { name: ['x', 'y'] }),
    state(1050, { name: ['knee', 'y'] }),
    state(1, { position: [Number.NaN, 1] }),
    good.subarray(0, 30),
  ];
  send(1050);
  link.sensors.read();
  const goodView = new DataView(good.buffer, good.byteOffset);
  const tick = (i: number) => {
    clock.times[MONOTONIC] += 1e-6;
    goodView.setUint32(8, i, true);
    for (let k = 0; k < queue.length; k++) inbox.put(queue[k], k);
    const cell = link.sensors.read();
    link.commands.writable[COMMAND.vectors] = cell[SENSOR.vectors];
    link.commands.publish();
  };
  assert.ok(garbage(tick, 100_000, 5000) < 2);
});

test('a message that was under way while the topics were read is counted as late', () => {
  const { link, send, clock } = setUp();
  send(1049.98);
  assert.equal(link.sensors.read()[SENSOR.late], 0);
  clock.move(50.002);
  send(1049.999);
  send(1050.001);
  assert.equal(link.sensors.read()[SENSOR.late], 1);
  clock.move(50.004);
  send(1050.003);
  assert.equal(link.sensors.read()[SENSOR.late], 1);
});
