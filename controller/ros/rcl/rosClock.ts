// The loop's clock beside ROS's: CLOCK_MONOTONIC, the system's time of message stamps, and the way between them.
import koffi from 'koffi';

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
/** Seconds that two readings of the clock may lie apart for the offset between them to be believed. */
const TIGHT = 5e-5;
/** A change of the offset beyond this is somebody who set the system's clock, seconds. */
const STEP = 0.05;

/** What the link knows of time; `read` brings it up to now. */
export interface MessageClock {
  /** At MONOTONIC the seconds of CLOCK_MONOTONIC, at OFFSET the system's time less that, seconds. */
  readonly times: Float64Array;
  /** The system's time: seconds and nanoseconds, as in a stamp. */
  readonly stamp: Int32Array;
  /** How often the system's clock was set since the start. */
  readonly steps: number;
  read(): void;
}
/** Places in `times`. */
export const MONOTONIC = 0;
export const OFFSET = 1;

/**
 * Both clocks by their system calls, without allocating. Seconds as a double resolve 0.24 µs of the system's time,
 * which is as much as the offset can be known.
 */
export class RosClock implements MessageClock {
  readonly times = new Float64Array(2);
  readonly stamp = new Int32Array(2);
  steps = 0;
  readonly #getTime: (clock: number, out: Int32Array) => number;
  readonly #timespec = new Int32Array(4);
  #known = false;

  constructor() {
    this.#getTime = koffi.load(null).func('int clock_gettime(int, void *)');
    // The first reading counts however long it took; a quick one among the next corrects it.
    for (let i = 0; i < 10; i++) this.read();
    this.steps = 0;
  }

  read(): void {
    const { times, stamp } = this;
    const timespec = this.#timespec;
    this.#getTime(CLOCK_MONOTONIC, timespec);
    const before = timespec[0] + timespec[2] * 1e-9;
    this.#getTime(CLOCK_REALTIME, timespec);
    stamp[0] = timespec[0];
    stamp[1] = timespec[2];
    this.#getTime(CLOCK_MONOTONIC, timespec);
    times[MONOTONIC] = timespec[0] + timespec[2] * 1e-9;
    if (this.#known && times[MONOTONIC] - before > TIGHT) return;
    const offset = stamp[0] + stamp[1] * 1e-9 - (before + times[MONOTONIC]) / 2;
    if (this.#known && Math.abs(offset - times[OFFSET]) > STEP) this.steps++;
    times[OFFSET] = offset;
    this.#known = true;
  }
}
