// The gate of a refit: what the new policy must not lose, in simulation and in the model fitted to the robot.

import type { Evaluation } from '../mpdp/evaluate.js';
import type { Mpdp } from '../mpdp/mpdp.js';
import { Random } from '../random.js';
import { World } from '../sim/world.js';
import type { Engine } from '../tensor/engine.js';
import { type EvaluateInModel, type ModelReturn, makeModelReturn, spreadOf } from './modelReturn.js';

/** A return may be below the parent's by this share of it. */
const TOLERANCE = 0.05;
export const EPISODES = 10;
/** Of the start states of all evaluations. */
export const EVALUATION_SEED = 100;

export class Gate {
  /** Return of the parent in the model. */
  readonly before: ModelReturn;
  readonly #inSimulation: number;
  readonly #evaluateInModel: EvaluateInModel;
  readonly #starts: readonly Float32Array[];

  /** @param learner its policy is the parent still, its model fitted to the robot */
  static async open(
    engine: Engine,
    learner: Mpdp,
    inSimulation: number,
    { onRemark, stop }: { onRemark?: (line: string) => void; stop?: AbortSignal },
  ): Promise<Gate> {
    const { agent, options, task } = learner;
    const evaluateInModel = await makeModelReturn(engine, agent, options, task, EPISODES);
    const world = await World.create(task);
    const random = new Random(EVALUATION_SEED);
    const starts = Array.from({ length: EPISODES }, () => world.reset(random));
    world.dispose();
    const before = await evaluateInModel(starts, EVALUATION_SEED, stop);
    onRemark?.(
      `return of the run's policy in the model fitted to the robot ${before.mean.toFixed(1)} ± ${before.sd.toFixed(1)}`,
    );
    return new Gate(before, inSimulation, evaluateInModel, starts);
  }

  private constructor(
    before: ModelReturn,
    inSimulation: number,
    evaluateInModel: EvaluateInModel,
    starts: readonly Float32Array[],
  ) {
    this.before = before;
    this.#inSimulation = inSimulation;
    this.#evaluateInModel = evaluateInModel;
    this.#starts = starts;
  }

  /** Measures the present policy in both, and whether it passes in both. */
  async look(
    learner: Mpdp,
    stop?: AbortSignal,
  ): Promise<{ evaluation: Evaluation; inModel: ModelReturn; passes: boolean }> {
    const evaluation = await learner.evaluate(EPISODES, EVALUATION_SEED, stop);
    const inModel = await this.#evaluateInModel(this.#starts, EVALUATION_SEED, stop);
    const loses = evaluation.mean < this.#inSimulation - tolerance(this.#inSimulation);
    return { evaluation, inModel, passes: !loses && !losesInModel(this.before, inModel) };
  }
}

/** Whether more is lost than the tolerance and the standard error of the members, which are compared one by one. */
export function losesInModel(before: ModelReturn, after: ModelReturn): boolean {
  const { mean, sd } = spreadOf(after.byMember.map((value, k) => value - before.byMember[k]));
  return mean + sd / Math.sqrt(after.byMember.length) < -tolerance(before.mean);
}

function tolerance(before: number): number {
  return TOLERANCE * Math.abs(before);
}
