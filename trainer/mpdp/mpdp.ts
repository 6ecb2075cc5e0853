// Algorithm 2, Model-based Planning Distilled to Policy: collect, fit the model, evaluate the policy, improve it.

import { FarsightError } from '../../contract/errors.js';
import { setNormalizer } from '../nets/policy.js';
import { Random } from '../random.js';
import type { MetricsLine } from '../report/metrics.js';
import type { Task } from '../sim/task.js';
import { World } from '../sim/world.js';
import { NdArray } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { fromActuators, toActuators } from './actionScale.js';
import type { CriticUpdate } from './critic.js';
import type { Dynamics, FitHooks } from './dynamics.js';
import { type Episode, type Evaluation, evaluate } from './evaluate.js';
import { metricsLine } from './metricsLine.js';
import { MetricsWindow } from './metricsWindow.js';
import { type Agent, bringBack, type Memory, makeAgent, makeNetworks, remember } from './networks.js';
import type { Options } from './options.js';
import { type Position, startPosition } from './position.js';
import { makePrograms, type Programs } from './programs.js';
import { type Batch, Replay } from './replay.js';
import type { StartStates } from './startStates.js';
import { calibratedThreshold, newestOf } from './threshold.js';

/** Environment steps between two lines of metrics. */
const METRICS_EVERY = 250;
/** Transitions that a model can be trained on at all. */
const FEWEST = 10;
/** Updates in a row that may be skipped because a number was not finite. */
const MOST_SKIPPED = 100;
/** Training episodes whose mean return is shown. */
const RECENT_EPISODES = 10;
/** From an evaluation's seed to that of the second one that the best gets: as far from all others as can be. */
const SECOND_LOOK = 2 ** 31;

interface Parts {
  task: Task;
  options: Options;
  seed: number;
  random: Random;
  agent: Agent;
  /** Where it collects, and where it evaluates. */
  world: World;
  evaluationWorld: World;
  programs: Programs;
}

export class Mpdp {
  readonly task: Task;
  readonly options: Options;
  readonly seed: number;
  readonly random: Random;
  readonly agent: Agent;
  readonly replay: Replay;
  readonly world: World;
  readonly position: Position;
  readonly dynamics: Dynamics;
  /** What has been seen since the last line of metrics. */
  readonly window = new MetricsWindow();
  /** What the next action answers, in place. */
  readonly observation: Float32Array;
  /** Of the last evaluation. */
  evaluated: Episode[] = [];
  /** Policies and critics of the best evaluation. */
  best?: Memory;
  /** Where plans start, unless they start from the replay buffer. */
  readonly startStates?: StartStates;
  readonly #programs: Programs;
  readonly #evaluationWorld: World;
  readonly #batch: Batch;
  readonly #states: NdArray;

  /** @param engine runs every program of the run */
  static async create(task: Task, options: Options, seed: number, engine: Engine): Promise<Mpdp> {
    const random = new Random(seed);
    const networks = makeNetworks(task.observation.length, task.action.length, options);
    const agent = makeAgent(networks, options, random);
    const [world, evaluationWorld] = [await World.create(task), await World.create(task)];
    const programs = await makePrograms(engine, agent, options, task, random);
    return new Mpdp({ task, options, seed, random, agent, world, evaluationWorld, programs });
  }

  private constructor(parts: Parts) {
    const { task, options, random, agent, world, programs } = parts;
    this.task = task;
    this.options = options;
    this.seed = parts.seed;
    this.random = random;
    this.agent = agent;
    this.world = world;
    this.dynamics = programs.dynamics;
    this.startStates = programs.startStates;
    this.#evaluationWorld = parts.evaluationWorld;
    this.#programs = programs;
    this.replay = new Replay(task.observation.length, task.action.length, options.replaySize);
    this.#batch = this.replay.batch(options.batchSize);
    this.#states = new NdArray([options.batchSize, agent.networks.stateSize]);
    this.observation = world.reset(random);
    this.position = startPosition(this.startStates);
  }

  /**
   * One pass of Algorithm 2's loop in small parts: the training of the model, an update, or a line of metrics that is
   * due, or else an environment step. Returns that line. When `stop` aborts a part that takes long, its reason is
   * thrown, and the part is due again.
   */
  async step(stop?: AbortSignal): Promise<MetricsLine | undefined> {
    const { position } = this;
    const began = performance.now();
    try {
      if (position.modelDue) {
        await this.#timed('model', () => this.trainModel(this.replay, { stop }));
        position.modelDue = false;
      } else if (position.criticUpdatesDue > 0) {
        await this.updateCritic();
        position.criticUpdatesDue--;
      } else if (position.updatesDue > 0) {
        await this.update();
        position.updatesDue--;
      } else if (this.#lineDue) {
        return await this.#line(stop);
      } else {
        await this.#timed('environment', () => this.#collect());
        this.#beginRound();
      }
    } finally {
      position.seconds += (performance.now() - began) / 1000;
    }
    return undefined;
  }

