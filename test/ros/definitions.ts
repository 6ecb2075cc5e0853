// The definitions of the ROS messages that Farsight speaks, for a second opinion on our codec.
import { parse } from '@foxglove/rosmsg';
import { MessageReader, MessageWriter } from '@foxglove/rosmsg2-serialization';

const TIME = 'MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec';
const DURATION = 'MSG: builtin_interfaces/Duration\nint32 sec\nuint32 nanosec';
const HEADER = `MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n===\n${TIME}`;
const VECTOR = 'MSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z';
const POINT = 'MSG: geometry_msgs/Point\nfloat64 x\nfloat64 y\nfloat64 z';
const QUATERNION = 'MSG: geometry_msgs/Quaternion\nfloat64 x\nfloat64 y\nfloat64 z\nfloat64 w';

const DEFINITIONS = {
  JointState:
    'std_msgs/Header header\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort\n===\n' +
    HEADER,
  Imu: `std_msgs/Header header\ngeometry_msgs/Quaternion orientation\nfloat64[9] orientation_covariance
geometry_msgs/Vector3 angular_velocity\nfloat64[9] angular_velocity_covariance
geometry_msgs/Vector3 linear_acceleration\nfloat64[9] linear_acceleration_covariance
===\n${HEADER}\n===\n${QUATERNION}\n===\n${VECTOR}`,
  Odometry: `std_msgs/Header header\nstring child_frame_id\ngeometry_msgs/PoseWithCovariance pose
geometry_msgs/TwistWithCovariance twist
===\nMSG: geometry_msgs/PoseWithCovariance\ngeometry_msgs/Pose pose\nfloat64[36] covariance
===\nMSG: geometry_msgs/Pose\ngeometry_msgs/Point position\ngeometry_msgs/Quaternion orientation
===\nMSG: geometry_msgs/TwistWithCovariance\ngeometry_msgs/Twist twist\nfloat64[36] covariance
===\nMSG: geometry_msgs/Twist\ngeometry_msgs/Vector3 linear\ngeometry_msgs/Vector3 angular
===\n${HEADER}\n===\n${QUATERNION}\n===\n${VECTOR}\n===\n${POINT}`,
  Float64MultiArray: `std_msgs/MultiArrayLayout layout\nfloat64[] data
===\nMSG: std_msgs/MultiArrayLayout\nstd_msgs/MultiArrayDimension[] dim\nuint32 data_offset
===\nMSG: std_msgs/MultiArrayDimension\nstring label\nuint32 size\nuint32 stride`,
  JointTrajectory: `std_msgs/Header header\nstring[] joint_names\ntrajectory_msgs/JointTrajectoryPoint[] points
===\nMSG: trajectory_msgs/JointTrajectoryPoint\nfloat64[] positions\nfloat64[] velocities\nfloat64[] accelerations
float64[] effort\nbuiltin_interfaces/Duration time_from_start\n===\n${DURATION}\n===\n${HEADER}`,
  MultiDOFCommand: 'string[] dof_names\nfloat64[] values\nfloat64[] values_dot',
  Bool: 'bool data',
};
type Name = keyof typeof DEFINITIONS;

export function serialize(name: Name, message: unknown): Uint8Array {
  return new MessageWriter(parse(DEFINITIONS[name], { ros2: true })).writeMessage(message);
}

// biome-ignore lint/suspicious/noExplicitAny: a message of any type
export function deserialize(name: Name, bytes: Uint8Array): any {
  return new MessageReader(parse(DEFINITIONS[name], { ros2: true })).readMessage(bytes);
}
