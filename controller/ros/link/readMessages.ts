// Messages that arrive: decoders made once for what is wanted of them, which then allocate nothing and trust nothing.
import { CdrReader } from './cdr.js';
import { Orientation } from './orientation.js';

/** What can be wrong with a message, beside its stamp; index 0 is nothing, and 1 is nothing either: it is about others. */
export const DECODED = [
  'decoded',
  'other joints',
  'malformed',
  'wrong names',
  'wrong size',
  'not finite',
  'no orientation',
] as const;
/** Index of each in DECODED. */
export const DECODE = Object.fromEntries(DECODED.map((name, i) => [name, i])) as Record<
  (typeof DECODED)[number],
  number
>;

/** More joints than any robot has; a message that names more is refused before it costs time. */
const MOST_NAMES = 1024;
/** How far a quaternion's squared length may be from 1. */
const UNIT = 0.05;

/**
 * Decodes one type of message. `decode` returns an index in DECODED; `stamp` and `values` then hold what was read when
 * that is 0, and anything otherwise.
 */
export interface Decoder {
  /** Seconds and nanoseconds of the header's stamp. */
  readonly stamp: Int32Array;
  readonly values: Float64Array;
  decode(view: DataView, length: number): number;
}

/** Of a sensor: what comes together is a part of its topic, each joint of a JointState or the whole of another type. */
export interface SensorDecoder extends Decoder {
  /** 1 for each part that the message has; only their values are its own. Unknown when it is malformed. */
  readonly found: Uint8Array;
}

/** Reads a stamp (int32 seconds, uint32 nanoseconds) into `stamp`. */
function readStamp(reader: CdrReader, stamp: Int32Array): void {
  stamp[0] = reader.int32();
  stamp[1] = reader.int32();
  if (stamp[1] < 0 || stamp[1] >= 1e9) reader.ok = false;
}

/** Which of a joint's numbers a `JointStateDecoder` must find. */
export interface WantedJoint {
  name: string;
  position: boolean;
  velocity: boolean;
  effort: boolean;
}

/**
 * `sensor_msgs/msg/JointState`: finds the wanted joints by name, wherever they stand in the message. `values` holds
 * positions, velocities and efforts `[3 n]` in the order wanted; a vector that the message does not have is NaN there,
 * and it is refused when a joint that it names wants it. Joints that nobody wants are passed over.
 */
export class JointStateDecoder implements SensorDecoder {
  readonly stamp = new Int32Array(2);
  readonly values: Float64Array;
  readonly #reader = new CdrReader();
  readonly #names: Uint8Array[];
  /** For each name in the message, the wanted joint, or -1: as it was in the message before, which is tried first. */
  readonly #wanted = new Int16Array(MOST_NAMES).fill(-1);
  readonly found: Uint8Array;
  /** Names of wanted joints that a message must have. */
  readonly #least: number;
  /** For position, velocity and effort: 1 for each joint that must have it. */
  readonly #needed: Uint8Array[];

