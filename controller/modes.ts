// The mode machine: unconfigured → inactive → hold → policy, and damping or fault, latched until a person rearms.
import { FAULTS, type Fault, MODES, type Mode } from '../contract/loop.js';

/** Index of a mode in MODES. */
export const MODE = Object.fromEntries(MODES.map((mode, i) => [mode, i])) as Record<Mode, number>;
/** Index of a fault in FAULTS. */
export const FAULT = Object.fromEntries(FAULTS.map((fault, i) => [fault, i])) as Record<Fault, number>;

/** After these the measurements cannot be relied on: the mode is `fault`. After any other it is `damping`. */
const UNMEASURED: readonly Fault[] = [
  'observation not finite',
  'sensor stale',
  'sensor stamp went backward',
  'sensor jump',
  'sensor stuck',
];
const leadsToFault = Uint8Array.from(FAULTS, (fault) => (UNMEASURED.includes(fault) ? 1 : 0));

/**
 * - `unconfigured`: no policy is loaded. `inactive`: no sensor was heard yet; nothing is commanded.
 * - `hold`: effort and velocity 0, positions as they were when the mode began. `policy`: π₀ acts.
 * - `damping`: something went wrong while the robot is measured; its side brings it to rest.
 * - `fault`: something went wrong and the measurements cannot be relied on.
 *
 * The first cause stays with `damping` and `fault`. `damping` turns to `fault` when the measurements go too; only
 * `rearm` leads out of both, to `hold`, and from there only a new activation to `policy`.
 */
export class ModeMachine {
  /** Index in MODES. */
  mode = MODE.unconfigured;
  /** Index in FAULTS of the first cause. */
  fault = FAULT.none;

  /** A verified policy is loaded. */
  configure(): void {
    if (this.mode === MODE.unconfigured) this.mode = MODE.inactive;
  }

  /** Whether `damping` or `fault` is latched. */
  get latched(): boolean {
    return this.mode === MODE.damping || this.mode === MODE.fault;
  }

  /** Leaves `damping` or `fault` for `hold`, or for `inactive` when no sensor was ever heard. */
  rearm(sensorsHeard: boolean): void {
    if (!this.latched) return;
    this.mode = sensorsHeard ? MODE.hold : MODE.inactive;
    this.fault = FAULT.none;
  }

  /** Latches a fault (index in FAULTS; 0 is none). */
  trip(fault: number): void {
    if (fault === FAULT.none || this.mode === MODE.unconfigured) return;
    if (!this.latched) {
      this.fault = fault;
      this.mode = MODE.damping;
    }
    if (leadsToFault[fault] === 1) this.mode = MODE.fault;
  }

  /** What a tick without a fault does: hold once sensors are heard, the policy while `active`. */
  advance(sensorsHeard: boolean, active: boolean): void {
    if (this.mode === MODE.inactive && sensorsHeard) this.mode = MODE.hold;
    else if (this.mode === MODE.hold && active) this.mode = MODE.policy;
    else if (this.mode === MODE.policy && !active) this.mode = MODE.hold;
  }
}
