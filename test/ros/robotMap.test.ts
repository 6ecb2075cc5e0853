// The robot map: what a person may write, what is said when it is wrong, and what keeps it from carrying a policy.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FarsightError } from '../../contract/errors.js';
import { interfaceSchema } from '../../contract/terms.js';
import { checkMap, type SeenTopics } from '../../controller/ros/link/checkMap.js';
import { defaultRobotMap, type RobotMap, readRobotMap } from '../../controller/ros/link/robotMap.js';
import { topicNameProblem } from '../../controller/ros/rcl/topicNames.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { legTask } from './memoryTopics.js';

const path = join(temporaryDirectory(), 'robot.yaml');
function read(text: string): RobotMap {
  writeFileSync(path, text);
  return readRobotMap(path);
}

const LEG = `
sensors:
  - topic: joint_states
    type: sensor_msgs/JointState
    joints:
      hip: { name: LF_HAA, sign: -1, offset: 0.1 }
      knee:
  - topic: imu
    type: sensor_msgs/msg/Imu
    stamp: arrival
    qos: { depth: 4 }
    joints:
      pitch: { position: rotation.y, velocity: angularVelocity.y }
commands:
  - topic: leg_controller/commands
    type: std_msgs/Float64MultiArray
    joints: [knee, hip]
emergencyStop: { topic: /stop, timeout: 0.5 }
`;
const bodied = interfaceSchema.parse({
  ...legTask,
  observation: [...legTask.observation, { kind: 'jointVelocity', joint: 'pitch' }],
});

test('a map as people write it', () => {
  const map = read(LEG);
  const [joints, imu] = map.sensors;
  assert.deepEqual(joints.joints, [
    { joint: 'hip', name: 'LF_HAA', sign: -1, offset: 0.1 },
    { joint: 'knee', name: 'knee', sign: 1, offset: 0 },
  ]);
  assert.deepEqual(joints.qos, { reliability: 'bestEffort', durability: 'volatile', depth: 32 });
  assert.deepEqual([imu.stamp, imu.qos.depth], ['arrival', 4]);
  assert.equal(map.commands[0].type, 'std_msgs/msg/Float64MultiArray');
  assert.deepEqual(checkMap(bodied, map), []);
});

test('the map of a robot with the usual names', () => {
  const map = defaultRobotMap(legTask);
  assert.deepEqual(checkMap(legTask, map), []);
  assert.equal(map.commands[0].topic, 'forward_command_controller/commands');
  const mixed = interfaceSchema.parse({
    ...legTask,
    action: [legTask.action[0], { ...legTask.action[1], kind: 'position' }],
  });
  assert.deepEqual(
    defaultRobotMap(mixed).commands.map(({ topic }) => topic),
    ['forward_effort_controller/commands', 'forward_position_controller/commands'],
  );
  assert.deepEqual(checkMap(mixed, defaultRobotMap(mixed)), []);
});

test('a map that is wrong is refused in one line that names every place', () => {
  const refused = (text: string, ...messages: RegExp[]) =>
    assert.throws(
      () => read(text),
      (error) => {
        assert.ok(error instanceof FarsightError && !error.message.includes('\n'), `${error}`);
        for (const message of [/robot\.yaml/, ...messages]) assert.match(error.message, message);
        return true;
      },
    );
  refused('sensors: [', /robot map/);
  refused('', /object/);
  refused('sensors: []\ncommands: []\nsesnors: 1', /sensors: /, /commands: /, /sesnors/);
  refused(
    LEG.replace('rotation.y', 'rotation.w').replace('depth: 4', 'depth: 0').replace('sign: -1', 'sign: 2'),
    /sensors\.0\.joints\.hip\.sign/,
    /sensors\.1\.joints\.pitch\.position/,
    /sensors\.1\.qos\.depth/,
  );
  refused(LEG.replace('std_msgs/Float64MultiArray', 'std_msgs/String'), /commands\.0\.type/);
  refused(
    LEG.replace('[knee, hip]', '[knee, knee]'),
    /commands\.0\.joints: must be a list of different joints/,
  );
  refused(
    LEG.replace('joint_states', '"joint states"'),
    /sensors\.0\.topic: 'joint states' is not the name of a ROS topic: ' ' is not a letter/,
  );
  assert.throws(() => readRobotMap(`${path}.absent`), /robot map .*absent.*ENOENT/);
});

