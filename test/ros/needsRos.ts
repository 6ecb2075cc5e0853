// Why a test that needs a ROS 2 is skipped, false where it is not: without one sourced, or without its Node.js client.
import { MESSAGE_PACKAGES } from '../../controller/ros/management/node.js';
import { rclnodejsProblem } from '../../controller/ros/management/rclnodejs.js';

export const noRos =
  process.env.AMENT_PREFIX_PATH && process.env.ROS_DISTRO ? false : 'needs a sourced ROS 2';
export const noRclnodejs = noRos || (rclnodejsProblem(MESSAGE_PACKAGES) ?? false);