  /** Whether all that the environment steps so far have brought is done. */
  get atRest(): boolean {
    const { modelDue, criticUpdatesDue, updatesDue } = this.position;
    return !modelDue && criticUpdatesDue === 0 && updatesDue === 0 && !this.#lineDue;
  }

  /** Where a round of updates is due, with the model's training if that is, too. */
  #beginRound(): void {
    const { options, position } = this;
    const { environmentSteps } = position;
    const first = position.modelFit === null;
    if (environmentSteps < options.warmupSteps || !(first || environmentSteps % options.updateEvery === 0))
      return;
    if (first || environmentSteps % options.modelEvery === 0) {
      position.modelDue = true;
      position.criticUpdatesDue = options.criticUpdates;
    }
    const due = options.updatesPerStep * options.updateEvery;
    position.updatesDue = first ? Math.max(due, options.firstUpdates) : due;
  }

  /** Line 3: one environment step with π₀, or with a random action at first. */
  async #collect(): Promise<void> {
    const { random, position, task } = this;
    const action =
      position.environmentSteps < this.options.warmupSteps
        ? Float32Array.from(task.action, () => random.uniform(-1, 1))
        : await this.#programs.actor.sample(this.observation, random);
    const { observation: next, reward, terminated, command } = this.world.step(toActuators(task, action));
    // What the robot did, as recordings have it: where limits bind, what the policy wanted does not tell what comes next.
    const done = fromActuators(task, command);
    this.replay.add({ observation: this.observation, action: done, reward, next, terminal: terminated });
    this.observation.set(next);
    position.environmentSteps++;
    position.episodeSteps++;
    position.episodeReturn += reward;
    if (terminated || position.episodeSteps >= task.maxEpisodeSteps) {
      position.recentReturns = [...position.recentReturns, position.episodeReturn].slice(-RECENT_EPISODES);
      position.episodes++;
      position.episodeSteps = 0;
      position.episodeReturn = 0;
      this.observation.set(this.world.reset(random));
    }
  }

  /**
   * Line 4: maximum likelihood on `data`, and the threshold that goes with the new model. When `stop` aborts it,
   * nothing has changed.
   */
  async trainModel(data: Replay = this.replay, hooks: FitHooks = {}): Promise<void> {
    const { position, replay, random, agent, task, options } = this;
    if (data.size < FEWEST) {
      throw new FarsightError(
        `task '${task.name}': only ${data.size} of its transitions so far can be physical, all others hold numbers that are not finite or beyond 1e10; look at its reward and its MJCF`,
      );
    }
    const [before, randomState] = [remember(agent, 'model'), random.save()];
    if (position.modelFit !== null)
      position.modelError = (await this.dynamics.check(replay, newestOf(replay))).error;
    else if (options.normalizeObservations) setNormalizer(agent.scales, replay.observationStatistics());
    try {
      position.modelFit = await this.dynamics.fit(data, random, hooks);
    } catch (error) {
      bringBack(agent, 'model', before);
      random.restore(randomState);
      throw error;
    }
    this.startStates?.empty();
    position.threshold = await this.#threshold();
  }

  async #threshold(): Promise<number | null> {
    const { options, replay, random, dynamics, position } = this;
    const { uncertaintyThreshold, thresholdFrom } = options;
    if (uncertaintyThreshold !== 'calibrated') return uncertaintyThreshold;
    if (thresholdFrom === 'first' && position.threshold !== null) return position.threshold;
    const startStates = () => this.#startStates();
    return calibratedThreshold({
      ...{ options, replay, random, dynamics, startStates },
      actor: this.#programs.actor,
    });
  }

  /** Lines 5 to 7. */
  async update(): Promise<void> {
    const { improvement, updateTemperature } = this.#programs;
    const states = await this.#startStates();
    const critic = await this.#evaluatePolicy(states);
    const improved = await this.#timed('policy', async () => {
      const done = await improvement.improve(states.data, this.position.threshold);
      if (!done.skipped) await updateTemperature(done.entropy);
      return done;
    });
    this.position.updates++;
    this.window.add(critic, improved);
    this.#watch(critic.skipped, improved.skipped);
  }

  /** Line 6 alone: the critic comes to what π₀ is worth now. */
  async updateCritic(): Promise<void> {
    await this.#evaluatePolicy(await this.#startStates());
  }

  /** Ends a run in which nothing is learned any more. */
  #watch(criticSkipped: boolean, policiesSkipped: boolean): void {
    const { position } = this;
    position.skippedInARow = criticSkipped || policiesSkipped ? position.skippedInARow + 1 : 0;
    if (position.skippedInARow < MOST_SKIPPED) return;
    const what = criticSkipped ? "the critic's" : "the policies'";
    throw new FarsightError(
      `training diverged at step ${position.environmentSteps}: ${what} gradient was not finite in ${MOST_SKIPPED} updates in a row; start another run with --set layerNorm=true or a smaller --set learningRate`,
    );
  }

  /** Line 5: states to plan from, valid until the next call; where the critic needs transitions, those too. */
  async #startStates(): Promise<NdArray> {
    const { startStates, replay, random } = this;
    if (!startStates || usesReplay(this.options)) replay.sample(this.#batch, random);
    const states = this.#states;
    const { arrivals } = this.#programs;
    if (!startStates && !arrivals) return this.#batch.observation;
    if (!startStates) {
      states.data.set(await arrivals!(this.#batch));
      return states;
    }
    const { threshold } = this.position;
    await this.#timed('policy', () => startStates.sample(states.data, replay, random, threshold));
    return states;
  }

  /** Line 6. */
  #evaluatePolicy(states: NdArray): Promise<CriticUpdate> {
    const { criticTargets, updateCritic } = this.#programs;
    return this.#timed('critic', async () =>
      updateCritic(await criticTargets(states, this.#batch, this.random)),
    );
  }

  get #evaluationDue(): boolean {
    const { environmentSteps } = this.position;
    return environmentSteps >= this.options.steps || environmentSteps % this.options.evaluateEvery === 0;
  }

  get #lineDue(): boolean {
    const { environmentSteps, measuredAt } = this.position;
    if (environmentSteps === measuredAt) return false;
    return this.#evaluationDue || environmentSteps % METRICS_EVERY === 0;
  }

  async #line(stop?: AbortSignal): Promise<MetricsLine> {
    const { position, options, seed } = this;
    const { environmentSteps } = position;
    let evaluation: MetricsLine['evaluation'] = null;
    if (this.#evaluationDue) {
      const [episodes, from] = [options.evaluationEpisodes, seed + environmentSteps];
      evaluation = await this.evaluate(episodes, from, stop);
      // The best of many evaluations is better than its policy: what it is worth, other start states say.
      if (evaluation.mean >= (position.bestReturn ?? Number.NEGATIVE_INFINITY))
        evaluation.again = await this.evaluate(episodes, from + SECOND_LOOK, stop);
    }
    position.measuredAt = environmentSteps;
    return this.measure(evaluation);
  }

  /** Return of π₀ without noise over whole episodes; `seed` decides their start states. */
  evaluate(episodes: number, seed: number, stop?: AbortSignal): Promise<Evaluation> {
    this.evaluated = [];
    const onEpisode = (_: number, episode: Episode) => this.evaluated.push(episode);
    const act = (observation: Float32Array) => this.#programs.actor.mean(observation);
    return this.#timed('evaluation', () =>
      evaluate(this.#evaluationWorld, act, episodes, seed, { onEpisode, stop }),
    );
  }

  /** The line of metrics of this moment; its means are over the updates since the last one. */
  measure(evaluation: MetricsLine['evaluation']): MetricsLine {
    return metricsLine(this, evaluation);
  }

  async #timed<T>(part: keyof MetricsLine['timeSplit'], work: () => Promise<T>): Promise<T> {
    const began = performance.now();
    const result = await work();
    this.position.timeSplit[part] += (performance.now() - began) / 1000;
    return result;
  }

  /** Takes the present policy, whose return was just measured twice, as the best one so far. */
  keepAsBest(reached: number, again: number): void {
    this.position.bestReturn = reached;
    this.position.bestSecondReturn = again;
    this.position.bestAt = this.position.environmentSteps;
    this.best = remember(this.agent, 'policies');
  }

  /** There is no policy to keep yet, nor to compare with. */
  forgetBest(): void {
    this.position.bestReturn = null;
    this.position.bestSecondReturn = null;
    this.position.bestAt = null;
    this.best = undefined;
  }

  /** Goes back to where a checkpoint was made; everything else is the caller's to restore. */
  restore(position: Position): void {
    Object.assign(this.position, position);
    if (this.startStates && position.startStates) this.startStates.position = position.startStates;
  }

  dispose(): void {
    this.world.dispose();
    this.#evaluationWorld.dispose();
  }
}

/** Whether the critic learns from real transitions, all or some of them. */
function usesReplay({ criticTarget, realShare }: Options): boolean {
  return criticTarget === 'transition' || realShare > 0;
}
