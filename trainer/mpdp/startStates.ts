// Where plans start: states that π₀ gets to from the replay buffer in imagined steps (distribution rollouts).
import { allFinite } from '../finite.js';
import type { Random } from '../random.js';
import { NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Arrivals, makeArrivals } from './commandDelay.js';
import type { Termination } from './farsighted.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';
import { makePolicyRollout, type RollOut, type Rollout } from './policyRollout.js';
import { type Batch, Replay } from './replay.js';
import { columns } from './rows.js';
import { makeScorer, type Scorer } from './scorer.js';

const STEPS = 20;
/** Replay states that one rollout begins from. */
const ROWS = 256;
/** States of a set, and how many sets are kept: the newest ones. */
const SET = 5120;
const SETS = 10;
/** Draws from the ring between two new sets. */
const DRAWS_PER_SET = 20;

/** A ring of sets of living states, the replay states that they began from among them. */
export class StartStates {
  /** All sets, `[SETS · SET, stateSize]`. */
  readonly states: NdArray;
  /** Sets made since the ring was last emptied, and draws since the last set. */
  position = { sets: 0, draws: 0 };
  readonly #agent: Agent;
  readonly #isTerminal: Termination;
  readonly #rollOut: RollOut;
  readonly #arrivals?: Arrivals;
  readonly #score?: Scorer;
  readonly #from: Batch;

  private constructor(
    agent: Agent,
    isTerminal: Termination,
    rollOut: RollOut,
    arrivals?: Arrivals,
    score?: Scorer,
  ) {
    const { observationSize, actionSize, stateSize } = agent.networks;
    this.#agent = agent;
    this.#isTerminal = isTerminal;
    this.#rollOut = rollOut;
    this.#arrivals = arrivals;
    this.#score = score;
    this.#from = new Replay(observationSize, actionSize, 1).batch(ROWS);
    this.states = new NdArray([SETS * SET, stateSize]);
  }

  static async create(
    engine: Engine,
    agent: Agent,
    options: Options,
    isTerminal: Termination,
  ): Promise<StartStates> {
    const rollOut = await makePolicyRollout(engine, agent, options, ROWS, STEPS);
    const arrivals = options.commandDelay > 0 ? await makeArrivals(engine, agent, ROWS) : undefined;
    const score = options.cutRollouts ? await makeScorer(engine, agent, options, ROWS) : undefined;
    return new StartStates(agent, isTerminal, rollOut, arrivals, score);
  }

  /** Forgets all sets: another model would lead elsewhere. */
  empty(): void {
    this.position.sets = 0;
  }

  /**
   * Fills `out` with states drawn uniformly from the ring, after rolling out a new set when one is due; with `cutRollouts`
   * rollouts end where u reaches `threshold`.
   */
  async sample(out: Float32Array, replay: Replay, random: Random, threshold: number | null): Promise<void> {
    const { position, states } = this;
    const { stateSize: n } = this.#agent.networks;
    if (position.sets === 0 || position.draws === DRAWS_PER_SET)
      await this.#addSet(replay, random, threshold);
    position.draws++;
    const kept = Math.min(position.sets, SETS) * SET;
    for (let at = 0; at < out.length; at += n) {
      const from = random.integer(kept) * n;
      out.set(states.data.subarray(from, from + n), at);
    }
  }

  async #addSet(replay: Replay, random: Random, threshold: number | null): Promise<void> {
    const { stateSize: n, observationSize } = this.#agent.networks;
    const start = (this.position.sets % SETS) * SET * n;
    const set = this.states.data.subarray(start, start + SET * n);
    let filled = 0;
    while (filled < set.length) {
      replay.sample(this.#from, random);
      const from = (await this.#arrivals?.(this.#from)) ?? this.#from.observation.data;
      const rollout = await this.#rollOut(from, random);
      const u = threshold === null ? undefined : await this.#uncertainties(from, rollout);
      for (let row = 0; row < ROWS && filled < set.length; row++) {
        for (let k = 0; k <= STEPS && filled < set.length; k++) {
          const state = (k === 0 ? from : rollout.states[k - 1]).subarray(row * n, (row + 1) * n);
          if (k > 0 && (!allFinite(state) || this.#isTerminal(state.subarray(0, observationSize)))) break;
          if (k > 0 && u && !(u[k - 1][row] < threshold!)) break;
          set.set(state, filled);
          filled += n;
        }
      }
    }
    this.position.sets++;
    this.position.draws = 0;
  }

  /** u of every step of a rollout, each `[ROWS]`; nothing where rollouts are not cut. */
  async #uncertainties(
    from: Float32Array,
    { states, actions }: Rollout,
  ): Promise<Float32Array[] | undefined> {
    if (!this.#score) return undefined;
    const { stateSize, observationSize } = this.#agent.networks;
    const scored: Float32Array[] = [];
    for (let k = 0; k < STEPS; k++) {
      const observations = columns(k === 0 ? from : states[k - 1], stateSize, observationSize);
      scored.push((await this.#score(observations, actions[k])).slice());
    }
    return scored;
  }
}
