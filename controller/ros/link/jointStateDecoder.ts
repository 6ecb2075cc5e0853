// `sensor_msgs/msg/JointState` as it arrives: the wanted joints, found by name wherever they stand in the message.
import { CdrReader } from './cdr.js';
import { DECODE, MOST_NAMES, readStamp, type SensorDecoder } from './readMessages.js';

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
