// Brings the loop's ticks and the sensors' messages together: shifts the deadlines, slowly, to a little after the messages
// come, and says when one that is due has not come yet, so that its tick can wait for it.
import { TIME } from './tickRecord.js';

/** Share of a period that one tick may be shifted by. */
const LARGEST_SHIFT = 0.01;
/** Share of what the phase is off that one tick makes good. */
const GAIN = 0.1;
/** Age of a message, ns, at which the tick is to come: at first, and at most as a share of the period. */
const FIRST_LEAD = 200_000;
const LARGEST_LEAD = 0.5;
/** What the lead gains with a message that came too late for its tick, and loses with a tick, ns: one in 100 comes late then. */
const LEAD_GAIN = 10_000;
const LEAD_LOSS = 100;

/** Share of a period, from its deadline, that a tick waits at most for a message that is overdue. */
const LONGEST_WAIT = 0.6;
/** So many usual intervals without a message, and ticks wait for none. */
const SILENT = 3;
/** Share of what the newest interval between messages tells of the usual one. */
const INTERVAL_GAIN = 0.05;

/** Places in the state. */
const STAMP = 0;
const LEAD = 1;
/** Usual time between the messages that ticks use, ns; 0 before two have come. */
const INTERVAL = 2;

/**
 * A phase-locked loop on the sensors' stamps, for sensors that come at the loop's rate or whole multiples or fractions
 * of it. Unaligned, a measurement waits up to a period for its tick; aligned, as long as nearly all messages need to
 * arrive; for a message slower than those its tick waits, up to a share of the period. Stamps that say when a message
 * was read, as for topics used by arrival, shift nothing. Allocates nothing.
 */
export class PhaseAlignment {
  readonly #period: number;
  readonly #state = Float64Array.of(0, FIRST_LEAD, 0);
  #late = 0;

  /** `period` in ns. */
  constructor(period: number) {
    this.#period = period;
    this.#state[LEAD] = Math.min(FIRST_LEAD, LARGEST_LEAD * period);
  }

  /**
   * Whether the tick at `times[TIME.scheduled]`, at `times[TIME.observe]` by now, should wait a little longer: the newest
   * measurement, of `times[TIME.sensorStamp]`, is so old that the next one has been on its way for half the lead, and
   * not so old that none is to be expected.
   */
  overdue(times: Float64Array): boolean {
    const state = this.#state;
    if (state[INTERVAL] === 0) return false;
    if (times[TIME.observe] - times[TIME.scheduled] >= LONGEST_WAIT * this.#period) return false;
    const age = times[TIME.scheduled] - 1e9 * times[TIME.sensorStamp];
    return age > state[INTERVAL] + state[LEAD] / 2 && age < SILENT * state[INTERVAL];
  }

  /**
   * Shifts `times[TIME.deadline]`, the next tick's, by what the tick at `times[TIME.scheduled]` saw. `late` counts the
   * messages so far that had been stamped before a tick and came after it.
   */
  shift(times: Float64Array, late: number): void {
    const state = this.#state;
    const period = this.#period;
    if (late !== this.#late) {
      this.#late = late;
      state[LEAD] += LEAD_GAIN;
    }
    state[LEAD] = Math.max(0, Math.min(state[LEAD] - LEAD_LOSS, LARGEST_LEAD * period));
    if (times[TIME.sensorStamp] === state[STAMP]) return;
    const interval = 1e9 * (times[TIME.sensorStamp] - state[STAMP]);
    if (state[INTERVAL] > 0) state[INTERVAL] += INTERVAL_GAIN * (interval - state[INTERVAL]);
    else if (state[STAMP] > 0) state[INTERVAL] = interval;
    state[STAMP] = times[TIME.sensorStamp];
    const age = times[TIME.scheduled] - 1e9 * times[TIME.sensorStamp];
    if (age <= 0) return;
    const off = age - state[LEAD];
    const nearest = off - period * Math.round(off / period);
    const most = LARGEST_SHIFT * period;
    times[TIME.deadline] -= Math.max(-most, Math.min(most, GAIN * nearest));
  }
}
