// Missed ticks, judged in time: too long a run of them, or too large a share of the newest stretch.
import type { Safety } from '../contract/terms.js';

/** Follows a loop's periods, without allocating. */
export class MissedTicks {
  /** Periods on end that are too many, and missed ones among the newest that are. */
  readonly #longest: number;
  readonly #most: number;
  /** Of the newest periods, 1 for each that was missed; a ring. */
  readonly #window: Uint8Array;
  #next = 0;
  #count = 0;

  constructor({ longest, share, window }: Safety['missed'], rateHz: number) {
    const periods = Math.max(1, Math.round(window * rateHz));
    // Rounding is no reason to stop a robot a tick early.
    this.#longest = Math.max(1, Math.ceil(longest * rateHz - 1e-9));
    this.#most = share * periods;
    this.#window = new Uint8Array(Math.min(periods, LARGEST_WINDOW));
  }

  /** Takes note of a tick that came after `missed` periods; says whether that is too bad to go on. */
  add(missed: number): boolean {
    const { length } = this.#window;
    for (let i = Math.min(missed, length); i > 0; i--) this.#push(1);
    this.#push(0);
    return missed >= this.#longest || this.#count > this.#most;
  }

  /** What was missed before does not count any more. */
  restart(): void {
    this.#window.fill(0);
    this.#count = 0;
  }

  #push(missed: 0 | 1): void {
    const window = this.#window;
    this.#count += missed - window[this.#next];
    window[this.#next] = missed;
    this.#next = this.#next + 1 === window.length ? 0 : this.#next + 1;
  }
}

/** Periods; a longer window is one that never judges. */
const LARGEST_WINDOW = 1 << 20;
