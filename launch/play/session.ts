// A policy on the simulated robot as a person plays with it: steps, episodes, faults, pushes, limits; no display in here.
import { CommandLimits } from '../../contract/commandLimits.js';
import type { Fault } from '../../contract/loop.js';
import type { Manifest } from '../../contract/manifest.js';
import { SENSOR } from '../../contract/robot.js';
import { jointIndices, observe } from '../../contract/terms.js';
import type { Snapshot } from '../../trainer/sim/snapshot.js';
import type { Task } from '../../trainer/sim/task.js';
import { rewardedAction } from '../../trainer/sim/world.js';
import { RobotBody, type RobotCommand } from '../robot/body.js';
import { changeFaults, describeFaults, type Faults, HEALTHY } from '../robot/faults.js';
import { applyPush, type Push } from './push.js';
import { RobotLoop } from './robotLoop.js';

/**
 * What stands between the policy and the actuators. `training`: the limits of commands, once a step of the policy, as
 * in training and in `farsight eval`. `robot`: the robot's whole loop with its faults, which latch. `none`: nothing.
 */
export const LIMITS = ['training', 'robot', 'none'] as const;
export type Limits = (typeof LIMITS)[number];

/** Ends with `dispose`. */
export class Session {
  readonly task: Task;
  readonly body: RobotBody;
  /** What the policy saw last, what it answered, and what the actuators were told. */
  readonly observation: Float32Array;
  readonly action: Float32Array;
  readonly command: Float64Array;
  /** Of the last step, and of the episode so far. */
  reward = 0;
  return = 0;
  /** Of the policy, in this episode. */
  steps = 0;
  /** Episodes since the seed was set, from 1. */
  episode = 1;
  /** The episode has ended; until the robot is put back nothing counts. */
  over: 'terminated' | 'time limit' | undefined;
  /** Returns of the seed's episodes that have ended. */
  readonly returns: number[] = [];
  push: Push | undefined;
  readonly #manifest: Manifest;
  readonly #infer: (observation: Float32Array) => Float32Array;
  readonly #limits: CommandLimits;
  readonly #joints: Int32Array;
  readonly #sensors: Float64Array;
  readonly #wanted: Float64Array;
  readonly #told: RobotCommand;
  #previous: Snapshot;
  #next: Snapshot;
  #seed: number;
  #mode: Limits = 'training';
  #loop: RobotLoop | undefined;
  #faults: Faults = { ...HEALTHY };
  /** Simulated, s; it does not begin at 0, which means no time to a loop. */
  #now = 1;
  /** Physics steps of the present step of the policy. */
  #within = 0;
  #resets = 0;
  #notFinite = false;

  static async create(
    task: Task,
    manifest: Manifest,
    infer: (observation: Float32Array) => Float32Array,
    seed: number,
  ): Promise<Session> {
    const body = await RobotBody.create(task, task.timestep, seed, 1);
    return new Session(task, manifest, infer, seed, body);
  }

  private constructor(
    task: Task,
    manifest: Manifest,
    infer: (observation: Float32Array) => Float32Array,
    seed: number,
    body: RobotBody,
  ) {
    this.task = task;
    this.body = body;
    this.#manifest = manifest;
    this.#infer = infer;
    this.#seed = seed;
    this.observation = new Float32Array(task.observation.length);
    this.action = new Float32Array(task.action.length);
    this.command = new Float64Array(task.action.length);
    this.#wanted = new Float64Array(task.action.length);
    this.#limits = new CommandLimits(task, task.controlRate);
    this.#joints = jointIndices(task.observation, body.joints);
    this.#sensors = new Float64Array(SENSOR.vectors + 2 * body.joints.length);
    this.#told = { stamp: 0, values: this.command, releases: true, damp: false };
    this.#previous = body.physics.snapshot();
    this.#next = body.physics.snapshot();
    this.#begin();
  }

  get seed(): number {
    return this.#seed;
  }

  /** Simulated since the session began, s. */
  get time(): number {
    return this.#now - 1;
  }

  get limits(): Limits {
    return this.#mode;
  }

  set limits(mode: Limits) {
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#loop = undefined;
    this.#limits.startAt(this.command);
  }

