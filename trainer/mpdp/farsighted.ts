// Algorithm 1, Farsighted Policy Improvement: plan from each state through the model and improve all policies jointly.

import { allFinite } from '../finite.js';
import { makeAdam, type Optimizer } from '../nets/adam.js';
import type { Random } from '../random.js';
import type { Engine } from '../tensor/engine.js';
import { type BootstrapValue, makeBootstrapValue } from './bootstrapValue.js';
import { ImaginedStep, penalized } from './imaginedStep.js';
import { type Agent, policyAt } from './networks.js';
import type { Options } from './options.js';
import { copyRow, gathered } from './rows.js';

/** What one improvement did; numbers are means over the batch. */
export interface Improvement {
  /** J, the planning objective (Eq. 9). */
  objective: number;
  /** Steps that each trajectory took before it was cut or ended, `[batch]`. */
  horizons: Int32Array;
  meanHorizon: number;
  /** u on the first step; NaN where nothing depends on it. */
  uncertainty: number;
  /** -log π₀ on the first step. */
  entropy: number;
  /** Imagined states in all. */
  imaginedSteps: number;
  /** Trajectories that left the update because a number was not finite: others took their place. */
  left: number;
  /** Whether there were too many of them, or the gradient was not finite: then nothing has changed. */
  skipped: boolean;
}

/** Whether an observation ends the episode. */
export type Termination = (observation: Float32Array) => boolean;

/** What an update did that was skipped. */
const NOTHING: Improvement = {
  objective: 0,
  horizons: new Int32Array(),
  meanHorizon: 0,
  uncertainty: 0,
  entropy: 0,
  imaginedSteps: 0,
  left: 0,
  skipped: true,
};
/** How often trajectories may leave an update before it is skipped. */
const ATTEMPTS = 3;
/** The smallest batch that a step is compiled for; the others are powers of two times this, up to the whole batch. */
const SMALLEST_BATCH = 16;

interface Parts {
  engine: Engine;
  agent: Agent;
  options: Options;
  isTerminal: Termination;
  random: Random;
  value: BootstrapValue;
  /** π_t by its gradient. */
  optimize: Optimizer;
}

export class FarsightedImprovement {
  readonly #engine: Engine;
  readonly #agent: Agent;
  readonly #options: Options;
  readonly #isTerminal: Termination;
  readonly #random: Random;
  readonly #value: BootstrapValue;
  readonly #optimize: Optimizer;
  readonly #steps = new Map<number, ImaginedStep>();

  private constructor(parts: Parts) {
    this.#engine = parts.engine;
    this.#agent = parts.agent;
    this.#options = parts.options;
    this.#isTerminal = parts.isTerminal;
    this.#random = parts.random;
    this.#value = parts.value;
    this.#optimize = parts.optimize;
  }

  static async create(
    engine: Engine,
    agent: Agent,
    options: Options,
    isTerminal: Termination,
    random: Random,
  ) {
    const value = await makeBootstrapValue(engine, agent, options);
    const { learningRate, gradientClip: clip } = options;
    const optimize = await makeAdam(engine, agent.policies[0].flat.shape[0], { learningRate, clip });
    return new FarsightedImprovement({ engine, agent, options, isTerminal, random, value, optimize });
  }

  /**
   * One joint update of π₀ … π_{Hmax-1} from `states` `[batch, stateSize]`. A trajectory whose u reaches
   * `threshold` leaves the batch: no work is spent on it, nor on steps that none reaches; null cuts none. One policy
   * for all steps goes down the sum of the steps' gradients.
   */
  async improve(states: Float32Array, threshold: number | null): Promise<Improvement> {
    const { batchSize } = this.#options;
    const size = states.length / batchSize;
    let from = states;
    let left = 0;
    for (let attempt = 1; ; attempt++) {
      const done = await this.#attempt(from, threshold);
      if (!(done instanceof Set)) return { ...done, left };
      left += done.size;
      const kept = Array.from({ length: batchSize }, (_, row) => row).filter((row) => !done.has(row));
      if (kept.length === 0 || attempt === ATTEMPTS) return { ...NOTHING, left };
      const rows = Int32Array.from({ length: batchSize }, (_, row) =>
        done.has(row) ? kept[row % kept.length] : row,
      );
      from = gathered(from, rows, size);
    }
  }

