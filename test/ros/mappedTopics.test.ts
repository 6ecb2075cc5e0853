// A map read from both sides, in memory: what the simulated robot publishes by it is what the controller then measures, and
// what the controller commands is what the robot is then told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loopWords } from '../../contract/loop.js';
import { SENSOR } from '../../contract/robot.js';
import { interfaceSchema } from '../../contract/terms.js';
import { MODE } from '../../controller/modes.js';
import { checkMap } from '../../controller/ros/link/checkMap.js';
import { linkCounters } from '../../controller/ros/link/linkState.js';
import { robotMapSchema } from '../../controller/ros/link/robotMap.js';
import { rosLink } from '../../controller/ros/link/rosLink.js';
import type { RosNode } from '../../controller/ros/rcl/rcl.js';
import { RosClock } from '../../controller/ros/rcl/rosClock.js';
import { RobotCommandTopic } from '../../launch/robot/commands.js';
import { RobotSensorTopic } from '../../launch/robot/sensors.js';
import type { Task } from '../../trainer/sim/task.js';
import { MemoryInbox } from './memoryTopics.js';

const JOINTS = ['x', 'pitch', 'roll', 'hip', 'knee', 'wheel'];
const task = interfaceSchema.parse({
  task: 'walker',
  controlRate: 100,
  observation: JOINTS.flatMap((joint) => [
    { kind: 'jointPosition', joint },
    { kind: 'jointVelocity', joint },
  ]),
  action: [
    { kind: 'effort', joint: 'hip', limits: [-20, 20] },
    { kind: 'position', joint: 'knee', limits: [-3, 3] },
    { kind: 'velocity', joint: 'wheel', limits: [-9, 9] },
  ],
  safety: {},
});
const map = (commandTypes: string[]) =>
  robotMapSchema.parse({
    sensors: [
      {
        topic: 'odometry',
        type: 'nav_msgs/Odometry',
        joints: {
          x: { position: 'position.z', velocity: 'linearVelocity.y', sign: -1, offset: 0.7 },
          roll: { position: 'rotation.x', velocity: 'angularVelocity.x', offset: -0.2 },
        },
      },
      {
        topic: 'imu',
        type: 'sensor_msgs/Imu',
        joints: { pitch: { position: 'rotation.y', velocity: 'angularVelocity.z', sign: -1, offset: 0.1 } },
      },
      {
        topic: 'joint_states',
        type: 'sensor_msgs/JointState',
        joints: { wheel: { name: 'w' }, hip: { sign: -1, offset: 1 }, knee: { name: 'k', offset: -2 } },
      },
    ],
    commands: [
      { topic: 'knee', type: commandTypes[0], joints: { knee: { name: 'k', sign: -1, offset: 0.5 } } },
      { topic: 'hip', type: commandTypes[1], joints: { hip: { sign: -1, offset: 0.5 } } },
      { topic: 'wheel', type: commandTypes[2], joints: { wheel: { name: 'w' } } },
    ],
  });

/** A node whose topics are queues in memory. */
function memoryNode() {
  const queues = new Map<string, MemoryInbox>();
  const queue = (topic: string) => {
    if (!queues.has(topic)) queues.set(topic, new MemoryInbox());
    return queues.get(topic)!;
  };
  const node = {
    publisher: (topic: string) => ({
      topic,
      publish: (bytes: Uint8Array) => queue(topic).put(bytes.slice()),
    }),
    subscription: (topic: string) => queue(topic),
  } as unknown as RosNode;
  return { node, queue };
}

const KINDS = [
  'std_msgs/Float64MultiArray',
  'trajectory_msgs/JointTrajectory',
  'sensor_msgs/JointState',
  'control_msgs/MultiDOFCommand',
];
for (const turn of KINDS.keys()) {
  const types = [0, 1, 2].map((i) => KINDS[(turn + i) % KINDS.length]);
  test(`measured and commanded the same on both sides: ${types.join(', ')}`, () => {
    const robotMap = map(types);
    assert.deepEqual(checkMap(task, robotMap), []);
    const { node, queue } = memoryNode();
    const clock = new RosClock();
    const { sensors, commands } = rosLink({
      task,
      map: robotMap,
      topics: {
        sensors: robotMap.sensors.map(({ topic }) => queue(topic)),
        commands: robotMap.commands.map(({ topic }) => ({
          matched: 1,
          publish: (bytes) => {
            queue(topic).put(bytes.slice());
            return true;
          },
        })),
      },
      rateHz: 500,
      words: loopWords(0),
      counters: linkCounters(robotMap),
      clock,
    });

    // The robot's own order of joints is another than the policy's.
    const joints = [...JOINTS].reverse();
    const robotSensors = robotMap.sensors.map((sensor) => new RobotSensorTopic(node, sensor, joints));
    const position = (joint: string) => 0.3 * JOINTS.indexOf(joint) - 0.6;
    const velocity = (joint: string) => 1.5 - JOINTS.indexOf(joint);
    const cell = new Float64Array(SENSOR.vectors + 2 * joints.length);
    cell.set([...joints.map(position), ...joints.map(velocity)], SENSOR.vectors);
    clock.read();
    for (const sensor of robotSensors) sensor.publish(cell, clock.stamp[0], clock.stamp[1]);
    const measured = [...sensors.read().subarray(SENSOR.vectors)];
    assert.ok(sensors.heard);
    [...JOINTS.map(position), ...JOINTS.map(velocity)].forEach((value, i) => {
      assert.ok(
        Math.abs(measured[i] - value) < 1e-12,
        `${JOINTS[i % JOINTS.length]}: ${measured[i]}, not ${value}`,
      );
    });

    const robotCommands = robotMap.commands.map(
      (command) => new RobotCommandTopic(node, command, task as unknown as Task),
    );
    commands.writable.set([0, MODE.policy, 12, -1.5, 4]);
    commands.publish();
    const told = new Float64Array(3);
    for (const command of robotCommands) assert.ok(command.take(1, told), command.topic);
    assert.deepEqual([...told], [12, -1.5, 4]);
  });
}

test('a drive without stiffness damps', () => {
  const gains = { stiffness: 40, damping: 1, safeDamping: 3 };
  const robotMap = robotMapSchema.parse({
    sensors: [{ topic: 'joint_states', type: 'sensor_msgs/JointState', joints: JOINTS }],
    commands: [
      { topic: 'knee', type: 'std_msgs/Float64MultiArray', joints: ['knee'], gains },
      { topic: 'hip', type: 'std_msgs/Float64MultiArray', joints: ['hip'] },
      { topic: 'wheel', type: 'std_msgs/Float64MultiArray', joints: ['wheel'] },
    ],
  });
  const { node, queue } = memoryNode();
  const topics = {
    sensors: [queue('joint_states')],
    commands: robotMap.commands.map(({ topic }) => ({
      matched: 1,
      publish: (bytes: Uint8Array) => {
        queue(topic).put(bytes.slice());
        return true;
      },
    })),
  };
  const link = { task, map: robotMap, topics, rateHz: 500, words: loopWords(0) };
  const { commands } = rosLink({ ...link, counters: linkCounters(robotMap), clock: new RosClock() });
  const knee = new RobotCommandTopic(node, robotMap.commands[0], task as unknown as Task);
  for (const [mode, damps] of [
    [MODE.policy, false],
    [MODE.damping, true],
    [MODE.hold, false],
  ] as const) {
    commands.writable.set([0, mode, 0, 1.25, 0]);
    commands.publish();
    const told = new Float64Array(3);
    assert.ok(knee.take(1, told));
    assert.equal(told[1], 1.25);
    assert.equal(knee.damps, damps);
  }
});
