// The simulated robot itself, whoever paces it: holds a start state, follows commands, damps, falls, starts again; with faults.
import { SENSOR } from '../../contract/robot.js';
import { Random } from '../../trainer/random.js';
import { Physics } from '../../trainer/sim/physics.js';
import type { Task } from '../../trainer/sim/task.js';
import { DelayLine } from './delayLine.js';
import { type Faults, HEALTHY, LONGEST_DELAY } from './faults.js';
import { ModelFaults } from './modelFaults.js';

/** Longest physics step, seconds. */
export const LONGEST_STEP = 0.002;
/** Commands older than this are not followed, seconds. */
export const COMMAND_TIMEOUT = 0.1;
/** Time between a termination and the new start state, seconds. */
const RESET_DELAY = 0.5;

/** The newest command at a physics step. Times are seconds of the clock that `step` is given. */
export interface RobotCommand {
  /** When it was sent, or arrived; -Infinity before the first. */
  stamp: number;
  /** In the task's order and units `[m]`. */
  values: Float64Array;
  /** Whether it ends the hold of a start state, when it is newer than that. */
  releases: boolean;
  /** Whether the robot shall damp instead. */
  damp: boolean;
}

/** One robot. `dispose` frees its physics. */
export class RobotBody {
  readonly joints: readonly string[];
  /** Seconds that `step` integrates. */
  readonly timestep: number;
  readonly #task: Task;
  readonly #physics: Physics;
  #starts: Random;
  #chance: Random;
  readonly #drivenJoints: number[];
  readonly #measurements: DelayLine;
  readonly #commands: DelayLine;
  /** The last message, before NaN; NaN throughout before the first. */
  readonly #reported: Float64Array;
  /** What the actuators are told. */
  readonly #told: Float64Array;
  readonly #position: Float64Array;
  readonly #velocity: Float64Array;
  /** From the first fault of the body on. */
  #modelFaults?: ModelFaults;
  #commandStamp = -Infinity;
  #faults: Readonly<Faults> = HEALTHY;
  #resets = 0;
  #heldSince: number;
  /** When the termination first held; NaN before. */
  #terminatedAt = Number.NaN;

  /** A robot that holds a start state at `now`. Start states and faults' chances follow from `seed`. */
  static async create(task: Task, timestep: number, seed: number, now: number): Promise<RobotBody> {
    return new RobotBody(task, await Physics.create(task, timestep), seed, now);
  }

  private constructor(task: Task, physics: Physics, seed: number, now: number) {
    this.#task = task;
    this.#physics = physics;
    this.joints = physics.joints;
    this.timestep = physics.timestep;
    this.#starts = new Random(seed);
    this.#chance = new Random(seed ^ 0x5eed);
    this.#drivenJoints = task.action.map((term) => physics.joints.indexOf(term.joint));
    const sensors = SENSOR.vectors + 2 * this.joints.length;
    const capacity = Math.ceil(LONGEST_DELAY / physics.timestep) + 2;
    this.#measurements = new DelayLine(sensors, capacity);
    this.#commands = new DelayLine(task.action.length, capacity);
    this.#reported = new Float64Array(sensors).fill(Number.NaN);
    this.#told = new Float64Array(task.action.length);
    this.#position = new Float64Array(this.joints.length);
    this.#velocity = new Float64Array(this.joints.length);
    this.#heldSince = now;
    physics.reset(this.#starts);
    this.#rest();
  }

  /** To look at, and to push; who steps it steps this body. */
  get physics(): Physics {
    return this.#physics;
  }

  /** When the robot began to hold its start state; NaN while it moves. */
  get heldSince(): number {
    return this.#heldSince;
  }

  /** Start states so far, after the first. */
  get resets(): number {
    return this.#resets;
  }

  /** Makes the robot suffer exactly `faults` from now on. */
  setFaults(faults: Readonly<Faults>): void {
    if (ModelFaults.differ(faults, this.#faults)) {
      this.#physics.alter((model) => {
        this.#modelFaults ??= new ModelFaults(model);
        this.#modelFaults.apply(model, faults);
      });
    }
    this.#faults = faults;
  }

