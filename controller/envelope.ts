// The safety envelope: what the sensors must satisfy for the policy to act, and the limits that every command obeys.
import { FarsightError } from '../contract/errors.js';
import type { Manifest } from '../contract/manifest.js';
import { SENSOR } from '../contract/robot.js';
import { jointIndices, jointsOf, type ObservationTerm } from '../contract/terms.js';
import { FAULT } from './modes.js';

/** Bits that `limit` returns, in the order of INTERVENTIONS. */
export const RANGE_LIMITED = 1;
export const RATE_LIMITED = 2;

/** A command beyond a limit by less than this share of its range is float32's rounding, not an intervention. */
const ROUNDING = 1e-6;

/**
 * Checks measurements and limits commands, one call of each per tick, without allocating. Arrays over joints are in
 * the order of `jointsOf`, arrays over commands in the order of the action terms, units as in the manifest.
 *
 * Whatever it is given, `command` is finite, inside the actuator's and the joint's limits, and at most
 * `commandRate / rateHz` away from the command before.
 */
export class Envelope {
  /** The command that leaves, and the reference for the next one's rate. */
  readonly command: Float64Array;
  /** What to command when the policy may not act: positions as last measured, effort and velocity 0. */
  readonly safe: Float64Array;

  readonly #low: Float64Array;
  readonly #high: Float64Array;
  /** Largest change of each command in one tick. */
  readonly #step: Float64Array;
  readonly #tolerance: Float64Array;
  /** Joint whose measured position is a command's safe value; -1 where that value is 0. */
  readonly #safeJoint: Int32Array;

  readonly #positionLow: Float64Array;
  readonly #positionHigh: Float64Array;
  readonly #speedLimit: Float64Array;
  readonly #joints: number;
  /** Index in the sensor cell of what each observation term reads. */
  readonly #measured: Int32Array;
  readonly #sensorTimeout: number;
  #lastStamp = 0;

