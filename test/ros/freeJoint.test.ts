// A body that floats, over ROS: what the policy sees of a simulated Ant's or Humanoid's messages is what it saw in training.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loopWords } from '../../contract/loop.js';
import { SENSOR } from '../../contract/robot.js';
import { interfaceSchema, jointsOf, observe, type TaskInterface } from '../../contract/terms.js';
import { BodyDecoder } from '../../controller/ros/link/bodyDecoder.js';
import { checkMap } from '../../controller/ros/link/checkMap.js';
import { linkCounters } from '../../controller/ros/link/linkState.js';
import { Orientation } from '../../controller/ros/link/orientation.js';
import { DECODE } from '../../controller/ros/link/readMessages.js';
import { defaultRobotMap, type RobotMap, robotMapSchema } from '../../controller/ros/link/robotMap.js';
import { rosLink } from '../../controller/ros/link/rosLink.js';
import { bodyMessage, setFloat64 } from '../../controller/ros/link/writeMessages.js';
import type { RosNode } from '../../controller/ros/rcl/rcl.js';
import { RosClock } from '../../controller/ros/rcl/rosClock.js';
import { RobotSensorTopic } from '../../launch/robot/sensors.js';
import { Random } from '../../trainer/random.js';
import { Physics } from '../../trainer/sim/physics.js';
import { loadTask, taskInterface } from '../../trainer/sim/task.js';
import { MemoryInbox, MemoryOutbox } from './memoryTopics.js';

/** A robot's sensor topics and the controller's link that hears them. `hear` gives the cell after one round of messages. */
function connected(task: TaskInterface, map: RobotMap) {
  assert.deepEqual(checkMap(task, map), []);
  const inboxes = new Map(map.sensors.map(({ topic }) => [topic, new MemoryInbox()]));
  const node = {
    publisher: (topic: string) => ({
      topic,
      publish: (bytes: Uint8Array) => inboxes.get(topic)!.put(bytes.slice()),
    }),
  } as unknown as RosNode;
  const clock = new RosClock();
  const { sensors } = rosLink({
    task,
    map,
    topics: { sensors: [...inboxes.values()], commands: map.commands.map(() => new MemoryOutbox()) },
    rateHz: 500,
    words: loopWords(0),
    counters: linkCounters(map),
    clock,
  });
  const joints = jointsOf(task);
  const topics = map.sensors.map((sensor) => new RobotSensorTopic(node, sensor, joints));
  return (cell: Float64Array) => {
    clock.read();
    for (const topic of topics) topic.publish(cell, clock.stamp[0], clock.stamp[1]);
    return sensors.read();
  };
}

const shared = (task: TaskInterface) =>
  robotMapSchema.parse({
    commands: [
      { topic: 'c', type: 'std_msgs/Float64MultiArray', joints: task.action.map(({ joint }) => joint) },
    ],
    sensors: [
      {
        topic: 'joint_states',
        type: 'sensor_msgs/JointState',
        joints: jointsOf(task).filter((joint) => !joint.startsWith('root.')),
      },
      {
        topic: 'imu/data',
        type: 'sensor_msgs/Imu',
        joints: {
          ...Object.fromEntries(
            [...'wxyz'].map((axis) => [`root.q${axis}`, { position: `orientation.${axis}` }]),
          ),
          ...Object.fromEntries(
            [...'xyz'].map((axis) => [`root.w${axis}`, { velocity: `angularVelocity.${axis}` }]),
          ),
        },
      },
      {
        topic: 'odom',
        type: 'nav_msgs/Odometry',
        joints: {
          'root.x': { velocity: 'worldVelocity.x' },
          'root.y': { velocity: 'worldVelocity.y' },
          'root.z': { position: 'position.z', velocity: 'worldVelocity.z' },
        },
      },
    ],
  });

