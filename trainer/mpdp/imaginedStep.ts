// One step of planning as a program: act with π_t, predict with the ensemble, score; and its way back.
import { ENTROPY_COEFFICIENT } from '../nets/critic.js';
import {
  chosen,
  type Prediction,
  predict,
  predictRouted,
  sampleTransition,
  standardizerShapes,
} from '../nets/ensemble.js';
import { mlpNames, mlpShapes } from '../nets/mlp.js';
import { normalizerShapes, sampleAction } from '../nets/policy.js';
import type { Random } from '../random.js';
import { gradientOf, NdArray, type NdArrays } from '../tensor/array.js';
import type { Differentiable, DifferentiableSource, Engine, Shapes, Tape } from '../tensor/engine.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { inForce, observedAndPending, stateAfter } from './commandDelay.js';
import { type Agent, type Networks, policyAt } from './networks.js';
import type { Options } from './options.js';
import { columns, copyRow } from './rows.js';
import { makeScorer, type Scorer } from './scorer.js';
import { uncertainty } from './uncertainty.js';

/** What a step makes of its states: all `[batch]`, `next` is `[batch, stateSize]`. */
export interface Imagined {
  /** r - α log π_t - β u (Eq. 10). */
  gain: Float32Array;
  next: Float32Array;
  /** NaN where nothing depends on it: it is not computed then. */
  u: Float32Array;
  logProbability: Float32Array;
}

/** The step for a fixed batch size. Each time step t has its own memory, because the way back needs it again. */
export class ImaginedStep {
  readonly batch: number;
  readonly matrixFlops: number;
  /** Derivatives of what is minimised, to be filled before `backward`. */
  readonly cotangents: { gain: NdArray; next: NdArray };
  readonly #program: Differentiable;
  readonly #score?: Scorer;
  readonly #agent: Agent;
  readonly #options: Options;
  readonly #stateGradient: NdArray;
  readonly #places: Place[] = [];

  private constructor(
    program: Differentiable,
    score: Scorer | undefined,
    agent: Agent,
    options: Options,
    batch: number,
  ) {
    const size = agent.networks.stateSize;
    this.batch = batch;
    this.matrixFlops = program.matrixFlops;
    this.cotangents = { gain: new NdArray([batch]), next: new NdArray([batch, size]) };
    this.#program = program;
    this.#score = score;
    this.#agent = agent;
    this.#options = options;
    this.#stateGradient = new NdArray([batch, size]);
  }

  static async create(engine: Engine, agent: Agent, options: Options, batch: number) {
    const program = await engine.differentiable(stepSource(agent.networks, options, batch));
    const cutOnly = !penalized(options) && options.uncertaintyThreshold !== null;
    const score = cutOnly ? await makeScorer(engine, agent, options, batch) : undefined;
    return new ImaginedStep(program, score, agent, options, batch);
  }

  /**
   * Where each of `count` states stands in the batch: spread over it, so that each member that predicts a part of the
   * batch gets its share of them.
   */
  slots(count: number): Int32Array {
    return Int32Array.from({ length: count }, (_, i) => Math.floor((i * this.batch) / count));
  }

