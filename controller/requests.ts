// What other threads ask of the loop through its words: to rearm, to act, to stop the robot; and whether they still live.
import { FAULTS, WORD } from '../contract/loop.js';
import type { EmergencyStop } from './emergencyStop.js';
import { FAULT } from './modes.js';

export interface RequestsOptions {
  words: Int32Array;
  stop: EmergencyStop;
  /** ms that a heartbeat may stand still; 0 asks for none. */
  heartbeatTimeout: number;
  /** A guard listens for stops, and is asked for signs of life too. */
  guarded: boolean;
  /** Nobody else may publish commands while the policy acts. */
  exclusive: boolean;
}

/** Nanoseconds for which a guard that listens a hundred times a second may be silent. */
const GUARD_TIMEOUT = 1e9;

/** Looks once a tick, without allocating. */
export class Requests {
  readonly #words: Int32Array;
  readonly #stop: EmergencyStop;
  /** Nanoseconds that a heartbeat may stand still; infinite when none is asked for. */
  readonly #timeout: number;
  /** When the heartbeats last changed, ns: the control process's and the guard's. */
  readonly #changed = new Float64Array(2);
  #heartbeat: number;
  #heard: boolean;
  #beats: number;
  readonly #guarded: boolean;
  #guardHeard: boolean;
  readonly #exclusive: boolean;
  #rearms: number;

  constructor({ words, stop, heartbeatTimeout, guarded, exclusive }: RequestsOptions) {
    this.#words = words;
    this.#stop = stop;
    this.#timeout = heartbeatTimeout > 0 ? heartbeatTimeout * 1e6 : Infinity;
    this.#heard = heartbeatTimeout === 0;
    this.#heartbeat = Atomics.load(words, WORD.heartbeat);
    this.#beats = stop.beats;
    this.#guarded = guarded;
    this.#guardHeard = !guarded;
    this.#exclusive = exclusive;
    this.#rearms = Atomics.load(words, WORD.rearm);
  }

  /** Whether to rearm a loop that is latched or not; asked for while it is not, it is forgotten. At time `times[now]`. */
  rearms(latched: boolean, times: Float64Array, now: number): boolean {
    const rearms = Atomics.load(this.#words, WORD.rearm);
    const asked = rearms !== this.#rearms && latched && !this.#stop.set;
    this.#rearms = rearms;
    // A heartbeat that was lost has its whole time again to come back.
    if (asked) this.#changed.fill(times[now]);
    return asked;
  }

  /** The fault (index in FAULTS) that another thread asks for or causes by its silence, at time `times[now]` (ns). */
  fault(times: Float64Array, now: number): number {
    const words = this.#words;
    const stop = this.#stop;
    const tripped = Atomics.exchange(words, WORD.trip, 0);
    const heartbeat = Atomics.load(words, WORD.heartbeat);
    if (heartbeat !== this.#heartbeat) {
      this.#heartbeat = heartbeat;
      this.#heard = true;
      this.#changed[0] = times[now];
    }
    const { beats } = stop;
    if (beats !== this.#beats) {
      this.#beats = beats;
      this.#guardHeard = true;
      this.#changed[1] = times[now];
    }
    if (stop.set) return FAULT['emergency stop'];
    if (tripped !== 0) return tripped > 0 && tripped < FAULTS.length ? tripped : FAULT.unknown;
    if (this.#heard && times[now] - this.#changed[0] > this.#timeout) return FAULT['heartbeat lost'];
    if (this.#guarded && this.#guardHeard && times[now] - this.#changed[1] > GUARD_TIMEOUT) {
      return FAULT['heartbeat lost'];
    }
    return FAULT.none;
  }

  /** What takes the robot from a policy that acts, and keeps nobody from rearming: a stop that cannot be heard, a rival. */
  loss(): number {
    if (this.#stop.lost) return FAULT['heartbeat lost'];
    if (this.#exclusive && this.#stop.commandPublishers > 1) return FAULT['second publisher'];
    return FAULT.none;
  }

  /** Whether the policy is to act: it is activated, and the heartbeats that are asked for were heard. */
  get active(): boolean {
    return this.#heard && this.#guardHeard && Atomics.load(this.#words, WORD.activate) === 1;
  }

  /** The policy may not act without a new activation. */
  deactivate(): void {
    Atomics.store(this.#words, WORD.activate, 0);
  }
}