for (const name of ['ant', 'humanoid']) {
  for (const [how, mapOf] of [
    ['one Odometry', defaultRobotMap],
    ['Imu and Odometry', shared],
  ] as const) {
    test(`${name}: ${how} gives the observation of training`, async () => {
      const task = await loadTask(name);
      const physics = await Physics.create(task);
      const hear = connected(taskInterface(task), mapOf(taskInterface(task)));
      const joints = physics.joints.length;
      const terms = Int32Array.from(task.observation, ({ joint }) => physics.joints.indexOf(joint));
      const cell = new Float64Array(SENSOR.vectors + 2 * joints);
      const seen = new Float64Array(task.observation.length);
      const expected = new Float64Array(task.observation.length);
      const random = new Random(1);
      physics.reset(random);
      for (let step = 0; step < 50; step++) {
        physics.measure(cell, cell, SENSOR.vectors, SENSOR.vectors + joints);
        const measured = hear(cell).subarray(SENSOR.vectors);
        observe(task.observation, terms, measured, measured.subarray(joints), seen);
        physics.observe(expected);
        seen.forEach((value, i) => {
          const { kind, joint } = task.observation[i];
          assert.ok(
            Math.abs(value - expected[i]) < 1e-12,
            `step ${step}, ${kind} ${joint}: ${value}, not ${expected[i]}`,
          );
        });
        physics.actuate(task.action.map(({ limits: [low, high] }) => random.uniform(low, high)));
        physics.advance(task.frameSkip);
      }
      assert.ok(Math.abs(seen[1]) < 0.9999, 'the body never turned');
      physics.dispose();
    });
  }
}

test('a map by itself takes an Imu where that is enough, and a topic for each of several bodies', () => {
  const task = (joints: string[]) =>
    interfaceSchema.parse({
      task: 'floats',
      controlRate: 50,
      observation: joints.map((joint) => ({
        kind: /\.w|\.[xy]$/.test(joint) ? 'jointVelocity' : 'jointPosition',
        joint,
      })),
      action: [{ kind: 'effort', joint: 'fin', limits: [-1, 1] }],
      safety: {},
    });
  const sensors = (joints: string[]) => {
    const map = defaultRobotMap(task(joints));
    assert.deepEqual(checkMap(task(joints), map), []);
    return map.sensors.map(({ topic }) => topic);
  };
  assert.deepEqual(sensors(['hip', 'root.qx', 'root.wz']), ['joint_states', 'imu/data']);
  assert.deepEqual(sensors(['root.qx', 'root.x']), ['joint_states', 'odom']);
  assert.deepEqual(sensors(['ball.z', 'root.qx']), ['joint_states', 'ball/odom', 'root/imu/data']);

  // What nobody measures of an orientation is made up so that it is one.
  const partly = task(['root.qx', 'root.qz', 'root.wz']);
  const hear = connected(partly, defaultRobotMap(partly));
  const joints = jointsOf(partly);
  const cell = new Float64Array(SENSOR.vectors + 2 * joints.length);
  cell.set([0.6, -0.2], SENSOR.vectors);
  assert.deepEqual([...hear(cell).subarray(SENSOR.vectors, SENSOR.vectors + 2)], [0.6, -0.2]);
});

test("an Odometry's velocity is turned from the body's frame into the world's", () => {
  const decoder = new BodyDecoder('Odometry', ['worldVelocity.x', 'worldVelocity.y', 'worldVelocity.z']);
  const message = bodyMessage('Odometry');
  const half = Math.SQRT1_2;
  // The body looks along y: its x is the world's y.
  [0, 0, half, half].forEach((value, i) => void setFloat64(message, message.doubles, 3 + i, value));
  [1, 2, 3].forEach((value, i) => void setFloat64(message, message.doubles, 43 + i, value));
  assert.equal(decoder.decode(message.view, message.bytes.length), DECODE.decoded);
  [-2, 1, 3].forEach(
    (value, i) => void assert.ok(Math.abs(decoder.values[i] - value) < 1e-12, `${decoder.values}`),
  );
  setFloat64(message, message.doubles, 6, 0);
  assert.equal(decoder.decode(message.view, message.bytes.length), DECODE['no orientation']);
});

test("an orientation's sign goes on steadily whatever the sensor's does, and begins anew after a jump", () => {
  const orientation = new Orientation();
  const yaw = (angle: number, sign: number) => {
    orientation.sent.set([0, 0, sign * Math.sin(angle / 2), sign * Math.cos(angle / 2)]);
    orientation.follow();
    return orientation.quaternion[3];
  };
  // Two turns, by a sensor that always gives w >= 0, and by one that gives anything.
  for (const sign of [(w: number) => (w < 0 ? -1 : 1), (_: number, i: number) => (i % 3 === 0 ? -1 : 1)]) {
    for (let i = 0; i <= 120; i++) {
      const w = Math.cos(i * 0.05);
      assert.ok(Math.abs(yaw(i * 0.1, sign(w, i)) - w) < 1e-12, `${i}`);
    }
    assert.ok(yaw(12 - Math.PI, 1) > 0, 'a jump');
    yaw(Math.PI, 1);
  }
});
