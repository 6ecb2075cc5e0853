// The limits of commands: range, effort, approach to a joint's limit, rate, acceleration, jerk; one for robot and training.
import { FarsightError } from './errors.js';
import { INTERVENTIONS, type Intervention } from './loop.js';
import { Smoothing } from './smoothing.js';
import { jointIndices, jointsOf, type TaskInterface } from './terms.js';

/** The bit of an intervention in a trace row. */
export function interventionBit(name: Intervention): number {
  return 1 << INTERVENTIONS.indexOf(name);
}
const RANGE = interventionBit('effort or range limit');
const RATE = interventionBit('rate limit');
const ACCELERATION = interventionBit('acceleration limit');

/** A command beyond a limit by less than this share of its range is float32's rounding, not an intervention. */
const ROUNDING = 1e-6;
/** Most ticks that a command may take across its range with the acceleration limit alone; more is a slip of units. */
const LONGEST_CROSSING = 1e6;
/** Seconds that a command's smoothing may span; more is a slip of units. */
const LONGEST_SMOOTHING = 2;

/**
 * Limits one command a tick, without allocating. Arrays over joints are in the order of `jointsOf`, arrays over
 * commands in the order of the action terms, units as in the interface.
 *
 * Whatever it is given, `command` is finite, inside the actuator's and the joint's limits, at most
 * `commandRate / rateHz` away from the command before, its change at most `commandAcceleration / rateHz²` away from the
 * change before, and that difference at most `commandJerk / rateHz³` away from the one before. All of these hold at
 * once: a command that moves keeps the room that it needs to stop in, and the jerk is bounded by a mean over the
 * commands that the other limits allow (see Smoothing), which is no intervention: it only comes later.
 */
export class CommandLimits {
  /** The command that leaves. */
  readonly command: Float64Array;
  /** What to command when the policy may not act: positions as last measured, effort and velocity 0. */
  readonly safe: Float64Array;
  /** The limits that changed each command in the last tick, as bits (see INTERVENTIONS). */
  readonly limited: Int32Array;

  readonly #joints: number;
  /** Joint of each command, and whether the command is a position, or a velocity. */
  readonly #joint: Int32Array;
  readonly #isPosition: Uint8Array;
  readonly #isVelocity: Uint8Array;
  readonly #low: Float64Array;
  readonly #high: Float64Array;
  readonly #tolerance: Float64Array;
  /** Largest change of each command in one tick, and largest change of that change. */
  readonly #step: Float64Array;
  readonly #bend: Float64Array;
  /** Share of the distance to the joint's limit by which the command may go towards it; infinite without such a limit. */
  readonly #approach: Float64Array;
  readonly #jointLow: Float64Array;
  readonly #jointHigh: Float64Array;
  /** Commands that a stop takes to the safe one at once, whatever the limits of their change. */
  readonly #immediate: Uint8Array;
  /** Position per effort, position per velocity, and largest distance of the command from where it pulls nowhere. */
  readonly #lead: Float64Array;
  readonly #pull: Float64Array;
  /** As last measured and finite `[joints]`. */
  readonly #position: Float64Array;
  readonly #velocity: Float64Array;
  /** The commands before they are smoothed: the references for the next ones. */
  readonly #sharp: Float64Array;
  readonly #smoothing: Smoothing;
  /** Change of each of those in the last tick, and what was wanted of it then. */
  readonly #change: Float64Array;
  readonly #target: Float64Array;

