// Sleeping until a message comes, for threads that have nothing to do until then.
import { FarsightError } from '../../contract/errors.js';
import { type RclLibrary, zeroedStruct } from './rclLibrary.js';

export class Waiter {
  readonly #rcl: RclLibrary;
  readonly #set = zeroedStruct();
  readonly #subscription: Uint8Array;

  constructor(rcl: RclLibrary, context: Uint8Array, subscription: Uint8Array) {
    this.#rcl = rcl;
    this.#subscription = subscription;
    if (rcl.waitSetInit(this.#set, 1, context) !== 0) {
      throw new FarsightError(`cannot wait for messages: ${rcl.takeError()}`);
    }
  }

  /** Blocks the thread until a message waits, for at most so many nanoseconds (a whole number above 0). */
  wait(nanoseconds: number): void {
    const rcl = this.#rcl;
    rcl.waitSetClear(this.#set);
    rcl.waitSetAddSubscription(this.#set, this.#subscription, null);
    rcl.wait(this.#set, nanoseconds);
  }

  release(): void {
    this.#rcl.waitSetFini(this.#set);
  }
}
