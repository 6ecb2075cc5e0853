// Training of the ensemble p₁…p_K: maximum likelihood with holdout, early stopping and elites (Algorithm 2, line 4).
import { setImmediate } from 'node:timers/promises';
import { FarsightError } from '../../contract/errors.js';
import { allFinite } from '../finite.js';
import { makeAdam, type Optimizer } from '../nets/adam.js';
import { negativeLogLikelihood, predict, standardizerShapes } from '../nets/ensemble.js';
import { mlpNames, mlpShapes } from '../nets/mlp.js';
import type { Random } from '../random.js';
import { gradientOf, NdArray } from '../tensor/array.js';
import type { Engine, Program } from '../tensor/engine.js';
import { type Tensor, tf } from '../tensor/tf.js';
import { Turns } from '../turns.js';
import { split } from './holdout.js';
import { type Agent, setElites } from './networks.js';
import type { Options } from './options.js';
import type { Replay } from './replay.js';
import { uncertainty } from './uncertainty.js';

/** What a training of the model reached. */
export interface ModelFit {
  epochs: number;
  updates: number;
  /** Mean squared error of the elites on the held-out transitions, in standardised units. */
  holdoutError: number;
}

export interface FitHooks {
  /** After each minibatch; of `modelUpdatesMax` at most. */
  onUpdate?: (done: number) => void;
  stop?: AbortSignal;
}

/** The model's view of real transitions. */
export interface ModelCheck {
  /** Mean L2 distance between predicted and real next observation (elites' mean), in the task's units. */
  error: number;
  /** Real next observation less the predicted one (elites' mean), `[count, n]`, in the task's units. */
  residuals: Float64Array;
  /** u of each transition, `[count]`. */
  uncertainty: Float32Array;
}

/** Minibatches of one training that may be left out because their gradient is not finite. */
const MOST_SKIPPED = 100;
/** A member counts as better when its holdout error falls by this share. */
const IMPROVEMENT = 0.01;
/** Rows that one run of the check looks at. */
const CHECK_ROWS = 256;

export class Dynamics {
  readonly #agent: Agent;
  readonly #options: Options;
  readonly #update: Program;
  readonly #check: Program;
  readonly #input: NdArray;
  readonly #target: NdArray;
  readonly #optimize: Optimizer;
  readonly #loss: NdArray;
  readonly #checkInput: NdArray;
  readonly #checked: { mean: NdArray; u: NdArray };

