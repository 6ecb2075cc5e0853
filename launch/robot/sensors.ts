// The simulated robot's sensor topics: what a robot map reads from them, put in the way the map says it is.
import { SENSOR } from '../../contract/robot.js';
import type { RosNode } from '../../controller/ros/rcl.js';
import { BODY_LAYOUTS, ROTATIONS } from '../../controller/ros/readMessages.js';
import type { SensorTopic } from '../../controller/ros/robotMap.js';
import {
  bodyMessage,
  jointState,
  type OutgoingMessage,
  setFloat64,
  setStamp,
} from '../../controller/ros/writeMessages.js';

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
  /** Angles about x, y and z that are sent as an orientation, whose quaternion begins at `#orientation`. */
  readonly #angles: (Measurement | undefined)[] = [undefined, undefined, undefined];
  #orientation = -1;

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
    for (const entry of sensor.joints) {
      for (const kind of ['position', 'velocity'] as const) {
        const field = entry[kind];
        if (field === undefined) continue;
        const one = measurement(entry.joint, kind, entry.sign, entry.offset);
        if (field in fields) this.#plain.push({ ...one, start: message.doubles, index: fields[field] });
        else {
          this.#angles[ROTATIONS.indexOf(field as (typeof ROTATIONS)[number])] = one;
          this.#orientation = message.doubles + 8 * layout.orientation;
        }
      }
    }
  }

  /** Publishes a sensor cell, laid out as SENSOR says. */
  publish(cell: Float64Array, seconds: number, nanoseconds: number): void {
    const message = this.#message;
    setStamp(message, seconds, nanoseconds);
    for (const { source, sign, offset, start, index } of this.#plain) {
      setFloat64(message, start, index, sign * (cell[source] - offset));
    }
    if (this.#orientation >= 0) this.#orient(cell);
    this.#publisher.publish(message.bytes);
  }

  /** The orientation from which the controller reads these angles (see ROTATIONS); exact for one axis of rotation. */
  #orient(cell: Float64Array): void {
    const halves = this.#angles.map((angle) =>
      angle ? Math.tan((angle.sign * (cell[angle.source] - angle.offset)) / 2) : 0,
    );
    const norm = Math.hypot(...halves, 1);
    for (const [axis, half] of halves.entries())
      setFloat64(this.#message, this.#orientation, axis, half / norm);
    setFloat64(this.#message, this.#orientation, 3, 1 / norm);
  }
}
