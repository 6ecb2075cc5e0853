// A task being simulated, one control step at a time.
import { CommandLimits } from '../../contract/commandLimits.js';
import { FarsightError } from '../../contract/errors.js';
import type { Random } from '../random.js';
import { Physics, type State } from './physics.js';
import type { Snapshot } from './snapshot.js';
import type { Task } from './task.js';

export interface Step {
  /** The observation after the step `[n]`, the caller's to keep. */
  observation: Float32Array;
  reward: number;
  /** What the actuators were told `[m]`: the action within the robot's limits. Valid until the next step. */
  command: Float64Array;
  /** The task's termination holds; the world can be stepped on regardless. */
  terminated: boolean;
}

/** What `save` keeps of a world; its lengths follow from the task. */
export interface SavedWorld {
  physics: Float64Array;
  limits: Float64Array;
  /** Of the present snapshot: MuJoCo derives parts of it within a step, so that they cannot be had again from its end. */
  seen: Float64Array;
}

/** One simulated robot doing one task. Any number may live at once; each is freed by `dispose`. */
export class World {
  readonly task: Task;
  readonly #physics: Physics;
  readonly #dt: number;
  /** The robot's own, once per control step. */
  readonly #limits: CommandLimits;
  readonly #wanted: Float64Array;
  /** Positions and velocities of the joints. */
  readonly #measured: Float64Array;
  #previous: Snapshot;
  #next: Snapshot;

  static async create(task: Task): Promise<World> {
    return new World(task, await Physics.create(task));
  }

  private constructor(task: Task, physics: Physics) {
    this.task = task;
    this.#physics = physics;
    this.#dt = task.timestep * task.frameSkip;
    this.#limits = new CommandLimits(task, task.controlRate);
    this.#wanted = new Float64Array(task.action.length);
    this.#measured = new Float64Array(2 * physics.joints.length);
    this.#previous = physics.snapshot();
    this.#next = physics.snapshot();
    physics.capture(this.#next);
    this.#measure();
    this.#limits.restart();
  }

  /** Starts an episode: the model's start state with the task's noise. Returns the first observation `[n]`. */
  reset(random: Random): Float32Array {
    this.#physics.reset(random);
    this.#physics.capture(this.#next);
    this.#measure();
    this.#limits.restart();
    return this.observation();
  }

  /**
   * Goes to a state of `qpos` `[nq]` and `qvel` `[nv]`. What follows depends on it alone, not on what was before.
   * Throws a `FarsightError` when a length or a number is wrong.
   */
  setState(state: State): void {
    const { qposSize, qvelSize } = this.#physics;
    for (const [name, values, size] of [
      ['qpos', state.qpos, qposSize],
      ['qvel', state.qvel, qvelSize],
    ] as const) {
      if (values.length !== size) {
        throw new FarsightError(
          `${name} has ${values.length} numbers, task '${this.task.name}' wants ${size}`,
        );
      }
      if (!Array.from(values).every(Number.isFinite)) {
        throw new FarsightError(`${name} holds a value that is not finite`);
      }
    }
    this.#physics.setState(state);
    this.#physics.capture(this.#next);
    this.#measure();
    this.#limits.restart();
  }

  /** Everything that decides what comes next, for `restore`: of the physics, of the limits, and what rewards look back at. */
  save(): SavedWorld {
    const { qpos, qvel, xpos, centreOfMass } = this.#next;
    return {
      physics: this.#physics.save(),
      limits: this.#limits.save(),
      seen: Float64Array.of(...qpos, ...qvel, ...xpos, ...centreOfMass),
    };
  }

  /** Goes on from where another world of the same task was saved, to the last bit. */
  restore({ physics, limits, seen }: SavedWorld): void {
    this.#physics.restore(physics);
    this.#limits.restore(limits);
    const { qpos, qvel, xpos, centreOfMass } = this.#next;
    let at = 0;
    for (const part of [qpos, qvel, xpos, centreOfMass]) {
      part.set(seen.subarray(at, at + part.length));
      at += part.length;
    }
  }

  /** The present state, copied. */
  state(): { qpos: Float64Array; qvel: Float64Array } {
    return { qpos: this.#next.qpos.slice(), qvel: this.#next.qvel.slice() };
  }

  /**
   * One control step with `action` `[m]` in actuator units. The limits that the robot has limit it here too, once per
   * control step, with the command of the step before. Throws a `FarsightError` when the action or the reward is not
   * finite.
   */
  step(action: ArrayLike<number>): Step {
    const physics = this.#physics;
    const previous = this.#next;
    const next = this.#previous;
    this.#previous = previous;
    this.#next = next;
    this.#wanted.set(action);
    if (this.#limits.limit(this.#wanted) < 0) {
      throw new FarsightError(`task '${this.task.name}': action ${this.#wanted.join(', ')} is not finite`);
    }
    physics.actuate(this.#limits.command);
    physics.advance(this.task.frameSkip);
    physics.capture(next);
    this.#measure();
    const reward = this.task.reward({
      previous,
      next,
      action: rewardedAction(this.task, action, this.#limits.command),
      dt: this.#dt,
    });
    if (!Number.isFinite(reward)) {
      throw new FarsightError(
        `task '${this.task.name}': reward is ${reward} at qpos ${next.qpos.join(', ')}, qvel ${next.qvel.join(', ')}`,
      );
    }
    const observation = this.observation();
    const { command } = this.#limits;
    return { observation, reward, command, terminated: physics.ended() };
  }

  /** The present observation `[n]`, new. */
  observation(): Float32Array {
    const observation = new Float32Array(this.task.observation.length);
    this.#physics.observe(observation);
    return observation;
  }

  /** Writes the present observation into `out` `[n]`; doubles keep the simulation's full precision. */
  observe(out: Float32Array | Float64Array): void {
    this.#physics.observe(out);
  }

  #measure(): void {
    this.#physics.measure(this.#measured, this.#measured, 0, this.#physics.joints.length);
    this.#limits.measure(this.#measured, 0);
  }

  dispose(): void {
    this.#physics.dispose();
  }
}

/** What the reward sees of an action that became `command`: see `Transition.action`. */
export function rewardedAction(
  { action: terms }: Pick<Task, 'action'>,
  action: ArrayLike<number>,
  command: Float64Array,
): Float64Array {
  return command.map((told, i) => {
    const [low, high] = terms[i].limits;
    return told === Math.min(high, Math.max(low, action[i])) ? action[i] : told;
  });
}
