// The other ends of the link's topics, looked at a few times a second by the loop's own thread: who hears the commands.
import { COMMAND_COUNTERS, type Outbox } from './commandTopic.js';
import { type MessageClock, MONOTONIC } from './rosClock.js';

/** Seconds between two looks at the same topic. */
const INTERVAL = 0.1;

/** `look`, called in every tick, looks at one topic when that is due, and allocates nothing. */
export class PeerWatch {
  readonly #outboxes: readonly Outbox[];
  readonly #counters: readonly Float64Array[];
  readonly #clock: MessageClock;
  readonly #due = new Float64Array(1);
  #next = 0;

  /** `counters`: of each outbox, `[COMMAND_COUNTERS.length]`. */
  constructor(outboxes: readonly Outbox[], counters: readonly Float64Array[], clock: MessageClock) {
    this.#outboxes = outboxes;
    this.#counters = counters;
    this.#clock = clock;
    for (const row of counters) row[COMMAND_COUNTERS.listeners] = -1;
  }

  look(): void {
    const now = this.#clock.times[MONOTONIC];
    if (now < this.#due[0]) return;
    const outboxes = this.#outboxes;
    this.#due[0] = now + INTERVAL / outboxes.length;
    const i = this.#next;
    this.#next = (i + 1) % outboxes.length;
    this.#counters[i][COMMAND_COUNTERS.listeners] = outboxes[i].matched;
  }
}
