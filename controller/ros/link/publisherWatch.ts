// Who publishes a measurement: notices two that do so at the same time, and lets one that was started anew take over.
import { MONOTONIC } from '../rcl/rosClock.js';

/** Seconds in which a publisher that is heard again, after another, says that there are two; and for which that is so. */
export const CONTEST = 1;
/** Publishers that are remembered of each part. */
const REMEMBERED = 4;
/** Numbers of an identity. */
const IDENTITY = 4;

/** For each of several parts of a topic. Allocates nothing. */
export class PublisherWatch {
  readonly #identities: Int32Array;
  /** When each was last heard, seconds of CLOCK_MONOTONIC. */
  readonly #heard: Float64Array;
  /** Which of the remembered spoke last. */
  readonly #last: Int32Array;

  constructor(parts: number) {
    this.#identities = new Int32Array(parts * REMEMBERED * IDENTITY);
    this.#heard = new Float64Array(parts * REMEMBERED).fill(Number.NEGATIVE_INFINITY);
    this.#last = Int32Array.from({ length: parts }, (_, part) => part * REMEMBERED);
  }

  /** Hears `publisher` at `times[MONOTONIC]`; true when another has spoken since this one did, a moment ago. */
  hear(part: number, publisher: Int32Array, times: Float64Array): boolean {
    const heard = this.#heard;
    let place = this.#last[part];
    let returned = false;
    if (!this.#is(place, publisher)) {
      place = part * REMEMBERED;
      let known = -1;
      for (let i = part * REMEMBERED; i < (part + 1) * REMEMBERED; i++) {
        if (this.#is(i, publisher)) known = i;
        if (heard[i] < heard[place]) place = i;
      }
      if (known >= 0) {
        place = known;
        returned = times[MONOTONIC] - heard[known] < CONTEST;
      } else for (let i = 0; i < IDENTITY; i++) this.#identities[place * IDENTITY + i] = publisher[i];
      this.#last[part] = place;
    }
    heard[place] = times[MONOTONIC];
    return returned;
  }

  #is(place: number, publisher: Int32Array): boolean {
    for (let i = 0; i < IDENTITY; i++) {
      if (this.#identities[place * IDENTITY + i] !== publisher[i]) return false;
    }
    return true;
  }
}
