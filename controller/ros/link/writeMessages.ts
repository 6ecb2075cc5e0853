// Messages that leave: each is laid out once, and its stamp and numbers are then replaced in place.

import { BODY_LAYOUTS, type BodyMessage } from './bodyDecoder.js';
import { CdrWriter } from './cdr.js';

/**
 * A message as its bytes, CDR header included. Beside them stand the positions of what changes: `stamp` of the header's
 * stamp, the others of the first double of a vector; -1 where the message has none.
 */
export interface OutgoingMessage {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  stamp: number;
}
export interface JointVectors {
  position: number;
  velocity: number;
  effort: number;
}
export type JointField = keyof JointVectors;

function outgoing(writer: CdrWriter, stamp: number): OutgoingMessage {
  const bytes = writer.bytes();
  return { bytes, view: new DataView(bytes.buffer), stamp };
}

function header(writer: CdrWriter, frame: string): number {
  const stamp = writer.reserve(8, 4);
  writer.string(frame);
  return stamp;
}

/** `std_msgs/msg/Float64MultiArray` of `length` numbers, its layout empty, as ros2_control's controllers take it. */
export function float64MultiArray(length: number): OutgoingMessage & { data: number } {
  const writer = new CdrWriter();
  writer.uint32(0);
  writer.uint32(0);
  const data = writer.float64Sequence(length);
  return { ...outgoing(writer, -1), data };
}

/** `sensor_msgs/msg/JointState` of the joints `names`, with those of its vectors that `fields` lists. */
export function jointState(
  names: readonly string[],
  fields: readonly JointField[],
): OutgoingMessage & JointVectors {
  const writer = new CdrWriter();
  const stamp = header(writer, '');
  writer.strings(names);
  const vector = (field: JointField) => writer.float64Sequence(fields.includes(field) ? names.length : 0);
  const vectors = { position: vector('position'), velocity: vector('velocity'), effort: vector('effort') };
  return { ...outgoing(writer, stamp), ...vectors };
}

/**
 * `trajectory_msgs/msg/JointTrajectory` of one point for the joints `names`, with the vector `field`, to be reached
 * `seconds` after it arrives (a stamp of 0 means that).
 */
export function jointTrajectory(
  names: readonly string[],
  field: JointField,
  seconds: number,
): OutgoingMessage & JointVectors {
  const writer = new CdrWriter();
  const stamp = header(writer, '');
  writer.strings(names);
  writer.uint32(1);
  const vector = (of: JointField) => writer.float64Sequence(of === field ? names.length : 0);
  const position = vector('position');
  const velocity = vector('velocity');
  writer.float64Sequence(0);
  const effort = vector('effort');
  writer.uint32(Math.floor(seconds));
  writer.uint32(Math.round((seconds % 1) * 1e9));
  return { ...outgoing(writer, stamp), position, velocity, effort };
}

/** `control_msgs/msg/MultiDOFCommand` (ros2_control's pid_controller): a reference for each of `names`. */
export function multiDofCommand(names: readonly string[]): OutgoingMessage & { data: number } {
  const writer = new CdrWriter();
  writer.strings(names);
  const data = writer.float64Sequence(names.length);
  writer.float64Sequence(0);
  return { ...outgoing(writer, -1), data };
}

/**
 * `sensor_msgs/msg/Imu` or `nav_msgs/msg/Odometry` of a body that is upright, at zero and still: its numbers begin at
 * `doubles`, in the order of BODY_LAYOUTS.
 */
export function bodyMessage(type: BodyMessage): OutgoingMessage & { doubles: number } {
  const { strings, doubles: count, orientation } = BODY_LAYOUTS[type];
  const writer = new CdrWriter();
  const stamp = writer.reserve(8, 4);
  for (let i = 0; i < strings; i++) writer.string('');
  const doubles = writer.reserve(8 * count, 8);
  const message = outgoing(writer, stamp);
  setFloat64(message, doubles, orientation + 3, 1);
  return { ...message, doubles };
}

/** `std_msgs/msg/Bool`. */
export function boolMessage(value: boolean): OutgoingMessage {
  const writer = new CdrWriter();
  writer.reserve(1, 1);
  const message = outgoing(writer, -1);
  message.bytes[4] = value ? 1 : 0;
  return message;
}

/** Sets a message's stamp: whole seconds and the nanoseconds beside them. */
export function setStamp(message: OutgoingMessage, seconds: number, nanoseconds: number): void {
  message.view.setInt32(message.stamp, seconds, true);
  message.view.setUint32(message.stamp + 4, nanoseconds, true);
}

/** Sets the double `index` of the vector that begins at `start`. */
export function setFloat64(message: OutgoingMessage, start: number, index: number, value: number): void {
  message.view.setFloat64(start + 8 * index, value, true);
}
