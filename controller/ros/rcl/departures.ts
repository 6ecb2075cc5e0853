// How many publishers of a subscription have left, as rcl's events tell: also of those that came and went unseen.
import { type RclLibrary, zeroedStruct } from './rclLibrary.js';

/** rcl_subscription_event_type_t; not before ROS 2 Iron. */
const MATCHED = 5;
/** Places in rmw_matched_status_t, of Int32: the lower halves of its size_t. */
const TOTAL = 0;
const CURRENT = 4;

export class Departures {
  readonly #rcl: RclLibrary;
  readonly #event = zeroedStruct();
  readonly #status = new Int32Array(8);
  readonly #known: boolean;
  #left = 0;
  #matched = 0;

  constructor(rcl: RclLibrary, subscription: Uint8Array) {
    this.#rcl = rcl;
    this.#known = rcl.subscriptionEventInit(this.#event, subscription, MATCHED) === 0;
    if (!this.#known) rcl.resetError();
  }

  /**
   * Publishers that have left since the start, by now, when `matched` are there. Without such events: those by which that
   * number fell between two calls. Allocates nothing.
   */
  count(matched: number): number {
    if (this.#known) {
      if (this.#rcl.takeEvent(this.#event, this.#status) !== 0) this.#rcl.resetError();
      else this.#left = this.#status[TOTAL] - this.#status[CURRENT];
    } else if (matched < this.#matched) this.#left += this.#matched - matched;
    this.#matched = matched;
    return this.#left;
  }

  release(): void {
    if (this.#known) this.#rcl.eventFini(this.#event);
  }
}