  /** Start states and faults' chances follow from `seed` from now on. */
  reseed(seed: number): void {
    this.#starts = new Random(seed);
    this.#chance = new Random(seed ^ 0x5eed);
  }

  /** Puts the robot to a new start state, which it holds. */
  reset(now: number): void {
    this.#physics.reset(this.#starts);
    // What was on its way to the actuators is spent.
    this.#commands.take(Number.POSITIVE_INFINITY);
    this.#rest();
    this.#resets++;
    this.#heldSince = now;
    this.#terminatedAt = Number.NaN;
  }

  /** One physics step at `now` under `command`. The robot stands still while it holds a start state. */
  step(now: number, command: RobotCommand): void {
    if (!Number.isNaN(this.#heldSince)) {
      if (!command.releases || command.stamp <= this.#heldSince) return;
      this.#heldSince = Number.NaN;
    }
    if (now - this.#terminatedAt >= RESET_DELAY) {
      this.reset(now);
      return;
    }
    this.#follow(now, command);
    this.#physics.advance(1);
    if (Number.isNaN(this.#terminatedAt) && this.#physics.ended()) this.#terminatedAt = now;
  }

  /** Follows a command in force; otherwise lets the joints come to rest by their own damping. */
  #follow(now: number, { stamp, values, damp }: RobotCommand): void {
    if (stamp !== this.#commandStamp) {
      this.#commandStamp = stamp;
      this.#commands.push(now).set(values);
    }
    const arrived = this.#commands.take(now - this.#faults.actuatorDelay);
    if (arrived) this.#told.set(arrived);
    if (!damp && now - stamp <= COMMAND_TIMEOUT) {
      this.#physics.actuate(this.#told);
      return;
    }
    this.#rest();
    this.#physics.actuate(this.#told);
  }

  /** Tells the actuators to pull nowhere. */
  #rest(): void {
    this.#physics.measure(this.#position, this.#velocity);
    const { action } = this.#task;
    for (let i = 0; i < action.length; i++) {
      // A position actuator pulls nowhere when told to be where it is.
      this.#told[i] = action[i].kind === 'position' ? this.#position[this.#drivenJoints[i]] : 0;
    }
  }

  /**
   * Measures at `now`, and writes the newest message that has come from the sensors into `out`, laid out as `SENSOR`
   * says. Returns false, and leaves `out` as it is, when there is none.
   */
  sense(now: number, out: Float64Array): boolean {
    const { delay, freeze, loss } = this.#faults;
    const joints = this.joints.length;
    const measured = this.#measurements.push(now);
    measured[SENSOR.stamp] = now;
    measured[SENSOR.resets] = this.#resets;
    measured[SENSOR.terminal] = Number.isNaN(this.#terminatedAt) ? 0 : 1;
    this.#physics.measure(measured, measured, SENSOR.vectors, SENSOR.vectors + joints);
    const arrived = this.#measurements.take(now - delay);
    if (!arrived || freeze || (loss > 0 && this.#chance.uniform() < loss)) return false;
    out.set(arrived);
    this.#spoil(out);
    return true;
  }

  /** Puts what is wrong with the sensors into their message. */
  #spoil(message: Float64Array): void {
    const { positionNoise, velocityNoise, jump, stuck, nan, backward } = this.#faults;
    const joints = this.joints.length;
    const last = this.#reported;
    message[SENSOR.stamp] -= backward;
    for (let i = 0; i < joints; i++) {
      const position = SENSOR.vectors + i;
      const velocity = position + joints;
      if ((stuck === 'all' || stuck === this.joints[i]) && !Number.isNaN(last[SENSOR.stamp])) {
        message[position] = last[position];
        message[velocity] = last[velocity];
        continue;
      }
      message[position] += jump;
      if (positionNoise > 0) message[position] += positionNoise * this.#chance.normal();
      if (velocityNoise > 0) message[velocity] += velocityNoise * this.#chance.normal();
    }
    last.set(message);
    for (let i = 0; i < joints; i++) {
      if (nan !== 'all' && nan !== this.joints[i]) continue;
      message[SENSOR.vectors + i] = Number.NaN;
      message[SENSOR.vectors + joints + i] = Number.NaN;
    }
  }

  dispose(): void {
    this.#physics.dispose();
  }
}
