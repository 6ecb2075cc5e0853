// A std_srvs/srv/Trigger service, polled like the topics.
import koffi from 'koffi';
import { type RclLibrary, zeroedStruct } from './rclLibrary.js';
import type { Source } from './waiter.js';

/** rmw_request_id_t: who asked, and which question it was; larger than it is. */
const REQUEST_ID = 64;
const RESPONSE = { success: 0, text: 8, size: 16, capacity: 24, length: 32 } as const;
const TAKE_FAILED = 601;

export class TriggerService implements Source {
  readonly kind = 'service';
  readonly #rcl: RclLibrary;
  readonly #node: Uint8Array;
  readonly #struct: Uint8Array;
  readonly #id = new Uint8Array(new ArrayBuffer(REQUEST_ID));
  /** The question itself, which says nothing. */
  readonly #request = zeroedStruct();
  readonly #response = new DataView(new ArrayBuffer(RESPONSE.length));

  constructor(rcl: RclLibrary, node: Uint8Array, struct: Uint8Array) {
    this.#rcl = rcl;
    this.#node = node;
    this.#struct = struct;
  }

  /** Takes the next call that waits, if any; it is then to be answered before the next `take`. */
  take(): boolean {
    const result = this.#rcl.takeRequest(this.#struct, this.#id, this.#request);
    if (result !== 0 && result !== TAKE_FAILED) this.#rcl.resetError();
    return result === 0;
  }

  /** Answers the call taken last; its caller may be gone by then. */
  answer(success: boolean, message: string): void {
    const text = Buffer.from(`${message}\0`);
    this.#response.setUint8(RESPONSE.success, success ? 1 : 0);
    this.#response.setBigUint64(RESPONSE.text, koffi.address(text), true);
    this.#response.setBigUint64(RESPONSE.size, BigInt(text.length - 1), true);
    this.#response.setBigUint64(RESPONSE.capacity, BigInt(text.length), true);
    if (this.#rcl.sendResponse(this.#struct, this.#id, this.#response) !== 0) this.#rcl.resetError();
  }

  addTo(set: Uint8Array): void {
    this.#rcl.waitSetAddService(set, this.#struct, null);
  }

  release(): void {
    this.#rcl.serviceFini(this.#struct, this.#node);
  }
}
