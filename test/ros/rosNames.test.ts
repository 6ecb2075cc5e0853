// The link's topics on a real ROS 2: under which names, and with whose quality of service.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FarsightError } from '../../contract/errors.js';
import { checkMap } from '../../controller/ros/link/checkMap.js';
import { offeredQos } from '../../controller/ros/link/commandTopic.js';
import { conflictStates } from '../../controller/ros/link/linkState.js';
import { loopNode } from '../../controller/ros/link/loopNode.js';
import { robotMapSchema } from '../../controller/ros/link/robotMap.js';
import { survey } from '../../controller/ros/link/survey.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';
import { map, open, until } from './linkedController.js';
import { legTask } from './memoryTopics.js';
import { noRos } from './needsRos.js';
import { rosDomain } from './rosDomain.js';

// Away from everybody else's.
process.env.ROS_DOMAIN_ID = rosDomain;

test('who asks for no deadline hears the commands, who asks for a longer one too; who asks for less is not served', {
  skip: noRos,
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
  skip: noRos,
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

test('names, namespaces and arguments that ROS refuses are one clear line', { skip: noRos }, () => {
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

test('the loop’s node reads and writes what people mean by the name of the other', { skip: noRos }, () => {
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