  /**
   * Limits of `rateHz` commands a second. Throws a `FarsightError` when the interface's limits leave a command no
   * value or make it too slow to be meant.
   */
  constructor(
    { observation, action, safety }: Pick<TaskInterface, 'observation' | 'action' | 'safety'>,
    rateHz: number,
  ) {
    const joints = jointsOf({ observation, action });
    const ofJoint = new Map(safety.joints.map((entry) => [entry.joint, entry]));
    const each = <T>(value: (term: (typeof action)[number], entry: ReturnType<typeof ofJoint.get>) => T) =>
      action.map((term) => value(term, ofJoint.get(term.joint)));
    const ranges = each(({ kind, joint, limits: [low, high] }, entry) => {
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
    this.#joints = joints.length;
    this.#joint = jointIndices(action, joints);
    this.#isPosition = Uint8Array.from(action, ({ kind }) => (kind === 'position' ? 1 : 0));
    this.#isVelocity = Uint8Array.from(action, ({ kind }) => (kind === 'velocity' ? 1 : 0));
    this.#low = Float64Array.from(ranges, ([low]) => low);
    this.#high = Float64Array.from(ranges, ([, high]) => high);
    this.#tolerance = Float64Array.from(ranges, ([low, high]) => ROUNDING * (high - low));
    this.#step = Float64Array.from(each((_, entry) => (entry?.commandRate ?? Infinity) / rateHz));
    this.#bend = Float64Array.from(
      each((_, entry) => (entry?.commandAcceleration ?? Infinity) / rateHz ** 2),
    );
    this.#bend.forEach((bend, i) => {
      if ((ranges[i][1] - ranges[i][0]) / bend > LONGEST_CROSSING ** 2) {
        throw new FarsightError(
          `safety limits for joint '${action[i].joint}': with this commandAcceleration a command takes more than ${LONGEST_CROSSING} ticks across its range`,
        );
      }
    });
    this.#approach = Float64Array.from(
      each(({ kind }, entry) =>
        kind === 'effort' ? Infinity : (entry?.approachGain ?? Infinity) / (kind === 'position' ? rateHz : 1),
      ),
    );
    this.#immediate = Uint8Array.from(
      each(({ kind }, entry) =>
        (entry?.stop ?? (kind === 'effort' ? 'immediate' : 'limited')) === 'immediate' ? 1 : 0,
      ),
    );
    this.#jointLow = Float64Array.from(each((_, entry) => entry?.position?.[0] ?? -Infinity));
    this.#jointHigh = Float64Array.from(each((_, entry) => entry?.position?.[1] ?? Infinity));
    const efforts = each(({ kind }, entry) => (kind === 'position' ? entry?.effort : undefined));
    this.#lead = Float64Array.from(efforts, (effort) => (effort ? effort.damping / effort.stiffness : 0));
    this.#pull = Float64Array.from(efforts, (effort) =>
      effort ? effort.limit / effort.stiffness : Infinity,
    );
    this.#position = new Float64Array(joints.length);
    this.#velocity = new Float64Array(joints.length);
    const spans = each(({ joint }, entry) => {
      const { commandAcceleration = 0, commandJerk = Infinity } = entry ?? {};
      const span = Math.ceil((2 * commandAcceleration * rateHz) / commandJerk - 1e-9);
      if (span > LONGEST_SMOOTHING * rateHz) {
        throw new FarsightError(
          `safety limits for joint '${joint}': with this commandJerk its commands come ${(span / rateHz / 2).toFixed(1)} s late`,
        );
      }
      return Math.max(1, span);
    });
    this.#smoothing = new Smoothing(Int32Array.from(spans));
    this.#sharp = new Float64Array(action.length);
    this.#change = new Float64Array(action.length);
    this.#target = new Float64Array(action.length);
    this.safe = new Float64Array(action.length);
    this.limited = new Int32Array(action.length);
    this.command = new Float64Array(action.length);
    this.restart();
  }

  /**
   * Takes note of the measured positions `[joints]` at `state[offset…]` and the velocities `[joints]` that follow them.
   * One that is not finite leaves the last one.
   */
  measure(state: Float64Array, offset: number): void {
    for (let j = 0; j < this.#joints; j++) {
      const position = state[offset + j];
      const velocity = state[offset + this.#joints + j];
      if (Number.isFinite(position)) this.#position[j] = position;
      if (Number.isFinite(velocity)) this.#velocity[j] = velocity;
    }
    for (let i = 0; i < this.safe.length; i++) {
      if (this.#isPosition[i] === 1) this.safe[i] = this.#position[this.#joint[i]];
    }
  }

  /**
   * Makes `command` the nearest one to `wanted` `[m]` that the limits allow. Returns the limits that changed it as
   * bits (see INTERVENTIONS); or -1, and leaves `command` alone, when `wanted` is not finite: that is a fault of who
   * wants it, and is not repaired by clamping.
   */
  limit(wanted: Float64Array): number {
    for (let i = 0; i < wanted.length; i++) if (!Number.isFinite(wanted[i])) return -1;
    let all = 0;
    for (let i = 0; i < wanted.length; i++) {
      let limited = 0;
      let value = wanted[i];
      const previous = this.#sharp[i];
      if (this.#approach[i] < Infinity) {
        const from = this.#isVelocity[i] === 1 ? 0 : previous;
        const position = this.#position[this.#joint[i]];
        const down = this.#approach[i] * Math.max(0, position - this.#jointLow[i]);
        const up = this.#approach[i] * Math.max(0, this.#jointHigh[i] - position);
        if (value > from + up) {
          value = from + up;
          limited |= RATE;
        } else if (value < from - down) {
          value = from - down;
          limited |= RATE;
        }
      }

      const asked = value;
      if (this.#pull[i] < Infinity) {
        const joint = this.#joint[i];
        const slack = this.#position[joint] + this.#lead[i] * this.#velocity[joint];
        value = Math.min(slack + this.#pull[i], Math.max(slack - this.#pull[i], value));
      }
      if (value < this.#low[i]) value = this.#low[i];
      else if (value > this.#high[i]) value = this.#high[i];
      if (Math.abs(value - asked) > this.#tolerance[i]) limited |= RANGE;

      const target = value;
      const step = this.#step[i];
      if (value > previous + step) {
        value = previous + step;
        limited |= RATE;
      } else if (value < previous - step) {
        value = previous - step;
        limited |= RATE;
      }
      if (this.#bend[i] < Infinity) {
        const bent = this.#bent(i, target);
        if (Math.abs(bent - value) > this.#tolerance[i]) limited |= ACCELERATION;
        value = bent;
      }
      this.#target[i] = target;
      this.#change[i] = value - previous;
      this.#sharp[i] = value;
      this.limited[i] = limited;
      all |= limited;
    }
    this.#smoothing.push(this.#sharp, this.command);
    return all;
  }

  /**
   * A tick of a stop: makes `command` the next one on the way to the safe one, which is reached at once where the
   * interface says so (see `stop` of a joint's safety), and within the limits elsewhere. Returns the limits that changed
   * it.
   */
  halt(): number {
    this.limit(this.safe);
    let all = 0;
    for (let i = 0; i < this.command.length; i++) {
      if (this.#immediate[i] === 1) this.#rest(i, this.safe[i]);
      all |= this.limited[i];
    }
    return all;
  }

  /** Whether `command` is where the last wanted one is within the other limits: a smoothed one comes there later. */
  get settled(): boolean {
    for (let i = 0; i < this.command.length; i++) {
      if (Math.abs(this.command[i] - this.#sharp[i]) > this.#tolerance[i]) return false;
    }
    return true;
  }

  /** The robot is taken over: its safe command, at rest, becomes the reference for the next one. */
  restart(): void {
    this.startAt(this.safe);
  }

  /** `values` `[m]`, as near as their ranges allow, are commanded now, and at rest. */
  startAt(values: Float64Array): void {
    for (let i = 0; i < this.command.length; i++) this.#rest(i, values[i]);
  }

  /** Everything that decides the next commands, for `restore`. */
  save(): Float64Array {
    return Float64Array.from(this.#memory().flatMap((part) => [...part]));
  }

  /** Goes on from where limits of the same interface and rate were saved. */
  restore(saved: Float64Array): void {
    let at = 0;
    for (const part of this.#memory()) {
      part.set(saved.subarray(at, at + part.length));
      at += part.length;
    }
  }

  #memory(): Float64Array[] {
    const references = [this.#sharp, this.#change, this.#target, ...this.#smoothing.memory];
    return [this.command, this.safe, this.#position, this.#velocity, ...references];
  }

  #rest(i: number, value: number): void {
    const inside = Math.min(this.#high[i], Math.max(this.#low[i], value));
    this.#sharp[i] = inside;
    this.#target[i] = inside;
    this.#change[i] = 0;
    this.#smoothing.hold(i, inside);
    this.command[i] = inside;
    this.limited[i] = 0;
  }

  /**
   * Command `i` under its acceleration limit. It moves as the target moves, and closes what it lies behind at the
   * highest speed that it can still brake from. So a target within the limits is followed exactly, and one that steps
   * is reached without overshoot; and it never moves so fast that it could not stop before its range ends.
   */
  #bent(i: number, target: number): number {
    const previous = this.#sharp[i];
    const bend = this.#bend[i];
    const last = this.#change[i];
    const behind = this.#target[i] - previous;
    const closing = stoppable(Math.abs(behind), bend);
    const wished = target - this.#target[i] + (behind < 0 ? -closing : closing);
    const least = Math.max(last - bend, -this.#step[i], -stoppable(previous - this.#low[i], bend));
    const most = Math.min(last + bend, this.#step[i], stoppable(this.#high[i] - previous, bend));
    const change = Math.max(least, Math.min(most, wished));
    if (change === target - previous) return target;
    return Math.min(this.#high[i], Math.max(this.#low[i], previous + change));
  }
}

/**
 * The largest change v of this tick from which the command can come to rest within `room`, when each later change is
 * `bend` smaller: v + (v - bend) + (v - 2 bend) + … = room.
 */
function stoppable(room: number, bend: number): number {
  if (!(room > 0)) return 0;
  const whole = Math.floor((Math.sqrt(1 + (8 * room) / bend) - 1) / 2);
  return (room + (bend * whole * (whole + 1)) / 2) / (whole + 1);
}
