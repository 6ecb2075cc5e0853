// What is wanted of the command between the policy's steps, and on the way from holding to the policy and back.

/** What the command does between two steps of a policy that is slower than the loop. */
export const INTERPOLATIONS = ['hold', 'linear'] as const;
export type Interpolation = (typeof INTERPOLATIONS)[number];

/**
 * Makes a wanted command `[m]` of targets, once a tick, without allocating. `hold` goes to the policy's action at once.
 * `linear` goes to it in equal parts over the ticks of one step, so that the command arrives when the next action
 * comes: smooth, one step later, and never beyond an action. After `begin` the wanted command moves from the one in
 * force then to the targets, as a convex combination of both, over `blendTicks` ticks.
 */
export class Shaping {
  readonly wanted: Float64Array;
  readonly #rampTicks: number;
  readonly #blendTicks: number;
  readonly #start: Float64Array;
  readonly #rampStart: Float64Array;
  readonly #ramp: Float64Array;
  #ramped = 0;
  #blended = 0;

  constructor(size: number, policyEvery: number, interpolation: Interpolation, blendTicks: number) {
    this.wanted = new Float64Array(size);
    this.#rampTicks = interpolation === 'linear' ? policyEvery : 1;
    this.#blendTicks = blendTicks;
    this.#start = new Float64Array(size);
    this.#rampStart = new Float64Array(size);
    this.#ramp = new Float64Array(size);
  }

  /** The targets change their meaning: goes over to the new ones from `command`. */
  begin(command: Float64Array): void {
    this.#start.set(command);
    this.#ramp.set(command);
    this.#blended = 0;
  }

  /** Whether `wanted` is at the target by now. */
  get arrived(): boolean {
    return this.#blended >= this.#blendTicks;
  }

  /** The policy has a new action. */
  beginStep(): void {
    this.#rampStart.set(this.#ramp);
    this.#ramped = 0;
  }

  /** Sets `wanted` for a tick in which the policy's newest action is `action`. */
  follow(action: Float64Array): void {
    this.#ramped++;
    if (this.#ramped >= this.#rampTicks) this.#ramp.set(action);
    else mix(this.#ramp, this.#rampStart, action, this.#ramped, this.#rampTicks);
    this.hold(this.#ramp);
  }

  /** Sets `wanted` for a tick in which the command is to stay at `target`. */
  hold(target: Float64Array): void {
    if (this.#blended < this.#blendTicks) this.#blended++;
    if (this.#blended >= this.#blendTicks) this.wanted.set(target);
    else mix(this.wanted, this.#start, target, this.#blended, this.#blendTicks);
  }
}

/** Writes the point after `ticks` of `all` ticks on the way between two others. */
function mix(out: Float64Array, from: Float64Array, to: Float64Array, ticks: number, all: number): void {
  for (let i = 0; i < out.length; i++) out[i] = from[i] + ((to[i] - from[i]) * ticks) / all;
}
