// `sensor_msgs/msg/Imu` and `nav_msgs/msg/Odometry`, which measure a body: their numbers by name, and as they arrive.
import { CdrReader } from './cdr.js';
import { Orientation } from './orientation.js';
import { DECODE, readStamp, type SensorDecoder } from './readMessages.js';

/** How far a quaternion's squared length may be from 1. */
const UNIT = 0.05;

/** Numbers of a `sensor_msgs/msg/Imu` by name: their place among its doubles. */
export const IMU_FIELDS = {
  ...vector('angularVelocity', 13),
  ...vector('linearAcceleration', 25),
} as const;

/** The same for `nav_msgs/msg/Odometry`; its velocities are in the frame of the body (`child_frame_id`). */
export const ODOMETRY_FIELDS = {
  ...vector('position', 0),
  ...vector('linearVelocity', 43),
  ...vector('angularVelocity', 46),
} as const;

/** Not sent: the orientation's angle about an axis, rad in ±π, exact when the body turns about that axis alone. */
export const ROTATIONS = ['rotation.x', 'rotation.y', 'rotation.z'] as const;
/** The orientation itself, in its order; its sign goes on steadily from message to message (see `Orientation`). */
export const ORIENTATIONS = ['orientation.x', 'orientation.y', 'orientation.z', 'orientation.w'] as const;
/** Not sent: an Odometry's linear velocity, turned by its orientation from the body's frame into that of its position. */
export const WORLD_VELOCITIES = ['worldVelocity.x', 'worldVelocity.y', 'worldVelocity.z'] as const;

/** Every number of a message that measures a body, by name. */
export function bodyNumbers(type: BodyMessage): string[] {
  const { fields, linearVelocity } = BODY_LAYOUTS[type];
  const turned = linearVelocity < 0 ? [] : WORLD_VELOCITIES;
  return [...Object.keys(fields), ...ROTATIONS, ...ORIENTATIONS, ...turned];
}

function vector<Name extends string>(name: Name, start: number) {
  return { [`${name}.x`]: start, [`${name}.y`]: start + 1, [`${name}.z`]: start + 2 } as Record<
    `${Name}.${'x' | 'y' | 'z'}`,
    number
  >;
}

/**
 * What follows the stamp in messages that measure a body: so many strings, then doubles, of which four from
 * `orientation` on are a quaternion (x, y, z, w), three from `linearVelocity` on are that in the body's frame, and of an
 * Imu the one at `covariance` may say that there is no orientation; -1 where there is no such number.
 */
export const BODY_LAYOUTS = {
  Imu: { strings: 1, doubles: 37, orientation: 0, linearVelocity: -1, covariance: 4, fields: IMU_FIELDS },
  Odometry: {
    strings: 2,
    doubles: 85,
    orientation: 3,
    linearVelocity: 43,
    covariance: -1,
    fields: ODOMETRY_FIELDS,
  },
} as const;
export type BodyMessage = keyof typeof BODY_LAYOUTS;

/** What a value is read from. */
const FROM = { doubles: 0, rotation: 1, orientation: 2, worldVelocity: 3 } as const;

/** `Imu` or `Odometry`: `values` are the numbers that `wanted` names, in its order (see `bodyNumbers`). */
export class BodyDecoder implements SensorDecoder {
  readonly stamp = new Int32Array(2);
  readonly found = Uint8Array.of(1);
  readonly values: Float64Array;
  readonly #reader = new CdrReader();
  readonly #layout: (typeof BODY_LAYOUTS)[BodyMessage];
  /** For each value what it is read from, one of FROM, and its place there. */
  readonly #from: Uint8Array;
  readonly #places: Int32Array;
  readonly #orientation = new Orientation();
  readonly #worldVelocity = new Float64Array(3);
  readonly #rotates: boolean;
  readonly #turns: boolean;

  constructor(type: BodyMessage, wanted: readonly string[]) {
    this.#layout = BODY_LAYOUTS[type];
    const fields: Record<string, number> = this.#layout.fields;
    const sources = wanted.map((name): [from: number, place: number] => {
      if (name in fields) return [FROM.doubles, fields[name]];
      const [kind, axis] = name.split('.');
      return [FROM[kind as keyof typeof FROM], 'xyzw'.indexOf(axis)];
    });
    this.#from = Uint8Array.from(sources, ([from]) => from);
    this.#places = Int32Array.from(sources, ([, place]) => place);
    this.#rotates = this.#from.some((from) => from !== FROM.doubles);
    this.#turns = this.#from.includes(FROM.worldVelocity);
    this.values = new Float64Array(wanted.length);
  }

  decode(view: DataView, length: number): number {
    const reader = this.#reader;
    const { strings, doubles, linearVelocity } = this.#layout;
    reader.begin(view, length);
    readStamp(reader, this.stamp);
    for (let i = 0; i < strings; i++) reader.skipString();
    const start = reader.skip(8 * doubles, 8);
    if (start < 0 || !reader.ended) return DECODE.malformed;
    if (this.#rotates) {
      const wrong = this.#readOrientation(view, start);
      if (wrong !== DECODE.decoded) return wrong;
    }
    const orientation = this.#orientation;
    const worldVelocity = this.#worldVelocity;
    if (this.#turns) {
      for (let i = 0; i < 3; i++) {
        worldVelocity[i] = view.getFloat64(start + 8 * (linearVelocity + i), reader.littleEndian);
      }
      orientation.turn(worldVelocity);
    }
    let finite = true;
    for (let i = 0; i < this.#places.length; i++) {
      const place = this.#places[i];
      const from = this.#from[i];
      if (from === FROM.doubles) this.values[i] = view.getFloat64(start + 8 * place, reader.littleEndian);
      else if (from === FROM.rotation) this.values[i] = orientation.angle(place);
      else if (from === FROM.orientation) this.values[i] = orientation.quaternion[place];
      else this.values[i] = worldVelocity[place];
      if (!Number.isFinite(this.values[i])) finite = false;
    }
    return finite ? DECODE.decoded : DECODE['not finite'];
  }

  #readOrientation(view: DataView, start: number): number {
    const { orientation, covariance } = this.#layout;
    const { littleEndian } = this.#reader;
    const { sent } = this.#orientation;
    let square = 0;
    for (let i = 0; i < 4; i++) {
      sent[i] = view.getFloat64(start + 8 * (orientation + i), littleEndian);
      square += sent[i] * sent[i];
    }
    if (!Number.isFinite(square)) return DECODE['not finite'];
    // An Imu without a sense of orientation says so by -1; an unset quaternion is all zeros.
    if (covariance >= 0 && view.getFloat64(start + 8 * covariance, littleEndian) === -1) {
      return DECODE['no orientation'];
    }
    if (Math.abs(square - 1) > UNIT) return DECODE['no orientation'];
    this.#orientation.follow();
    return DECODE.decoded;
  }
}