  /** Does so unless trajectories come to numbers that are not finite: then nothing has changed, and these are returned. */
  async #attempt(states: Float32Array, threshold: number | null): Promise<Improvement | Set<number>> {
    const { horizonMax, discount, batchSize } = this.#options;
    /** γᵗ. */
    const weight = Float64Array.from({ length: horizonMax + 1 }, (_, t) => discount ** t);
    const routed = !penalized(this.#options);
    const { stateSize: size, observationSize } = this.#agent.networks;
    const horizons = new Int32Array(batchSize);
    const terminal = new Uint8Array(batchSize);
    const last = new Float32Array(batchSize * size);
    const path: { step: ImaginedStep; rows: number[]; slots: Int32Array }[] = [];
    const result = {
      objective: 0,
      horizons,
      meanHorizon: 0,
      uncertainty: 0,
      entropy: 0,
      imaginedSteps: 0,
      left: 0,
      skipped: false,
    };
    let rows = Array.from(horizons.keys());
    let current = states;
    for (let t = 0; t < horizonMax && rows.length > 0; t++) {
      // Lines 4, 5 and 10: a_t ~ π_t, s_{t+1} ~ p, and what the step gains, γ^t (r - α log π_t - β u).
      const step = await this.#stepFor(rows.length);
      const slots = step.slots(rows.length);
      const { gain, next, u, logProbability } = await step.forward(t, current, slots, this.#random);
      const successorOf = (i: number) => next.subarray(slots[i] * size, (slots[i] + 1) * size);
      if (!allFinite(gain) || !allFinite(next)) {
        const lost = rows.filter((_, i) => !Number.isFinite(gain[slots[i]]) || !allFinite(successorOf(i)));
        if (lost.length > 0) return new Set(lost);
      }
      const alive: number[] = [];
      for (const [i, row] of rows.entries()) {
        const slot = slots[i];
        const successor = successorOf(i);
        result.objective += (weight[t] * gain[slot]) / batchSize;
        horizons[row] = t + 1;
        // Lines 6 to 9: the trajectory stops, and its last state is where V takes over.
        terminal[row] = this.#isTerminal(successor.subarray(0, observationSize)) ? 1 : 0;
        const cut = threshold !== null && !(u[slot] < threshold);
        if (terminal[row] || cut || t === horizonMax - 1) last.set(successor, row * size);
        else alive.push(i);
        if (t === 0) {
          result.uncertainty += u[slot] / batchSize;
          result.entropy -= logProbability[slot] / batchSize;
        }
      }
      path.push({ step, rows, slots });
      result.imaginedSteps += rows.length;
      // A row's slot decides its member: another one at each step (TS1).
      const survivors = Int32Array.from(alive);
      if (routed) this.#random.shuffle(survivors);
      current = gathered(
        next,
        survivors.map((i) => slots[i]),
        size,
      );
      const walked = rows;
      rows = Array.from(survivors, (i) => walked[i]);
    }

    // Line 7, once for each trajectory: γ^{t+1} V^old(s_{t+1}), nothing at a terminal state.
    const weights = Float32Array.from(horizons, (horizon, row) =>
      terminal[row] ? 0 : -weight[horizon] / batchSize,
    );
    const { value, gradient } = await this.#value.of(last, weights, this.#random);
    if (!allFinite(value) || !allFinite(gradient)) {
      const own = (row: number) => gradient.subarray(row * size, (row + 1) * size);
      const isLost = (row: number) => !Number.isFinite(value[row]) || !allFinite(own(row));
      return new Set(Array.from(horizons.keys()).filter(isLost));
    }
    for (let row = 0; row < batchSize; row++) {
      result.meanHorizon += horizons[row] / batchSize;
      if (!terminal[row]) result.objective += (weight[horizons[row]] * value[row]) / batchSize;
    }

    // Line 13: from the last step to the first, the derivative of -J by each imagined state, and π_t's update.
    const shared = this.#options.policies === 'shared';
    // One policy's gradient begins with what V at the end gave it.
    const total = shared ? this.#agent.policies[0].gradient.data.slice() : undefined;
    const byState = new Float32Array(batchSize * size);
    for (let t = path.length - 1; t >= 0; t--) {
      const { step, rows, slots } = path[t];
      const { gain, next } = step.cotangents;
      gain.data.fill(0);
      next.data.fill(0);
      for (const [i, row] of rows.entries()) {
        gain.data[slots[i]] = -weight[t] / batchSize;
        const source = horizons[row] === t + 1 ? gradient : byState;
        copyRow(source, row, next.data, slots[i], size);
      }
      const stateGradient = await step.backward(t);
      const policy = policyAt(this.#agent, t);
      if (!allFinite(policy.gradient.data) || !allFinite(stateGradient)) return { ...result, skipped: true };
      if (total) add(total, policy.gradient.data);
      else await this.#optimize(policy);
      for (const [i, row] of rows.entries()) copyRow(stateGradient, slots[i], byState, row, size);
    }
    if (total) {
      const [policy] = this.#agent.policies;
      policy.gradient.data.set(total);
      await this.#optimize(policy);
    }
    return result;
  }

  /** FLOPs of the matrix products of one improvement whose trajectories all take `horizon` steps. */
  matrixFlops(horizon: number): number {
    const step = this.#steps.get(this.#options.batchSize);
    return this.#value.matrixFlops + horizon * (step?.matrixFlops ?? 0);
  }

  async #stepFor(count: number): Promise<ImaginedStep> {
    const { batchSize } = this.#options;
    let batch = Math.min(SMALLEST_BATCH, batchSize);
    while (batch < count) batch = Math.min(2 * batch, batchSize);
    let step = this.#steps.get(batch);
    if (!step) {
      step = await ImaginedStep.create(this.#engine, this.#agent, this.#options, batch);
      this.#steps.set(batch, step);
    }
    return step;
  }
}

function add(sum: Float32Array, term: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += term[i];
}
