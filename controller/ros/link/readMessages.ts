// Messages that arrive: what all decoders share, made once, allocating nothing then and trusting nothing; the plain ones.
import { CdrReader } from './cdr.js';

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
export const MOST_NAMES = 1024;

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
export function readStamp(reader: CdrReader, stamp: Int32Array): void {
  stamp[0] = reader.int32();
  stamp[1] = reader.int32();
  if (stamp[1] < 0 || stamp[1] >= 1e9) reader.ok = false;
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
