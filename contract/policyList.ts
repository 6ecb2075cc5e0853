// The policies that a loop was given while it ran: trace rows have their numbers, this has their SHA-256.

const MOST = 4096;
const BYTES = 32;

/**
 * Numbers policies in the order in which a loop is given them, from 0, the one that it starts with. A number is never used
 * again, so that a row names its policy whatever becomes of the memory that the policy was in. Shared between threads, of
 * which one at a time may `add`; a number must reach others by an atomic store.
 */
export class PolicyList {
  readonly buffer: SharedArrayBuffer;
  readonly #count: Int32Array;
  readonly #digests: Uint8Array;

  /** An empty list, or another thread's view of the list in `buffer`. */
  constructor(buffer = new SharedArrayBuffer(4 + MOST * BYTES)) {
    this.buffer = buffer;
    this.#count = new Int32Array(buffer, 0, 1);
    this.#digests = new Uint8Array(buffer, 4);
  }

  /** Returns the number of a policy whose file has this SHA-256, in hexadecimal digits. Throws when the list is full. */
  add(sha256: string): number {
    const number = Atomics.load(this.#count, 0);
    if (number === MOST) throw new Error(`the loop was given ${MOST} policies: start the controller anew`);
    this.#digests.set(Buffer.from(sha256, 'hex'), BYTES * number);
    Atomics.store(this.#count, 0, number + 1);
    return number;
  }

  /** The SHA-256 of the policy file with this number, in hexadecimal digits. Throws when no policy has it. */
  sha256(number: number): string {
    if (!(number < Atomics.load(this.#count, 0))) throw new Error(`no policy has the number ${number}`);
    return Buffer.from(this.#digests.subarray(BYTES * number, BYTES * (number + 1))).toString('hex');
  }
}
