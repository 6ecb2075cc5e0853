// The loop's ROS link on topics in memory: what leaves for the robot, when, and what is offered and said of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS, WORD } from '../../contract/loop.js';
import { COMMAND } from '../../contract/robot.js';
import { MODE } from '../../controller/modes.js';
import { offeredQos } from '../../controller/ros/link/commandTopic.js';
import { commandStates } from '../../controller/ros/link/linkState.js';
import { MONOTONIC } from '../../controller/ros/rcl/rosClock.js';
import { deserialize } from './definitions.js';
import { setUp } from './memoryLink.js';
import { legTask } from './memoryTopics.js';

test('commands in every message; in damping and fault, no stiffness', () => {
  const { link, outboxes, clock } = setUp({
    commands: [
      {
        topic: 'gains',
        type: 'std_msgs/Float64MultiArray',
        joints: ['hip', 'knee'],
        gains: { stiffness: 40, damping: 1, safeDamping: 5 },
      },
      { topic: 'trajectory', type: 'trajectory_msgs/JointTrajectory', joints: ['hip', 'knee'] },
      { topic: 'state', type: 'sensor_msgs/JointState', joints: ['hip', 'knee'] },
      { topic: 'pid', type: 'control_msgs/MultiDOFCommand', joints: ['hip', 'knee'] },
    ],
  });
  const sent = () => {
    link.commands.publish();
    return [...deserialize('Float64MultiArray', outboxes[0].sent!).data];
  };
  link.commands.writable.set([0, MODE.policy, 0.5, -1]);
  assert.deepEqual(sent(), [0.5, -1, 40, 40, 1, 1]);
  const [point] = deserialize('JointTrajectory', outboxes[1].sent!).points;
  assert.deepEqual([...point.effort, point.time_from_start.nanosec], [0.5, -1, 2_000_000]);
  const { header, name, effort } = deserialize('JointState', outboxes[2].sent!);
  assert.deepEqual([header.stamp.sec, ...name, ...effort], [clock.stamp[0], 'hip', 'knee', 0.5, -1]);
  assert.deepEqual([...deserialize('MultiDOFCommand', outboxes[3].sent!).values], [0.5, -1]);
  for (const mode of [MODE.damping, MODE.fault]) {
    link.commands.writable.set([0, mode, 0, 0]);
    assert.deepEqual(sent(), [0, 0, 0, 0, 5, 5]);
  }
});

test('positions are not commanded before the robot was measured: nobody knows where it stands', () => {
  const action = legTask.action.map((term) => ({ ...term, kind: 'position' as const }));
  const { link, outbox, send } = setUp({}, { ...legTask, action });
  link.sensors.read();
  link.commands.writable.set([0, MODE.damping, 0, 0]);
  link.commands.publish();
  assert.equal(outbox.sent, undefined);
  send(1049.99);
  link.sensors.read();
  link.commands.writable.set([0, MODE.damping, 0.5, -1]);
  link.commands.publish();
  assert.deepEqual([...deserialize('Float64MultiArray', outbox.sent!).data], [-1, 0.5]);
});

test('the robot is offered a deadline and signs of life, by the rate or as the map says', () => {
  const offered = (rateHz: number, qos: object = {}) => {
    const { map } = setUp({
      commands: [{ topic: 'c', type: 'std_msgs/Float64MultiArray', joints: ['hip'], qos }],
    });
    const { deadline, liveliness, lease } = offeredQos(map.commands[0], rateHz);
    return [deadline, liveliness, lease];
  };
  assert.deepEqual(offered(1000), [0.05, 'manual', 0.1]);
  assert.deepEqual(offered(50), [0.2, 'manual', 0.4]);
  assert.deepEqual(offered(1000, { deadline: 0.02, lease: 3 }), [0.02, 'manual', 3]);
  assert.deepEqual(offered(1000, { deadline: 0, lease: 0 }), [undefined, undefined, undefined]);
});

test('commands that are not sent are counted, and a fault when that lasts while the policy acts', () => {
  const { map, link, clock, counters, words, outbox } = setUp();
  const publish = (seconds: number, mode: number) => {
    for (const end = clock.times[MONOTONIC] + seconds; clock.times[MONOTONIC] < end; ) {
      clock.move(clock.times[MONOTONIC] + 0.01);
      link.sensors.read();
      link.commands.writable[COMMAND.mode] = mode;
      link.commands.publish();
    }
    return FAULTS[words[WORD.trip]];
  };
  const shown = () => commandStates(map, counters, clock.times[MONOTONIC])[0];
  assert.deepEqual(shown(), { topic: 'commands', sent: 0, failed: 0, failing: false, listeners: null });
  assert.equal(publish(0.2, MODE.policy), 'none');
  outbox.works = false;
  outbox.matched = 0;
  assert.equal(publish(0.2, MODE.hold), 'none');
  outbox.works = true;
  assert.equal(publish(0.05, MODE.policy), 'none');
  outbox.works = false;
  assert.equal(publish(0.08, MODE.policy), 'none');
  assert.deepEqual([shown().failing, shown().listeners], [true, 0]);
  clock.move(clock.times[MONOTONIC] + 10);
  assert.equal(publish(0.08, MODE.policy), 'none', 'after a silence');
  assert.equal(publish(0.05, MODE.policy), 'commands not sent');
  outbox.works = true;
  publish(1.1, MODE.hold);
  assert.equal(shown().failing, false);
});
