// The safety envelope's watch: what measurements, observations and interventions must satisfy for the policy to act.
import { LEAST_DEVIATION, type Manifest } from '../contract/manifest.js';
import { SENSOR } from '../contract/robot.js';
import { checkSafety } from '../contract/safetyCheck.js';
import { jointIndices, jointsOf, type ObservationTerm, termName } from '../contract/terms.js';
import { FAULT } from './modes.js';

/** Places in the envelope's stamps, seconds: the newest one heard, and the one before. */
const NEWEST = 0;
const BEFORE = 1;

/**
 * Checks measurements once a tick and the policy's steps once a step, without allocating; `CommandLimits` does the
 * rest. Arrays over joints are in the order of `jointsOf`, units as in the manifest. A check returns what is wrong as
 * an index in FAULTS, 0 for nothing, and the first in the order of its lines.
 */
export class Envelope {
  /** Largest and mean |z| of the observation last checked against those of training. */
  readonly score = new Float64Array(2);

  readonly #joints: number;
  /** Index in the sensor cell of what each observation term reads. */
  readonly #measured: Int32Array;
  readonly #positionLow: Float64Array;
  readonly #positionHigh: Float64Array;
  readonly #speedLimit: Float64Array;
  readonly #jumpSpeed: Float64Array;
  readonly #jumpAllowance: Float64Array;
  readonly #stuckTimeout: Float64Array;
  /** Bounds `[b]`: index in the sensor cell, low, high. */
  readonly #bounded: Int32Array;
  readonly #boundLow: Float64Array;
  readonly #boundHigh: Float64Array;
  readonly #mean: Float64Array;
  readonly #deviation: Float64Array;
  readonly #period: number;
  readonly #sensorTimeout: number;
  readonly #scoreLimit: number;
  readonly #scoreSteps: number;
  readonly #limitedMost: number;

  readonly #stamps = new Float64Array(2);
  /** Positions of the newest stamp, and the stamp since which each is the same. */
  readonly #position: Float64Array;
  readonly #unchanged: Float64Array;
  #resets = 0;
  #strange = 0;
  /** Which of the last steps of the policy were limited, a ring. */
  readonly #limitedSteps: Uint8Array;
  #place = 0;
  #limitedCount = 0;
  #acted = false;