  /** Settings as `farsight robot --fault` takes them; 'none' when the robot is healthy. */
  get faults(): string {
    return describeFaults(this.#faults);
  }

  /** What stopped the policy; undefined while it acts. */
  get stopped(): Fault | undefined {
    if (this.#loop && this.#loop.fault !== 'none') return this.#loop.fault;
    return this.#notFinite ? 'policy output not finite' : undefined;
  }

  /** Throws a `UsageError` for a setting that does not exist. */
  setFaults(settings: readonly string[]): void {
    this.#faults = changeFaults(HEALTHY, settings, this.body.joints);
    this.body.setFaults(this.#faults);
  }

  /** A person rearms after a fault. */
  rearm(): void {
    this.#notFinite = false;
    this.#loop?.rearm();
  }

  /** Begins the first episode of `seed`. */
  restart(seed: number): void {
    this.#seed = seed;
    this.body.reseed(seed);
    this.body.reset(this.#now);
    this.returns.length = 0;
    this.episode = 0;
    this.rearm();
    this.#beginEpisode();
  }

  /** One physics step; true when it ended a step of the policy. */
  advance(): boolean {
    const { body } = this;
    this.#now += body.timestep;
    let told = this.#told;
    if (this.#mode === 'robot') told = this.#tick();
    else if (this.#within === 0) this.#act();
    told.stamp = this.#now;
    applyPush(body.physics, this.push);
    body.step(this.#now, told);
    if (body.resets !== this.#resets) {
      this.#beginEpisode();
      return true;
    }
    if (!Number.isNaN(body.heldSince)) return false;
    this.#within = (this.#within + 1) % this.task.frameSkip;
    if (this.#within > 0) return false;
    this.#endStep();
    return true;
  }

  /** To the end of a step of the policy. */
  step(): void {
    const most = 10 * this.task.frameSkip;
    for (let i = 0; i < most && !this.advance(); i++);
  }

  dispose(): void {
    this.body.dispose();
  }

  /** What the policy wants, within the limits of training. */
  #act(): void {
    this.#infer(this.observation).forEach((value, i) => {
      this.action[i] = value;
    });
    this.#wanted.set(this.action);
    this.#notFinite = !this.#wanted.every(Number.isFinite);
    this.#told.damp = this.#notFinite;
    if (this.#notFinite) return;
    if (this.#mode === 'none') this.command.set(this.#wanted);
    else {
      this.#limits.limit(this.#wanted);
      this.command.set(this.#limits.command);
    }
  }

  /** The same, of the robot's loop. */
  #tick(): RobotCommand {
    const { task, body, observation, action } = this;
    this.#loop ??= new RobotLoop({
      manifest: this.#manifest,
      body,
      policyEvery: task.frameSkip,
      policy: { observation, action, run: () => action.set(this.#infer(observation)) },
      now: this.#now - body.timestep,
    });
    const told = this.#loop.tick(this.#now);
    this.command.set(told.values);
    return told;
  }

  /** The robot was put back. */
  #beginEpisode(): void {
    this.episode++;
    this.#begin();
  }

  #begin(): void {
    const { physics } = this.body;
    this.#resets = this.body.resets;
    this.#within = 0;
    this.steps = 0;
    this.return = 0;
    this.reward = 0;
    this.over = undefined;
    physics.capture(this.#next);
    this.#sense();
    this.#limits.restart();
  }

  #endStep(): void {
    const { body, task, action } = this;
    const previous = this.#next;
    const next = this.#previous;
    this.#previous = previous;
    this.#next = next;
    body.physics.capture(next);
    this.#sense();
    if (this.over) return;
    const dt = task.timestep * task.frameSkip;
    this.reward = task.reward({ previous, next, action: rewardedAction(task, action, this.command), dt });
    this.return += this.reward;
    this.steps++;
    if (body.physics.ended()) this.over = 'terminated';
    else if (this.steps >= task.maxEpisodeSteps) this.over = 'time limit';
    if (this.over) this.returns.push(this.return);
    if (this.over !== 'time limit') return;
    body.reset(this.#now);
    this.#beginEpisode();
  }

  /** Hears the sensors, unless the robot's loop does. */
  #sense(): void {
    if (this.#mode === 'robot') return;
    this.body.sense(this.#now, this.#sensors);
    this.#limits.measure(this.#sensors, SENSOR.vectors);
    const joints = this.body.joints.length;
    const positions = this.#sensors.subarray(SENSOR.vectors, SENSOR.vectors + joints);
    const velocities = this.#sensors.subarray(SENSOR.vectors + joints);
    observe(this.task.observation, this.#joints, positions, velocities, this.observation);
  }
}
