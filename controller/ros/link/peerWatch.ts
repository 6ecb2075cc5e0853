// The other ends of the link's topics, looked at a few times a second by the loop's own thread: who hears the commands, and
// whose QoS does not fit.

import { type MessageClock, MONOTONIC } from '../rcl/rosClock.js';
import { COMMAND_COUNTERS } from './commandTopic.js';
import type { Endpoint } from './endpoints.js';
import type { OpenTopics } from './openTopics.js';

/** Seconds between two looks at the same topic. */
const INTERVAL = 0.1;

/** What is left for other threads of a topic's conflicts, doubles, as `QosConflicts` has them. */
export const CONFLICT_COUNTERS = { total: 0, policy: 1, length: 2 } as const;

/** `look`, called in every tick, looks at one topic when that is due, and allocates nothing. */
export class PeerWatch {
  readonly #topics: OpenTopics;
  readonly #endpoints: readonly (Endpoint | undefined)[];
  readonly #counters: { commands: readonly Float64Array[]; conflicts: readonly Float64Array[] };
  readonly #clock: MessageClock;
  readonly #due = new Float64Array(1);
  #next = 0;

  /** `counters` as `countersOf` gives them. */
  constructor(
    topics: OpenTopics,
    counters: { commands: readonly Float64Array[]; conflicts: readonly Float64Array[] },
    clock: MessageClock,
  ) {
    const { sensors, commands, episodes } = topics;
    this.#topics = topics;
    this.#endpoints = [...sensors, ...commands, episodes?.resets, episodes?.terminations];
    this.#counters = counters;
    this.#clock = clock;
    for (const row of counters.commands) row[COMMAND_COUNTERS.listeners] = -1;
  }

  look(): void {
    const now = this.#clock.times[MONOTONIC];
    if (now < this.#due[0]) return;
    const endpoints = this.#endpoints;
    const { sensors, commands } = this.#topics;
    this.#due[0] = now + INTERVAL / endpoints.length;
    const i = this.#next;
    this.#next = (i + 1) % endpoints.length;
    const command = i - sensors.length;
    if (command >= 0 && command < commands.length) {
      this.#counters.commands[command][COMMAND_COUNTERS.listeners] = commands[command].matched;
    }
    const conflicts = endpoints[i]?.conflicts;
    if (!conflicts) return;
    conflicts.look();
    const row = this.#counters.conflicts[i];
    row[CONFLICT_COUNTERS.total] = conflicts.total;
    row[CONFLICT_COUNTERS.policy] = conflicts.policy;
  }
}