  /** Throws a `FarsightError` when the manifest's limits name an unknown joint or leave a command no value. */
  constructor({ observation, action, safety }: Manifest, rateHz: number) {
    const joints = jointsOf({ observation, action });
    const ofJoint = new Map(safety.joints.map((entry) => [entry.joint, entry]));
    for (const joint of ofJoint.keys()) {
      if (!joints.includes(joint)) {
        throw new FarsightError(
          `safety limits for joint '${joint}', which no observation or action term names`,
        );
      }
    }
    this.#joints = joints.length;
    this.#measured = sensorIndices(observation, joints);
    this.#positionLow = Float64Array.from(joints, (joint) => ofJoint.get(joint)?.position?.[0] ?? -Infinity);
    this.#positionHigh = Float64Array.from(joints, (joint) => ofJoint.get(joint)?.position?.[1] ?? Infinity);
    this.#speedLimit = Float64Array.from(joints, (joint) => ofJoint.get(joint)?.velocity ?? Infinity);
    this.#sensorTimeout = safety.sensorTimeout;

    const ranges = action.map(({ kind, joint, limits: [low, high] }) => {
      const entry = ofJoint.get(joint);
      const speed = entry?.velocity ?? Infinity;
      const [least, most] =
        kind === 'position' ? (entry?.position ?? [-Infinity, Infinity]) : [-speed, speed];
      const range = kind === 'effort' ? [low, high] : [Math.max(low, least), Math.min(high, most)];
      if (range[0] > range[1]) {
        throw new FarsightError(
          `the limits of action '${joint}' [${low}, ${high}] and its joint's safety limits have nothing in common`,
        );
      }
      return range;
    });
    this.#low = Float64Array.from(ranges, ([low]) => low);
    this.#high = Float64Array.from(ranges, ([, high]) => high);
    this.#tolerance = Float64Array.from(ranges, ([low, high]) => ROUNDING * (high - low));
    this.#step = Float64Array.from(
      action,
      ({ joint }) => (ofJoint.get(joint)?.commandRate ?? Infinity) / rateHz,
    );
    const indices = jointIndices(action, joints);
    this.#safeJoint = Int32Array.from(action, ({ kind }, i) => (kind === 'position' ? indices[i] : -1));
    this.safe = new Float64Array(action.length);
    this.command = new Float64Array(action.length);
    this.restart();
  }

  /** Updates `safe` from a sensor cell's content (see SENSOR); a position that is not finite leaves the last one. */
  measure(sensors: Float64Array): void {
    for (let i = 0; i < this.safe.length; i++) {
      const joint = this.#safeJoint[i];
      if (joint >= 0 && Number.isFinite(sensors[SENSOR.vectors + joint])) {
        this.safe[i] = sensors[SENSOR.vectors + joint];
      }
    }
  }

  /**
   * What is wrong, as an index in FAULTS (0: nothing), with a sensor cell's content and the observation made of it, at
   * time `times[now]` (ns).
   */
  check(sensors: Float64Array, observation: Float32Array, times: Float64Array, now: number): number {
    const stamp = sensors[SENSOR.stamp];
    const wentBackward = stamp < this.#lastStamp;
    if (stamp > this.#lastStamp) this.#lastStamp = stamp;

    for (let i = 0; i < observation.length; i++) {
      // The measurement too, because a term's clip makes an infinite one finite.
      if (!Number.isFinite(observation[i]) || !Number.isFinite(sensors[this.#measured[i]])) {
        return FAULT['observation not finite'];
      }
    }
    const speeds = SENSOR.vectors + this.#joints;
    for (let j = 0; j < this.#joints; j++) {
      const low = this.#positionLow[j];
      const position = sensors[SENSOR.vectors + j];
      // Where there is a limit, a measurement that is not a number is outside it.
      if (low > -Infinity && !(position >= low && position <= this.#positionHigh[j])) {
        return FAULT['position limit'];
      }
      const limit = this.#speedLimit[j];
      if (limit < Infinity && !(Math.abs(sensors[speeds + j]) <= limit)) return FAULT['velocity limit'];
    }
    // A stamp far in the future is another clock's: how old the measurement is cannot be known.
    if (!(Math.abs(times[now] / 1e9 - stamp) <= this.#sensorTimeout)) return FAULT['sensor stale'];
    if (wentBackward) return FAULT['sensor stamp went backward'];
    return FAULT.none;
  }

  /**
   * Makes `command` the nearest one to `wanted` `[m]` that the limits allow. Returns the limits that changed it as
   * bits (RANGE_LIMITED, RATE_LIMITED); or -1, and leaves `command` alone, when `wanted` is not finite: that is a
   * fault of who wants it, and is not repaired by clamping.
   */
  limit(wanted: Float64Array): number {
    for (let i = 0; i < wanted.length; i++) if (!Number.isFinite(wanted[i])) return -1;
    let limited = 0;
    for (let i = 0; i < wanted.length; i++) {
      let value = wanted[i];
      if (value < this.#low[i]) value = this.#low[i];
      else if (value > this.#high[i]) value = this.#high[i];
      if (Math.abs(value - wanted[i]) > this.#tolerance[i]) limited |= RANGE_LIMITED;

      const previous = this.command[i];
      const step = this.#step[i];
      if (value > previous + step) {
        value = previous + step;
        limited |= RATE_LIMITED;
      } else if (value < previous - step) {
        value = previous - step;
        limited |= RATE_LIMITED;
      }
      this.command[i] = value;
    }
    return limited;
  }

  /**
   * The robot is taken over, at the start or after a fault: its safe command becomes the reference for the next one's
   * rate, and its stamps may begin anew.
   */
  restart(): void {
    for (let i = 0; i < this.command.length; i++) {
      this.command[i] = Math.min(this.#high[i], Math.max(this.#low[i], this.safe[i]));
    }
    this.#lastStamp = 0;
  }
}

/** Where in the sensor cell each observation term finds its measurement. */
export function sensorIndices(terms: readonly ObservationTerm[], joints: readonly string[]): Int32Array {
  return jointIndices(terms, joints).map(
    (joint, i) => SENSOR.vectors + joint + (terms[i].kind === 'jointVelocity' ? joints.length : 0),
  );
}