test('names of topics are those that ROS takes', () => {
  for (const name of ['a', '/a/b', '_a', '~', '~/a', '{node}/a', '{ns}/a1', 'a'.repeat(247)])
    assert.equal(topicNameProblem(name), undefined, name);
  for (const name of [
    ...[
      '',
      '/',
      'a/',
      'a__b',
      'a//b',
      '1a',
      'a/1b',
      '~a',
      'a~',
      'a/~',
      'a-b',
      'ä',
      '{nod}/a',
      '{node',
      'a}',
      '{{node}}',
    ],
    'a'.repeat(248),
  ])
    assert.notEqual(topicNameProblem(name), undefined, name);
});

test('entries of a map that get in each other’s way are refused', () => {
  const wrong = (text: string, seen?: SeenTopics) => checkMap(bodied, read(text), seen);
  assert.deepEqual(wrong(LEG.replace('      knee:\n', '      knee: { name: LF_HAA }\n')), [
    "joints 'hip' and 'knee' are both read from 'LF_HAA' of topic joint_states",
  ]);
  const named = LEG.replace('std_msgs/Float64MultiArray', 'trajectory_msgs/JointTrajectory');
  assert.deepEqual(wrong(named.replace('[knee, hip]', '{ knee: { name: a }, hip: { name: a } }')), [
    "joints 'knee' and 'hip' are both commanded as 'a' of topic leg_controller/commands",
  ]);
  assert.deepEqual(
    wrong(
      LEG.replace('[knee, hip]', '[knee]').replace(
        'emergencyStop',
        `  - topic: leg_controller/commands
    type: std_msgs/Float64MultiArray
    joints: [hip]
emergencyStop`,
      ),
    ),
    [
      'topic leg_controller/commands has two entries: a std_msgs/msg/Float64MultiArray takes all its joints in one',
    ],
  );
  assert.deepEqual(wrong(LEG.replace('leg_controller/commands', 'joint_states')), [
    "topic joint_states is a sensor's and a command's: the policy would hear itself",
  ]);
  assert.deepEqual(wrong(LEG.replace('/stop', 'imu')), ["topic imu is the emergency stop's and a sensor's"]);
  assert.deepEqual(wrong(LEG.replace('/stop', 'leg_controller/commands')), [
    "topic leg_controller/commands is the emergency stop's and a command's",
  ]);
  // By the names that they have on the network.
  const there = (topic: string) => ({ topic, types: [], matched: 1 });
  assert.deepEqual(
    wrong(LEG, { sensors: [there('/a'), there('/imu')], commands: [there('/a')], emergencyStop: '/imu' }),
    [
      "topic /a is a sensor's and a command's: the policy would hear itself",
      "topic /imu is the emergency stop's and a sensor's",
    ],
  );
});

test('every mismatch with the policy is listed at once', () => {
  const map = read(
    LEG.replace('      knee:\n', '      shin:\n')
      .replace('velocity: angularVelocity.y', '')
      .replace('joints: [knee, hip]', 'joints: [hip, toe]'),
  );
  assert.deepEqual(checkMap(bodied, map), [
    "topic joint_states: joint 'shin' is not one of the policy's (hip, knee, pitch)",
    "no topic carries the position of joint 'knee'",
    "no topic carries the velocity of joint 'knee'",
    "no topic carries the velocity of joint 'pitch'",
    "no topic carries the command of joint 'knee'",
    "topic leg_controller/commands: the policy does not command joint 'toe'",
  ]);
  const twice = read(
    `${LEG}\n`
      .replace('pitch:', 'hip:')
      .replace(
        'emergencyStop',
        '  - { topic: b, type: std_msgs/Float64MultiArray, joints: [hip] }\nemergencyStop',
      ),
  );
  assert.deepEqual(checkMap(legTask, twice), [
    "the position of joint 'hip' comes from joint_states and imu",
    "the velocity of joint 'hip' comes from joint_states and imu",
    "the command of joint 'hip' goes to 2 places",
  ]);
  const gains = read(
    LEG.replace(
      'joints: [knee, hip]',
      'joints: [knee, hip]\n    gains: { stiffness: 1, damping: 1, safeDamping: 1 }',
    ),
  );
  assert.deepEqual(checkMap(bodied, gains), [
    'topic leg_controller/commands: gains go with positions in a std_msgs/msg/Float64MultiArray',
  ]);
});
