// The keys of the terminal on standard input, read without waiting by whichever thread asks.
import koffi from 'koffi';

const POLLIN = 1;
const ROOM = 256;

/** The terminal must be in raw mode, and nobody else may read it. */
export class TerminalKeys {
  readonly #poll: (...args: unknown[]) => number;
  readonly #read: (...args: unknown[]) => number;
  /** struct pollfd: descriptor (int32), events and what happened (int16 each). */
  readonly #descriptor = Int16Array.of(0, 0, POLLIN, 0);
  readonly #bytes = new Uint8Array(new ArrayBuffer(ROOM));
  #ended = false;

  constructor() {
    const library = koffi.load(null);
    this.#poll = library.func('int poll(void *, ulong, int)') as (...args: unknown[]) => number;
    this.#read = library.func('long read(int, void *, size_t)') as (...args: unknown[]) => number;
  }

  /** What was pressed since the last time; empty for nothing, and for good once the terminal is gone. */
  read(): string {
    if (this.#ended || this.#poll(this.#descriptor, 1, 0) <= 0) return '';
    const count = Number(this.#read(0, this.#bytes, ROOM));
    if (count <= 0) this.#ended = true;
    return Buffer.from(this.#bytes.subarray(0, Math.max(0, count))).toString();
  }
}