  /** Throws a `FarsightError` when the manifest's limits cannot be meant (see `checkSafety`). */
  constructor({ observation, action, safety, observationStatistics }: Manifest, rateHz: number) {
    const joints = jointsOf({ observation, action });
    checkSafety({ observation, action, safety });
    const ofJoint = new Map(safety.joints.map((entry) => [entry.joint, entry]));
    const each = (value: (entry: (typeof safety.joints)[number]) => number | undefined, none = Infinity) =>
      Float64Array.from(joints, (joint) => {
        const entry = ofJoint.get(joint);
        return (entry && value(entry)) ?? none;
      });
    this.#joints = joints.length;
    this.#measured = sensorIndices(observation, joints);
    this.#positionLow = each((entry) => entry.position?.[0], -Infinity);
    this.#positionHigh = each((entry) => entry.position?.[1]);
    this.#speedLimit = each((entry) => entry.velocity);
    this.#jumpSpeed = each(
      (entry) => entry.jumpMargin && entry.velocity && entry.jumpMargin * entry.velocity,
    );
    this.#jumpAllowance = each((entry) => entry.jumpAllowance, 0);
    this.#stuckTimeout = each((entry) => entry.stuckTimeout);
    const bounds = safety.bounds ?? [];
    this.#bounded = Int32Array.from(
      bounds,
      ({ term }) => this.#measured[observation.findIndex((each) => termName(each) === term)],
    );
    this.#boundLow = Float64Array.from(bounds, ({ range }) => range[0]);
    this.#boundHigh = Float64Array.from(bounds, ({ range }) => range[1]);
    this.#mean = Float64Array.from(observationStatistics.mean);
    this.#deviation = Float64Array.from(observationStatistics.sd, (sd) => Math.max(sd, LEAST_DEVIATION));
    this.#period = 1 / rateHz;
    this.#sensorTimeout = safety.sensorTimeout;
    this.#scoreLimit = safety.outOfDistribution?.limit ?? Infinity;
    this.#scoreSteps = safety.outOfDistribution?.steps ?? 1;
    const { share, steps } = safety.limiting ?? { share: 1, steps: 1 };
    this.#limitedMost = share * steps;
    this.#limitedSteps = new Uint8Array(steps);
    this.#position = new Float64Array(joints.length);
    this.#unchanged = new Float64Array(joints.length);
  }

  /**
   * What is wrong with a sensor cell's content and the observation made of it, at time `times[now]` (ns), while the
   * policy acts or does not.
   */
  check(
    sensors: Float64Array,
    observation: Float32Array,
    times: Float64Array,
    now: number,
    acts: boolean,
  ): number {
    const stamp = sensors[SENSOR.stamp];
    const stamps = this.#stamps;
    const wentBackward = stamp < stamps[NEWEST];
    const moved = this.#follow(sensors, acts);
    this.#compare(observation);

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
    for (let b = 0; b < this.#bounded.length; b++) {
      const value = sensors[this.#bounded[b]];
      if (!(value >= this.#boundLow[b] && value <= this.#boundHigh[b])) return FAULT['workspace limit'];
    }
    // A stamp far in the future is another clock's: how old the measurement is cannot be known.
    if (!(Math.abs(times[now] / 1e9 - stamp) <= this.#sensorTimeout)) return FAULT['sensor stale'];
    if (wentBackward) return FAULT['sensor stamp went backward'];
    return moved;
  }

  /**
   * What is wrong with a step that the policy is about to take, or took, on the observation last checked, after a step
   * before it whose command some limit changed or not.
   */
  checkStep(limited: boolean): number {
    this.#strange = this.score[0] > this.#scoreLimit ? this.#strange + 1 : 0;
    const steps = this.#limitedSteps;
    this.#limitedCount += (limited ? 1 : 0) - steps[this.#place];
    steps[this.#place] = limited ? 1 : 0;
    this.#place = (this.#place + 1) % steps.length;
    if (this.#strange >= this.#scoreSteps) return FAULT['out of distribution'];
    if (this.#limitedCount > this.#limitedMost) return FAULT['limited too long'];
    return FAULT.none;
  }

  /** The policy begins to act: what it did before does not count. */
  beginPolicy(): void {
    this.#strange = 0;
    this.#limitedCount = 0;
    this.#limitedSteps.fill(0);
  }

  /** The robot is taken over, at the start or after a fault: its stamps may begin anew, and it may be anywhere. */
  restart(): void {
    this.#stamps.fill(0);
  }

  /** Keeps the newest stamp and its positions; says how they moved since the one before. */
  #follow(sensors: Float64Array, acts: boolean): number {
    const stamps = this.#stamps;
    const stamp = sensors[SENSOR.stamp];
    const began = acts && !this.#acted;
    this.#acted = acts;
    if (!(stamp > stamps[NEWEST])) {
      if (began) this.#unchanged.fill(stamps[NEWEST]);
      return FAULT.none;
    }
    stamps[BEFORE] = stamps[NEWEST];
    stamps[NEWEST] = stamp;
    const isNew = stamps[BEFORE] === 0 || sensors[SENSOR.resets] !== this.#resets;
    this.#resets = sensors[SENSOR.resets];
    // Stamps may lie closer together than measurements: what moves is judged by a period of the loop at least.
    const time = Math.max(stamp - stamps[BEFORE], this.#period);
    let fault = FAULT.none;
    for (let j = 0; j < this.#joints; j++) {
      const position = sensors[SENSOR.vectors + j];
      const before = this.#position[j];
      this.#position[j] = position;
      if (isNew || began || position !== before) this.#unchanged[j] = stamp;
      else if (acts && stamp - this.#unchanged[j] >= this.#stuckTimeout[j]) fault = FAULT['sensor stuck'];
      const most = this.#jumpSpeed[j] * time + this.#jumpAllowance[j];
      if (!isNew && most < Infinity && !(Math.abs(position - before) <= most)) fault = FAULT['sensor jump'];
    }
    return fault;
  }

  /** Scores an observation against those of training. */
  #compare(observation: Float32Array): void {
    let largest = 0;
    let sum = 0;
    for (let i = 0; i < observation.length; i++) {
      const z = Math.abs(observation[i] - this.#mean[i]) / this.#deviation[i];
      // Written so that NaN stays.
      if (!(z <= largest)) largest = z;
      sum += z;
    }
    this.score[0] = largest;
    this.score[1] = sum / observation.length;
  }
}

/** Where in the sensor cell each observation term finds its measurement. */
export function sensorIndices(terms: readonly ObservationTerm[], joints: readonly string[]): Int32Array {
  return jointIndices(terms, joints).map(
    (joint, i) => SENSOR.vectors + joint + (terms[i].kind === 'jointVelocity' ? joints.length : 0),
  );
}
