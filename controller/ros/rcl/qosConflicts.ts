// Peers of one topic whose QoS does not fit: how many there were, and what did not fit, as rcl's events tell.
import { type Argument, type RclLibrary, zeroedStruct } from './rclLibrary.js';

/** rcl_publisher_event_type_t and rcl_subscription_event_type_t: offered, and requested, QoS that is incompatible. */
const INCOMPATIBLE_QOS = 2;
/** rmw_qos_policy_kind_t: the bit of each from 1 on. */
const POLICIES = [
  ...['durability', 'deadline', 'liveliness', 'reliability', 'history', 'lifespan', 'depth'],
  'liveliness lease',
];
/** Places in `status`. */
const TOTAL = 0;
const POLICY = 2;

/** What did not fit, by its number in `QosConflicts.policy`. */
export function policyName(kind: number): string {
  return POLICIES[Math.log2(kind) - 1] ?? 'QoS';
}

export class QosConflicts {
  readonly #rcl: RclLibrary;
  readonly #event = zeroedStruct();
  /** rmw_qos_incompatible_event_status_t. */
  readonly #status = new Int32Array(4);
  readonly #known: boolean;

  /** `init` makes an event of what `struct` is; a middleware that has no such events tells of no conflict. */
  constructor(rcl: RclLibrary, struct: Uint8Array, init: (...given: Argument[]) => number) {
    this.#rcl = rcl;
    this.#known = init(this.#event, struct, INCOMPATIBLE_QOS) === 0;
    if (!this.#known) rcl.resetError();
  }

  /** Brings `total` and `policy` up to now. Allocates nothing. */
  look(): void {
    if (this.#known && this.#rcl.takeEvent(this.#event, this.#status) !== 0) this.#rcl.resetError();
  }

  /** Peers that did not fit, since the start. */
  get total(): number {
    return this.#status[TOTAL];
  }

  /** What did not fit the last time, see `policyName`. */
  get policy(): number {
    return this.#status[POLICY];
  }

  release(): void {
    if (this.#known) this.#rcl.eventFini(this.#event);
  }
}