  private constructor(agent: Agent, options: Options, update: Program, optimize: Optimizer, check: Program) {
    const { members, observationSize, actionSize } = agent.networks.ensemble;
    this.#agent = agent;
    this.#options = options;
    this.#update = update;
    this.#optimize = optimize;
    this.#check = check;
    this.#input = new NdArray([members, options.modelBatchSize, observationSize + actionSize]);
    this.#target = new NdArray([members, options.modelBatchSize, 1 + observationSize]);
    this.#loss = NdArray.scalar(0);
    this.#checkInput = new NdArray([CHECK_ROWS, observationSize + actionSize]);
    this.#checked = {
      mean: new NdArray([CHECK_ROWS, members, 1 + observationSize]),
      u: new NdArray([CHECK_ROWS]),
    };
  }

  static async create(engine: Engine, agent: Agent, options: Options): Promise<Dynamics> {
    const { ensemble } = agent.networks;
    const { members, observationSize, actionSize } = ensemble;
    const { modelBatchSize: rows, modelWeightDecay } = options;
    const parameters = mlpNames(ensemble);
    const weights = parameters.filter((name) => name.startsWith('model.w'));
    const update = await engine.program({
      name: 'model update',
      inputs: {
        ...mlpShapes(ensemble),
        ...standardizerShapes(ensemble),
        input: [members, rows, observationSize + actionSize],
        target: [members, rows, 1 + observationSize],
      },
      split: [...parameters, 'input', 'target'],
      body: (t) => {
        const standardized = tf.div(tf.sub(t.target, t['model.targetMean']), t['model.targetSd']);
        const objective = (...values: Tensor[]) => {
          const networks = { ...t, ...Object.fromEntries(parameters.map((name, i) => [name, values[i]])) };
          // Members do not mix: the gradient of the sum is each member's own.
          return tf.sum(
            negativeLogLikelihood(predict(ensemble, networks, t.input), standardized, options.modelWeighting),
          );
        };
        const { value, grads } = tf.valueAndGrads(objective as never)(parameters.map((name) => t[name]));
        const gradients = parameters.map((name, i) => {
          const decayed = weights.includes(name)
            ? tf.add(grads[i], tf.mul(t[name], modelWeightDecay))
            : grads[i];
          return [gradientOf(name), decayed] as const;
        });
        return { ...Object.fromEntries(gradients), loss: value };
      },
    });
    const learningRate = options.modelLearningRate;
    const optimize = await makeAdam(engine, agent.ensemble.flat.shape[0], { learningRate });
    const check = await engine.program({
      name: 'model check',
      inputs: {
        ...mlpShapes(ensemble),
        ...standardizerShapes(ensemble),
        rows: [CHECK_ROWS, observationSize + actionSize],
      },
      split: ['rows', 'mean', 'u'],
      body: (t) => {
        const prediction = predict(ensemble, t, t.rows);
        return {
          mean: tf.transpose(prediction.mean, [1, 0, 2]),
          u: uncertainty(prediction, options.uncertaintyScore),
        };
      },
    });
    return new Dynamics(agent, options, update, optimize, check);
  }

  /**
   * Trains all members on the replay buffer, from their present parameters, until none has improved on the held-out
   * transitions for `modelPatience` epochs; then each goes back to its best and the best become the elites. When
   * `stop` aborts it, its reason is thrown and the members are left as they are.
   */
  async fit(replay: Replay, random: Random, { onUpdate, stop }: FitHooks = {}): Promise<ModelFit> {
    const { modelHoldout, modelBatchSize, modelPatience, modelUpdatesMax } = this.#options;
    const { ensemble } = this.#agent;
    const { members } = this.#agent.networks.ensemble;
    const { heldOut, training } = split(replay, modelHoldout);
    await this.#setScales(replay, training, new Turns(stop));

    const best = new Float64Array(members).fill(Number.POSITIVE_INFINITY);
    const names = mlpNames(this.#agent.networks.ensemble);
    const snapshots = Object.fromEntries(names.map((name) => [name, ensemble.arrays[name].data.slice()]));
    const orders = Array.from({ length: members }, () => training.slice());
    let epochs = 0;
    let updates = 0;
    let skipped = 0;
    for (let sinceBetter = 0; sinceBetter <= modelPatience && updates < modelUpdatesMax; epochs++) {
      for (const own of orders) random.shuffle(own);
      for (let start = 0; start < training.length && updates < modelUpdatesMax; start += modelBatchSize) {
        this.#fill(replay, orders, start);
        const inputs = {
          ...ensemble.arrays,
          ...this.#agent.scales,
          input: this.#input,
          target: this.#target,
        };
        await this.#update.run(inputs, { ...ensemble.gradients, loss: this.#loss });
        updates++;
        if (allFinite(this.#loss.data) && allFinite(ensemble.gradient.data)) await this.#optimize(ensemble);
        else if (++skipped > MOST_SKIPPED) {
          throw new FarsightError(
            "training diverged: the model's loss is not finite, minibatch after minibatch; try a smaller --set modelLearningRate, or --set modelLayerNorm=true",
          );
        }
        onUpdate?.(updates);
        // Signals are heard only when the event loop turns.
        await setImmediate();
        stop?.throwIfAborted();
      }
      const errors = await this.#errors(replay, heldOut, stop);
      sinceBetter++;
      for (let k = 0; k < members; k++) {
        if (errors[k] < best[k] * (1 - IMPROVEMENT)) {
          best[k] = errors[k];
          sinceBetter = 0;
          for (const name of names) copyMember(ensemble.arrays[name].data, snapshots[name], k, members);
        }
      }
    }
    ensemble.assign(snapshots);
    const ranked = Array.from(best.keys()).sort((a, b) => best[a] - best[b]);
    const elites = ranked.slice(0, this.#options.elites);
    setElites(this.#agent, elites);
    const holdoutError = elites.reduce((sum, k) => sum + best[k], 0) / elites.length;
    return { epochs, updates, holdoutError };
  }

  /** Looks at the transitions `indices` of the replay buffer through the model. When `stop` aborts, its reason is thrown. */
  async check(replay: Replay, indices: Int32Array, stop?: AbortSignal): Promise<ModelCheck> {
    const { observationSize: n, actionSize: m } = replay;
    const { scales, elites } = this.#agent;
    const sd = scales['model.targetSd'].data;
    const mean = scales['model.targetMean'].data;
    const result = {
      error: 0,
      residuals: new Float64Array(indices.length * n),
      uncertainty: new Float32Array(indices.length),
    };
    await this.#eachRow(
      replay,
      indices,
      (row, i, predicted, u) => {
        let square = 0;
        for (let d = 1; d <= n; d++) {
          const standardized = elites.reduce((sum, k) => sum + predicted(k, d), 0) / elites.length;
          const real = row[n + m + d] - row[d - 1];
          const residual = real - (standardized * sd[d] + mean[d]);
          square += residual ** 2;
          result.residuals[i * n + d - 1] = residual;
        }
        result.error += Math.sqrt(square) / indices.length;
        result.uncertainty[i] = u;
      },
      stop,
    );
    return result;
  }

  /** Each member's mean squared error over standardised targets. */
  async #errors(replay: Replay, indices: Int32Array, stop?: AbortSignal): Promise<Float64Array> {
    const { members, observationSize: n, actionSize: m } = this.#agent.networks.ensemble;
    const sd = this.#agent.scales['model.targetSd'].data;
    const mean = this.#agent.scales['model.targetMean'].data;
    const errors = new Float64Array(members);
    const target = new Float64Array(n + 1);
    await this.#eachRow(
      replay,
      indices,
      (row, _, predicted) => {
        for (let d = 0; d <= n; d++) {
          const real = d === 0 ? row[n + m] : row[n + m + d] - row[d - 1];
          target[d] = (real - mean[d]) / sd[d];
        }
        for (let k = 0; k < members; k++) {
          for (let d = 0; d <= n; d++)
            errors[k] += (predicted(k, d) - target[d]) ** 2 / ((n + 1) * indices.length);
        }
      },
      stop,
    );
    return errors;
  }

  async #eachRow(
    replay: Replay,
    indices: Int32Array,
    visit: (
      row: Float32Array,
      i: number,
      predicted: (member: number, dimension: number) => number,
      u: number,
    ) => void,
    stop?: AbortSignal,
  ): Promise<void> {
    const turns = new Turns(stop);
    const inputSize = replay.observationSize + replay.actionSize;
    const outputs = replay.observationSize + 1;
    const { members } = this.#agent.networks.ensemble;
    const { mean, u } = this.#checked;
    for (let start = 0; start < indices.length; start += CHECK_ROWS) {
      await turns.pass();
      const count = Math.min(CHECK_ROWS, indices.length - start);
      for (let i = 0; i < count; i++) {
        this.#checkInput.data.set(replay.row(indices[start + i]).subarray(0, inputSize), i * inputSize);
      }
      const inputs = {
        ...this.#agent.ensemble.arrays,
        ...this.#agent.scales,
        rows: this.#checkInput,
      };
      await this.#check.run(inputs, this.#checked);
      for (let i = 0; i < count; i++) {
        const predicted = (k: number, d: number) => mean.data[(i * members + k) * outputs + d];
        visit(replay.row(indices[start + i]), start + i, predicted, u.data[i]);
      }
    }
  }

  /** Minibatch at `start` of every member's own order; the last one of an epoch is filled up from its beginning. */
  #fill(replay: Replay, orders: readonly Int32Array[], start: number): void {
    const { observationSize: n, actionSize: m, memory } = replay;
    const rows = this.#options.modelBatchSize;
    const { data: inputs } = this.#input;
    const { data: targets } = this.#target;
    let [input, target] = [0, 0];
    for (const order of orders) {
      for (let i = 0; i < rows; i++) {
        const from = replay.placeOf(order[(start + i) % order.length]);
        const reward = from + n + m;
        for (let d = 0; d < n + m; d++) inputs[input++] = memory[from + d];
        targets[target++] = memory[reward];
        for (let d = 0; d < n; d++) targets[target++] = memory[reward + 1 + d] - memory[from + d];
      }
    }
  }

  /** Means and standard deviations of inputs and targets over the training transitions. */
  async #setScales(replay: Replay, indices: Int32Array, turns: Turns): Promise<void> {
    const { observationSize: n, actionSize: m } = replay;
    const scales = this.#agent.scales;
    const store = async (prefix: string, size: number, value: (row: Float32Array, d: number) => number) => {
      const [mean, square] = [new Float64Array(size), new Float64Array(size)];
      for (const index of indices) {
        const row = replay.row(index);
        for (let d = 0; d < size; d++) mean[d] += value(row, d);
        await turns.pass();
      }
      for (let d = 0; d < size; d++) mean[d] /= indices.length;
      for (const index of indices) {
        const row = replay.row(index);
        for (let d = 0; d < size; d++) square[d] += (value(row, d) - mean[d]) ** 2;
        await turns.pass();
      }
      for (let d = 0; d < size; d++) {
        const sd = Math.sqrt(square[d] / indices.length);
        scales[`model.${prefix}Mean`].data[d] = mean[d];
        scales[`model.${prefix}Sd`].data[d] = sd > 1e-6 ? sd : 1;
      }
    };
    await store('input', n + m, (row, d) => row[d]);
    await store('target', n + 1, (row, d) => (d === 0 ? row[n + m] : row[n + m + d] - row[d - 1]));
  }
}

function copyMember(from: Float32Array, to: Float32Array, member: number, members: number): void {
  const size = from.length / members;
  to.set(from.subarray(member * size, (member + 1) * size), member * size);
}