  /**
   * Samples a_t ~ π_t and s_{t+1} ~ p for `states`, each in its slot; the slots between repeat the one before and should
   * get zero cotangents.
   */
  async forward(t: number, states: Float32Array, slots: Int32Array, random: Random): Promise<Imagined> {
    const { inputs, all, tape } = this.#placeOf(t);
    const { state, actionNoise, transitionNoise } = inputs;
    const { stateSize: size, observationSize } = this.#agent.networks;
    for (const [i, slot] of slots.entries()) {
      const end = slots[i + 1] ?? this.batch;
      for (let row = slot; row < end; row++) copyRow(states, i, state.data, row, size);
    }
    random.fillNormal(actionNoise.data);
    if (this.#options.modelNoise) random.fillNormal(transitionNoise.data);
    if (inputs.member) chooseMembers(inputs.member, this.#agent.elites, random);
    await this.#program.forward(all, tape);
    const { gain, next, action, logProbability } = tape.outputs;
    // A cut after the last step would cut nothing.
    const score = t === 0 || t < this.#options.horizonMax - 1 ? this.#score : undefined;
    const u =
      tape.outputs.u?.data ??
      (await score?.(columns(state.data, size, observationSize), action.data)) ??
      new Float32Array(this.batch).fill(Number.NaN);
    return { gain: gain.data, next: next.data, u, logProbability: logProbability.data };
  }

  /** Fills π_t's gradient from the cotangents; returns the derivative by the states that the step started from. */
  async backward(t: number): Promise<Float32Array> {
    const { all, tape, gradients } = this.#places[t];
    await this.#program.backward(all, this.cotangents, tape, gradients);
    return this.#stateGradient.data;
  }

  #placeOf(t: number): Place {
    const made = this.#places[t];
    if (made) return made;
    const { ensemble, eliteArrays, scales, networks } = this.#agent;
    const shapes = Object.entries(ownInputs(networks, this.#options, this.batch));
    const inputs = Object.fromEntries(shapes.map(([name, shape]) => [name, new NdArray(shape)]));
    const policy = policyAt(this.#agent, t);
    const model = penalized(this.#options) ? ensemble.arrays : eliteArrays;
    this.#places[t] = {
      inputs,
      all: { ...policy.arrays, ...model, ...scales, ...inputs },
      tape: this.#program.tape(),
      gradients: { ...policy.gradients, [gradientOf('state')]: this.#stateGradient },
    };
    return this.#places[t];
  }
}

/** What belongs to one time step: its own inputs, these with all networks, and what its two runs put out. */
interface Place {
  inputs: Record<string, NdArray>;
  all: NdArrays;
  tape: Tape;
  gradients: NdArrays;
}

/** Whether u is part of the gain; if not, it needs no gradient, and each row is its own member's alone. */
export function penalized({ regularization }: Options): boolean {
  return regularization > 0;
}

function ownInputs(networks: Networks, options: Options, batch: number): Shapes {
  const { observationSize, actionSize, stateSize, ensemble } = networks;
  return {
    state: [batch, stateSize],
    actionNoise: [batch, actionSize],
    transitionNoise: [batch, 1 + observationSize],
    ...(penalized(options) ? { member: [batch, ensemble.members] } : {}),
  };
}

function stepSource(networks: Networks, options: Options, batch: number): DifferentiableSource {
  const { policy, ensemble: all, observationSize } = networks;
  const { regularization, uncertaintyScore } = options;
  const ensemble = penalized(options) ? all : { ...all, members: options.elites };
  return {
    name: `imagined step, batch ${batch}`,
    inputs: {
      ...mlpShapes(policy),
      ...mlpShapes(ensemble),
      ...standardizerShapes(ensemble),
      ...normalizerShapes(observationSize),
      [ENTROPY_COEFFICIENT]: [],
      ...ownInputs(networks, options, batch),
    },
    body: (t) => {
      const { observation, pending } = observedAndPending(networks, t.state);
      const { action, logProbability } = sampleAction(policy, t, observation, t.actionNoise);
      const command = inForce(networks, action, pending);
      const input = tf.concat([observation, command], 1);
      const arrive = (prediction: Prediction) => {
        const { reward, next } = sampleTransition(ensemble, t, prediction, observation, t.transitionNoise);
        return { reward, next: stateAfter(next, action, pending) };
      };
      const softened = (reward: Tensor) => tf.sub(reward, tf.mul(logProbability, t[ENTROPY_COEFFICIENT]));
      if (!penalized(options)) {
        const { reward, next } = arrive(predictRouted(ensemble, t, input));
        return { gain: softened(reward), next, action: command, logProbability } as Tensors;
      }
      const predictions = predict(ensemble, t, input);
      const u = uncertainty(predictions, uncertaintyScore);
      const { reward, next } = arrive(chosen(predictions, t.member));
      return { gain: tf.sub(softened(reward), tf.mul(u, regularization)), next, u, logProbability };
    },
    cotangents: ['gain', 'next'],
    by: ['state', ...mlpNames(policy)],
    // Rows; and, where each member has its own rows, the members with them.
    split: [
      ...Object.keys(ownInputs(networks, options, batch)),
      ...(penalized(options) ? [] : mlpNames(ensemble)),
      ...['gain', 'next', 'u', 'action', 'logProbability'],
    ],
  };
}

/** One elite for each row, one-hot `[batch, K]`: a new member at each step (TS1 of PETS). */
function chooseMembers(
  { data, shape: [batch, members] }: NdArray,
  elites: readonly number[],
  random: Random,
) {
  data.fill(0);
  for (let row = 0; row < batch; row++) data[row * members + elites[random.integer(elites.length)]] = 1;
}
