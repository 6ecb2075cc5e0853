// The loop's own node gets the ROS arguments that people wrote for the node that they know: by lists of arguments.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FarsightError } from '../../contract/errors.js';
import { loopNode } from '../../controller/ros/link/loopNode.js';
import type { Qos } from '../../controller/ros/rcl/qos.js';
import { overriddenQos } from '../../controller/ros/rcl/qosOverrides.js';

const rules = (...given: string[]) => {
  const {
    name,
    onBehalfOf,
    arguments: kept,
  } = loopNode('ctl', ['--ros-args', ...given.flatMap((rule) => ['-r', rule])]);
  assert.equal(name, `${onBehalfOf}_loop`);
  assert.equal(kept![0], '--ros-args');
  return [onBehalfOf, ...kept!.slice(1).filter((text) => text !== '-r')];
};

test('rules for the node that people know hold for the loop’s', () => {
  for (const [given, ...kept] of [
    ['js:=a', 'js:=a'],
    ['ctl:js:=a', 'js:=a'],
    ['other:js:=a', 'other:js:=a'],
    ['~/x:=y', 'ctl/x:=y'],
    ['x:=~/y', 'x:=ctl/y'],
    ['ctl:~/x:=/z/{node}', 'ctl/x:=/z/ctl'],
    ['rostopic://~/x:=y', 'rostopic://ctl/x:=y'],
    ['ctl:rostopic://x:=y', 'rostopic://x:=y'],
    ['__ns:=/lab', '__ns:=/lab'],
    ['ctl:__ns:=/lab', '__ns:=/lab'],
    ['nonsense', 'nonsense'],
  ])
    assert.deepEqual(rules(given), ['ctl', ...kept], given);
});

test('a renamed node is known by its new name', () => {
  assert.deepEqual(rules('__node:=arm', '~/x:=y', 'arm:js:=a'), ['arm', 'arm/x:=y', 'js:=a']);
  assert.deepEqual(rules('ctl:__name:=arm', 'ctl:js:=a'), ['arm', 'ctl:js:=a']);
  assert.deepEqual(rules('other:__node:=arm'), ['ctl', 'other:__node:=arm']);
  assert.deepEqual(rules('__node:=first', '__node:=second'), ['first']);
});

test('other arguments stay as they are, and parameters give the QoS alone', () => {
  const given = [
    '--ros-args',
    '--remap',
    '__node:=arm',
    '-p',
    'rate:=5.0',
    '--params-file',
    'f',
    '--log-level',
    'warn',
  ];
  const { arguments: kept, qosOverrides } = loopNode('ctl', given, {
    rate: 5,
    'qos_overrides./a.publisher.depth': 3,
  });
  assert.deepEqual(kept, ['--ros-args', '-p', 'rate:=5.0', '--params-file', 'f', '--log-level', 'warn']);
  assert.deepEqual(qosOverrides, { 'qos_overrides./a.publisher.depth': 3 });
});

const QOS: Qos = { reliability: 'bestEffort', durability: 'volatile', depth: 32 };
const overridden = (of: Record<string, string | number | boolean>) =>
  overriddenQos(
    QOS,
    '/joint_states',
    'subscription',
    Object.fromEntries(
      Object.entries(of).map(([name, value]) => [`qos_overrides./joint_states.${name}`, value]),
    ),
  );

test('QoS parameters of a topic override what the map says of it', () => {
  assert.equal(overridden({}), QOS);
  assert.deepEqual(
    overridden({
      'subscription.reliability': 'reliable',
      'subscription.durability': 'transient_local',
      'subscription.history': 'keep_last',
      'subscription.depth': 5,
      'subscription.deadline': 20_000_000,
      'subscription.liveliness': 'manual_by_topic',
      'subscription.liveliness_lease_duration': 2 ** 63,
      'publisher.depth': 9,
      'subscription_other.depth': 9,
    }),
    {
      reliability: 'reliable',
      durability: 'transientLocal',
      depth: 5,
      deadline: 0.02,
      liveliness: 'manual',
      lease: undefined,
    },
  );
  assert.equal(overriddenQos(QOS, '/joint', 'subscription', { 'qos_overrides./joint_states.x': 1 }), QOS);
});

test('QoS parameters that are none are refused in words', () => {
  const refused = (name: string, value: string | number, message: RegExp) =>
    assert.throws(
      () => overridden({ [name]: value }),
      (error) => error instanceof FarsightError && message.test(error.message),
    );
  refused('subscription.reliability', 'best', /reliability is 'best': it wants one of reliable, best_effort/);
  refused('subscription.history', 'keep_all', /it wants keep_last/);
  refused('subscription.depth', 0, /a whole number from 1 to 256/);
  refused('subscription.deadline', 'soon', /nanoseconds/);
  refused('subscription.lifespan', 5, /lifespan is none of reliability, durability,/);
  refused('subscriber.depth', 5, /would be qos_overrides.\/joint_states.subscription.<policy>/);
});
