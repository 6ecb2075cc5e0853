// A serialised message in memory that rcl owns and that JavaScript sees.
import koffi from 'koffi';
import { FarsightError } from '../../../contract/errors.js';
import type { RclLibrary } from './rclLibrary.js';

/** rcl_serialized_message_t: address of the bytes, their count, their room, and the allocator that owns them. */
const MESSAGE_WORDS = 8;

export class SerializedMessage {
  readonly #rcl: RclLibrary;
  readonly struct = new BigUint64Array(new ArrayBuffer(8 * MESSAGE_WORDS));
  /** The same struct in halves of words: comparing these makes no BigInt. */
  readonly #halves = new Int32Array(this.struct.buffer);
  bytes = new Uint8Array(0);
  view = new DataView(new ArrayBuffer(0));
  #addressLow = 0;
  #addressHigh = 0;

  constructor(rcl: RclLibrary, room: number) {
    this.#rcl = rcl;
    if (rcl.byteArrayInit(this.struct, room, rcl.allocator) !== 0) throw new FarsightError(rcl.takeError());
    this.look();
  }

  get length(): number {
    return this.#halves[2];
  }
  set length(length: number) {
    this.#halves[2] = length;
    this.#halves[3] = 0;
  }

  /** Looks at the bytes where they now are; allocates only after they have moved or grown. */
  look(): void {
    const halves = this.#halves;
    const room = halves[4];
    if (halves[0] === this.#addressLow && halves[1] === this.#addressHigh && room === this.bytes.byteLength) {
      return;
    }
    this.#addressLow = halves[0];
    this.#addressHigh = halves[1];
    const memory = koffi.view(this.struct[0], room);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
  }

  /** Sets the bytes; allocates only for more than ever before. */
  set(bytes: Uint8Array): boolean {
    if (bytes.length > this.bytes.length) {
      if (this.#rcl.byteArrayResize(this.struct, bytes.length) !== 0) {
        this.#rcl.resetError();
        return false;
      }
      this.look();
    }
    this.bytes.set(bytes);
    this.length = bytes.length;
    return true;
  }

  release(): void {
    this.#rcl.byteArrayFini(this.struct);
  }
}
