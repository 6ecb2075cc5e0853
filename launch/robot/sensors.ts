// The simulated robot's sensor topics: what a robot map reads from them, put in the way the map says it is.
import { SENSOR } from '../../contract/robot.js';
import {
  BODY_LAYOUTS,
  ORIENTATIONS,
  ROTATIONS,
  WORLD_VELOCITIES,
} from '../../controller/ros/link/bodyDecoder.js';
import { Orientation } from '../../controller/ros/link/orientation.js';
import type { SensorTopic } from '../../controller/ros/link/robotMap.js';
import {
  bodyMessage,
  jointState,
  type OutgoingMessage,
  setFloat64,
  setStamp,
} from '../../controller/ros/link/writeMessages.js';
import type { RosNode } from '../../controller/ros/rcl/rcl.js';

/** A measurement as it is sent: `theirs = sign · (ours - offset)`. */
interface Measurement {
  /** Its place in the sensor cell. */
  source: number;
  sign: number;
  offset: number;
}

export class RobotSensorTopic {
  /** As it is after expansion and remapping. */
  readonly topic: string;
  readonly #publisher;
  readonly #message: OutgoingMessage;
  /** Measurements that are sent as they are, and where. */
  readonly #plain: (Measurement & { start: number; index: number })[];
  /** Angles about x, y and z that are sent as an orientation; empty when none are. */
  readonly #angles: (Measurement | undefined)[] = [];
  /** Place in the quaternion that takes what is left to unit length: components that nobody measures; -1 for none. */
  #rest = -1;
  /** Velocities along x, y and z that are sent turned into the body's frame; empty when none are. */
  readonly #worldVelocity: (Measurement | undefined)[] = [];
  /** Where the quaternion and the linear velocity of a body begin. */
  #quaternion = -1;
  #linearVelocity = -1;
  readonly #orientation = new Orientation();
  readonly #vector = new Float64Array(3);

  /** `joints` in the order of the sensor cell. */
  constructor(node: RosNode, sensor: SensorTopic, joints: readonly string[]) {
    const { topic, type, qos } = sensor;
    // Reliable writers reach readers of both kinds.
    this.#publisher = node.publisher(topic, type, { ...qos, reliability: 'reliable' });
    this.topic = this.#publisher.topic;
    const measurement = (joint: string, kind: 'position' | 'velocity', sign: number, offset: number) => ({
      source: SENSOR.vectors + joints.indexOf(joint) + (kind === 'velocity' ? joints.length : 0),
      sign,
      offset: kind === 'position' ? offset : 0,
    });
    if (sensor.type === 'sensor_msgs/msg/JointState') {
      const names = sensor.joints.map(({ name }) => name);
      const message = jointState(names, ['position', 'velocity']);
      this.#message = message;
      this.#plain = (['position', 'velocity'] as const).flatMap((kind) =>
        sensor.joints.map(({ joint, sign, offset }, index) => ({
          ...measurement(joint, kind, sign, offset),
          start: message[kind],
          index,
        })),
      );
      return;
    }
    const name = sensor.type === 'sensor_msgs/msg/Imu' ? 'Imu' : 'Odometry';
    const layout = BODY_LAYOUTS[name];
    const fields: Record<string, number> = layout.fields;
    const message = bodyMessage(name);
    this.#message = message;
    this.#plain = [];
    this.#quaternion = message.doubles + 8 * layout.orientation;
    this.#linearVelocity = message.doubles + 8 * layout.linearVelocity;
    const told = new Set<number>();
    for (const entry of sensor.joints) {
      for (const kind of ['position', 'velocity'] as const) {
        const field = entry[kind];
        if (field === undefined) continue;
        const one = measurement(entry.joint, kind, entry.sign, entry.offset);
        const start = message.doubles;
        const place = (names: readonly string[]) => names.indexOf(field);
        if (field in fields) this.#plain.push({ ...one, start, index: fields[field] });
        else if (place(ORIENTATIONS) >= 0) {
          this.#plain.push({ ...one, start: this.#quaternion, index: place(ORIENTATIONS) });
          told.add(place(ORIENTATIONS));
        } else if (place(ROTATIONS) >= 0) this.#angles[place(ROTATIONS)] = one;
        else this.#worldVelocity[place(WORLD_VELOCITIES)] = one;
      }
    }
    if (told.size > 0) this.#rest = [3, 0, 1, 2].find((component) => !told.has(component)) ?? -1;
  }

  /** Publishes a sensor cell, laid out as SENSOR says. */
  publish(cell: Float64Array, seconds: number, nanoseconds: number): void {
    const message = this.#message;
    setStamp(message, seconds, nanoseconds);
    if (this.#angles.length > 0) this.#orient(cell);
    for (const { source, sign, offset, start, index } of this.#plain) {
      setFloat64(message, start, index, sign * (cell[source] - offset));
    }
    if (this.#rest >= 0) this.#complete();
    if (this.#worldVelocity.length > 0) this.#turnVelocity(cell);
    this.#publisher.publish(message.bytes);
  }

  /** The orientation from which the controller reads these angles (see ROTATIONS); exact for one axis of rotation. */
  #orient(cell: Float64Array): void {
    const halves = [0, 1, 2].map((axis) => {
      const angle = this.#angles[axis];
      return angle ? Math.tan((angle.sign * (cell[angle.source] - angle.offset)) / 2) : 0;
    });
    const norm = Math.hypot(...halves, 1);
    for (const [axis, half] of halves.entries())
      setFloat64(this.#message, this.#quaternion, axis, half / norm);
    setFloat64(this.#message, this.#quaternion, 3, 1 / norm);
  }

  #complete(): void {
    setFloat64(this.#message, this.#quaternion, this.#rest, 0);
    const { sent } = this.#readOrientation();
    const left = 1 - sent.reduce((sum, component) => sum + component ** 2, 0);
    setFloat64(this.#message, this.#quaternion, this.#rest, Math.sqrt(Math.max(0, left)));
  }

  /** By the orientation that the message has by now. */
  #turnVelocity(cell: Float64Array): void {
    const vector = this.#vector;
    for (let axis = 0; axis < 3; axis++) {
      const velocity = this.#worldVelocity[axis];
      vector[axis] = velocity ? velocity.sign * cell[velocity.source] : 0;
    }
    this.#readOrientation().turn(vector, true);
    for (let axis = 0; axis < 3; axis++) setFloat64(this.#message, this.#linearVelocity, axis, vector[axis]);
  }

  #readOrientation(): Orientation {
    const { sent } = this.#orientation;
    for (let i = 0; i < 4; i++) sent[i] = this.#message.view.getFloat64(this.#quaternion + 8 * i, true);
    return this.#orientation;
  }
}
