// What other threads ask of the loop through its words: to rearm, to act, to stop the robot; and whether they still live.
import { FAULTS, WORD } from '../contract/loop.js';
import { FAULT } from './modes.js';

/** Reads the words once a tick, without allocating. */
export class Requests {
  readonly #words: Int32Array;
  /** Nanoseconds that the heartbeat may stand still; infinite when none is asked for. */
  readonly #timeout: number;
  /** When the heartbeat last changed, ns. */
  readonly #changed = new Float64Array(1);
  #heartbeat: number;
  #heard: boolean;
  #rearms: number;

  /** `heartbeatTimeout` in ms; 0 asks for no heartbeat. */
  constructor(words: Int32Array, heartbeatTimeout: number) {
    this.#words = words;
    this.#timeout = heartbeatTimeout > 0 ? heartbeatTimeout * 1e6 : Infinity;
    this.#heard = heartbeatTimeout === 0;
    this.#heartbeat = Atomics.load(words, WORD.heartbeat);
    this.#rearms = Atomics.load(words, WORD.rearm);
  }

  /** Whether to rearm a loop that is latched or not; asked for while it is not, it is forgotten. At time `times[now]`. */
  rearms(latched: boolean, times: Float64Array, now: number): boolean {
    const rearms = Atomics.load(this.#words, WORD.rearm);
    const asked = rearms !== this.#rearms && latched;
    this.#rearms = rearms;
    // A heartbeat that was lost has its whole time again to come back.
    if (asked) this.#changed[0] = times[now];
    return asked;
  }

  /** The fault (index in FAULTS) that another thread asks for or causes by its silence, at time `times[now]` (ns). */
  fault(times: Float64Array, now: number): number {
    const words = this.#words;
    const stopped = Atomics.exchange(words, WORD.emergencyStop, 0) !== 0;
    const tripped = Atomics.exchange(words, WORD.trip, 0);
    const heartbeat = Atomics.load(words, WORD.heartbeat);
    if (heartbeat !== this.#heartbeat) {
      this.#heartbeat = heartbeat;
      this.#heard = true;
      this.#changed[0] = times[now];
    }
    if (stopped) return FAULT['emergency stop'];
    if (tripped !== 0) return tripped > 0 && tripped < FAULTS.length ? tripped : FAULT.unknown;
    if (this.#heard && times[now] - this.#changed[0] > this.#timeout) return FAULT['heartbeat lost'];
    return FAULT.none;
  }

  /** Whether the policy is to act: it is activated, and a heartbeat that is asked for was heard. */
  get active(): boolean {
    return this.#heard && Atomics.load(this.#words, WORD.activate) === 1;
  }

  /** The policy may not act any more without a new activation. */
  deactivate(): void {
    Atomics.store(this.#words, WORD.activate, 0);
  }
}
