// Sleeping until a message or a request comes, for threads that have nothing to do until then.
import { FarsightError } from '../../../contract/errors.js';
import { type RclLibrary, zeroedStruct } from './rclLibrary.js';

/** What can be waited for: a subscription or a service. */
export interface Source {
  readonly kind: 'subscription' | 'service';
  /** Adds itself to a wait set. */
  addTo(set: Uint8Array): void;
  /** Takes the events that it has, of which none is waited for: with one left Fast DDS ends every wait at once. */
  takeEvents?(): void;
}

export class Waiter {
  readonly #rcl: RclLibrary;
  readonly #set = zeroedStruct();
  readonly #sources: readonly Source[];

  constructor(rcl: RclLibrary, context: Uint8Array, sources: readonly Source[]) {
    this.#rcl = rcl;
    this.#sources = sources;
    const services = sources.filter(({ kind }) => kind === 'service').length;
    if (rcl.waitSetInit(this.#set, sources.length - services, services, context) !== 0) {
      throw new FarsightError(`cannot wait for messages: ${rcl.takeError()}`);
    }
  }

  /** Blocks the thread until something waits to be taken, for at most so many nanoseconds (a whole number above 0). */
  wait(nanoseconds: number): void {
    const rcl = this.#rcl;
    rcl.waitSetClear(this.#set);
    for (let i = 0; i < this.#sources.length; i++) this.#sources[i].addTo(this.#set);
    rcl.wait(this.#set, nanoseconds);
    for (let i = 0; i < this.#sources.length; i++) this.#sources[i].takeEvents?.();
  }

  release(): void {
    this.#rcl.waitSetFini(this.#set);
  }
}
