// Shifts the loop's deadlines, slowly, to a little after the sensors' messages come, so that no tick works on an old one.
import { TIME } from './tickRecord.js';

/** Share of a period that one tick may be shifted by. */
const LARGEST_SHIFT = 0.01;
/** Share of what the phase is off that one tick makes good. */
const GAIN = 0.1;
/** Age of a message, ns, at which the tick is to come: at first, and at most as a share of the period. */
const FIRST_LEAD = 200_000;
const LARGEST_LEAD = 0.5;
/** What the lead gains with a message that came too late for its tick, and loses with a tick, ns: one in 2000 comes late then. */
const LEAD_GAIN = 20_000;
const LEAD_LOSS = 10;

/** Places in the state. */
const STAMP = 0;
const LEAD = 1;

/**
 * A phase-locked loop on the sensors' stamps, for sensors that come at the loop's rate or whole multiples or fractions
 * of it. Unaligned, a measurement waits up to a period for its tick; aligned, as long as nearly all messages need to
 * arrive. Stamps that say when a message was read, as for topics used by arrival, shift nothing. Allocates nothing.
 */
export class PhaseAlignment {
  readonly #period: number;
  readonly #state = Float64Array.of(0, FIRST_LEAD);
  #late = 0;

  /** `period` in ns. */
  constructor(period: number) {
    this.#period = period;
    this.#state[LEAD] = Math.min(FIRST_LEAD, LARGEST_LEAD * period);
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
    state[STAMP] = times[TIME.sensorStamp];
    const age = times[TIME.scheduled] - 1e9 * times[TIME.sensorStamp];
    if (age <= 0) return;
    const off = age - state[LEAD];
    const nearest = off - period * Math.round(off / period);
    const most = LARGEST_SHIFT * period;
    times[TIME.deadline] -= Math.max(-most, Math.min(most, GAIN * nearest));
  }
}
