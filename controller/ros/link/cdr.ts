// CDR, the bytes of a ROS 2 message: a reader that allocates nothing and trusts nothing, and a writer for layouts.

/** Bytes before the message itself; alignment counts from their end. */
export const CDR_HEADER = 4;
const BIG_ENDIAN = 0;
const LITTLE_ENDIAN = 1;
/** Bytes that a middleware may add at the end to fill a word. */
const PADDING = 7;

/**
 * Reads plain CDR (XCDR version 1), of either byte order, field after field. Nothing throws: the first field that does
 * not fit makes `ok` false, and it stays false. Doubles are never returned, because a returned double may allocate:
 * the caller is told where they are.
 */
export class CdrReader {
  ok = false;
  /** Next byte to read. */
  position = 0;
  littleEndian = true;
  /** Length of the string that `skipString` passed last, without its final zero byte. */
  stringLength = 0;
  /** Position of the first of the doubles that `skipFloat64Sequence` passed last. */
  sequenceStart = 0;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #end = 0;

  /** Begins with the message in the first `length` bytes of `view`. */
  begin(view: DataView, length: number): void {
    this.#view = view;
    this.#end = length;
    this.position = CDR_HEADER;
    this.ok = length >= CDR_HEADER && length <= view.byteLength && view.getUint8(0) === 0;
    if (!this.ok) return;
    const encoding = view.getUint8(1);
    this.littleEndian = encoding === LITTLE_ENDIAN;
    if (encoding !== LITTLE_ENDIAN && encoding !== BIG_ENDIAN) this.ok = false;
  }

  /** Whether all went well and the message ends here, but for padding. */
  get ended(): boolean {
    return this.ok && this.#end - this.position <= PADDING;
  }

  /** Passes `bytes` bytes aligned to `alignment`, and returns where they begin; -1 when they are not all there. */
  skip(bytes: number, alignment: number): number {
    const start = ((this.position - CDR_HEADER + alignment - 1) & -alignment) + CDR_HEADER;
    if (!this.ok || bytes > this.#end - start) {
      this.ok = false;
      return -1;
    }
    this.position = start + bytes;
    return start;
  }

  /** A 32-bit integer; 0 when it is not there. */
  int32(): number {
    const start = this.skip(4, 4);
    return start < 0 ? 0 : this.#view.getInt32(start, this.littleEndian);
  }

  /** Passes a string and returns where its characters begin; -1 when it is not whole. */
  skipString(): number {
    const size = this.int32();
    // Some writers give an empty string no final zero byte.
    this.stringLength = size === 0 ? 0 : size - 1;
    if (size < 0) this.ok = false;
    return this.skip(size, 1);
  }

  /** Passes a sequence of doubles and returns how many they are; see `sequenceStart`. */
  skipFloat64Sequence(): number {
    const count = this.int32();
    if (count === 0) return 0;
    if (count < 0 || count > this.#end / 8) this.ok = false;
    this.sequenceStart = this.skip(8 * count, 8);
    return this.ok ? count : 0;
  }
}

/** Writes little-endian CDR once, to lay out a message whose numbers are then replaced in place. */
export class CdrWriter {
  #bytes: number[] = [0, LITTLE_ENDIAN, 0, 0];

  #align(alignment: number): void {
    while ((this.#bytes.length - CDR_HEADER) % alignment !== 0) this.#bytes.push(0);
  }

  /** Reserves `count` zero bytes aligned to `alignment`, and returns where they begin. */
  reserve(count: number, alignment: number): number {
    this.#align(alignment);
    const start = this.#bytes.length;
    for (let i = 0; i < count; i++) this.#bytes.push(0);
    return start;
  }

  uint32(value: number): void {
    this.#align(4);
    this.#bytes.push(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
  }

  string(text: string): void {
    const characters = new TextEncoder().encode(text);
    this.uint32(characters.length + 1);
    this.#bytes.push(...characters, 0);
  }

  strings(texts: readonly string[]): void {
    this.uint32(texts.length);
    for (const text of texts) this.string(text);
  }

  /** Reserves a sequence of `count` doubles and returns where they begin, or -1 for none. */
  float64Sequence(count: number): number {
    this.uint32(count);
    return count === 0 ? -1 : this.reserve(8 * count, 8);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }
}
