// A robot that names, counts and sends everything its own way: the simulated one with a robot map, and the controller with
// the same map, two processes on a real ROS 2. The policy balances it all the same.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { temporaryDirectory } from '../fixtures/policy.js';
import { writeBalancingPolicy } from './balancingPolicy.js';
import { farsight } from './farsightProcess.js';
import { noRclnodejs } from './needsRos.js';
import { rosDomain } from './rosDomain.js';

process.env.ROS_DOMAIN_ID = rosDomain;

const BY_BODY = `
sensors:
  - topic: base/odometry
    type: nav_msgs/Odometry
    joints:
      slider: { position: position.x, velocity: linearVelocity.x, offset: 0.3 }
  - topic: pole/imu
    type: sensor_msgs/Imu
    joints:
      hinge: { position: rotation.y, velocity: angularVelocity.y, sign: -1, offset: 0.05 }
commands:
  - topic: cart_controller/joint_trajectory
    type: trajectory_msgs/JointTrajectory
    joints: { slider: { name: rail_joint, sign: -1 } }
`;
const BY_OTHER_NAMES = `
sensors:
  - topic: joint_states
    type: sensor_msgs/JointState
    joints:
      hinge: { name: pole_joint, offset: -0.4 }
      slider: { name: rail_joint, sign: -1 }
commands:
  - topic: effort_controller/reference
    type: TYPE
    joints: { slider: { name: rail_joint, sign: -1 } }
`;

describe('a robot with a map', { skip: noRclnodejs, timeout: 120_000 }, () => {
  for (const [what, map] of Object.entries({
    'measured by Odometry and Imu, driven by JointTrajectory': BY_BODY,
    'with other names, driven by MultiDOFCommand': BY_OTHER_NAMES.replace(
      'TYPE',
      'control_msgs/MultiDOFCommand',
    ),
    'with other names, driven by JointState': BY_OTHER_NAMES.replace('TYPE', 'sensor_msgs/JointState'),
  })) {
    it(what, async (t) => {
      const directory = temporaryDirectory();
      const [policy, robotMap] = [join(directory, 'policy.onnx'), join(directory, 'robot.yaml')];
      writeBalancingPolicy(policy);
      writeFileSync(robotMap, map);
      const noise = ['--set', 'positionNoise=0.0001'];
      const robot = farsight([], 'robot', '--task', 'inverted-pendulum', '--robot-map', robotMap, ...noise);
      t.after(() => robot.child.kill('SIGKILL'));
      await robot.says('commands:');
      const controller = farsight(
        [],
        ...['control', '--robot', 'ros2', '--policy', policy, '--rate', '500', '--robot-map', robotMap],
        ...['--duration', '2.5'],
      );
      t.after(() => controller.child.kill('SIGKILL'));
      const [code] = await once(controller.child, 'close');
      assert.equal(code, 0, controller.said.stderr);
      const { mode, ticks } = JSON.parse(controller.said.stdout);
      assert.equal(mode, 'policy');
      assert.ok(ticks > 1000);
      robot.child.kill('SIGINT');
      await once(robot.child, 'close');
      const { resets, refused, received } = JSON.parse(robot.said.stdout);
      assert.deepEqual({ resets, refused }, { resets: 0, refused: 0 }, robot.said.stderr);
      assert.ok(received > 1000);
    });
  }
});