  /** `some`: a message of some of the joints is one too; of none, it is about `other joints`. */
  constructor(joints: readonly WantedJoint[], wants: 'all' | 'some' = 'all') {
    const encoder = new TextEncoder();
    this.#names = joints.map(({ name }) => encoder.encode(name));
    this.found = new Uint8Array(joints.length);
    this.#least = wants === 'all' ? joints.length : 0;
    this.values = new Float64Array(3 * joints.length);
    this.#needed = (['position', 'velocity', 'effort'] as const).map((field) =>
      Uint8Array.from(joints, (joint) => (joint[field] ? 1 : 0)),
    );
  }

  decode(view: DataView, length: number): number {
    const reader = this.#reader;
    reader.begin(view, length);
    readStamp(reader, this.stamp);
    reader.skipString();
    const names = reader.int32();
    if (names < 0 || names > MOST_NAMES) return DECODE.malformed;
    const matched = this.#matchNames(view, names);
    if (!reader.ok) return DECODE.malformed;
    if (matched < this.#least) return DECODE['wrong names'];
    if (matched === 0) return DECODE['other joints'];

    const joints = this.#names.length;
    let wrongSize = false;
    let notFinite = false;
    for (let field = 0; field < 3; field++) {
      const needed = this.#needed[field];
      const count = reader.skipFloat64Sequence();
      if (!reader.ok) return DECODE.malformed;
      if (count !== names) {
        if (count !== 0) wrongSize = true;
        for (let joint = 0; joint < joints; joint++) {
          if (this.found[joint] === 0) continue;
          this.values[field * joints + joint] = Number.NaN;
          if (needed[joint] === 1) wrongSize = true;
        }
        continue;
      }
      const start = reader.sequenceStart;
      for (let i = 0; i < names; i++) {
        const joint = this.#wanted[i];
        if (joint < 0) continue;
        const slot = field * joints + joint;
        this.values[slot] = view.getFloat64(start + 8 * i, reader.littleEndian);
        if (needed[joint] === 1 && !Number.isFinite(this.values[slot])) notFinite = true;
      }
    }
    if (!reader.ended) return DECODE.malformed;
    if (wrongSize) return DECODE['wrong size'];
    return notFinite ? DECODE['not finite'] : DECODE.decoded;
  }

  /** Sets `#wanted` and `found` from the message's names; returns how many are wanted, -1 when one is there twice. */
  #matchNames(view: DataView, count: number): number {
    const reader = this.#reader;
    const names = this.#names;
    let matched = 0;
    let twice = false;
    this.found.fill(0);
    for (let i = 0; i < count && reader.ok; i++) {
      const start = reader.skipString();
      if (start < 0) break;
      const size = reader.stringLength;
      let joint = this.#wanted[i];
      if (joint < 0 || !equals(view, start, size, names[joint])) {
        joint = names.length - 1;
        while (joint >= 0 && !equals(view, start, size, names[joint])) joint--;
        this.#wanted[i] = joint;
      }
      if (joint < 0) continue;
      if (this.found[joint] === 1) twice = true;
      this.found[joint] = 1;
      matched++;
    }
    return twice ? -1 : matched;
  }
}

/** The joints that a `sensor_msgs/msg/JointState` names; undefined when it is malformed. For people: it allocates. */
export function readJointNames(view: DataView, length: number): string[] | undefined {
  const reader = new CdrReader();
  reader.begin(view, length);
  reader.skip(8, 4);
  reader.skipString();
  const count = reader.int32();
  const names: string[] = [];
  for (let i = 0; i < count && i < MOST_NAMES; i++) {
    const start = reader.skipString();
    if (start < 0) return undefined;
    names.push(
      new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + start, reader.stringLength)),
    );
  }
  return reader.ok ? names : undefined;
}

function equals(view: DataView, start: number, size: number, name: Uint8Array): boolean {
  if (size !== name.length) return false;
  for (let i = 0; i < size; i++) if (view.getUint8(start + i) !== name[i]) return false;
  return true;
}

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

/** `std_msgs/msg/Float64MultiArray` of exactly `length` finite numbers; its `stamp` stays 0. */
export class Float64MultiArrayDecoder implements Decoder {
  readonly stamp = new Int32Array(2);
  readonly values: Float64Array;
  readonly #reader = new CdrReader();

  constructor(length: number) {
    this.values = new Float64Array(length);
  }

  decode(view: DataView, length: number): number {
    const reader = this.#reader;
    reader.begin(view, length);
    const dimensions = reader.int32();
    if (dimensions < 0 || dimensions > MOST_NAMES) return DECODE.malformed;
    for (let i = 0; i < dimensions && reader.ok; i++) {
      reader.skipString();
      reader.skip(8, 4);
    }
    const offset = reader.int32();
    const count = reader.skipFloat64Sequence();
    if (!reader.ended) return DECODE.malformed;
    if (offset !== 0 || count !== this.values.length) return DECODE['wrong size'];
    let finite = true;
    for (let i = 0; i < count; i++) {
      this.values[i] = view.getFloat64(reader.sequenceStart + 8 * i, reader.littleEndian);
      if (!Number.isFinite(this.values[i])) finite = false;
    }
    return finite ? DECODE.decoded : DECODE['not finite'];
  }
}

/** `std_msgs/msg/Bool`: 0 or 1, or -1 when the message is anything else. */
export function readBool(view: DataView, length: number): number {
  if (length < 5 || length > 12 || view.getUint8(0) !== 0 || view.getUint8(1) > 1) return -1;
  const value = view.getUint8(4);
  return value <= 1 ? value : -1;
}
