// A task looked at before anything is trained on it: played with random and extreme actions, and what that shows.
import { FarsightError, messageOf } from '../../contract/errors.js';
import { termName } from '../../contract/terms.js';
import { Random } from '../random.js';
import { isClipped } from './physics.js';
import { Gathered, type Spread } from './spread.js';
import type { Task } from './task.js';
import { type Finding, findings } from './taskFindings.js';
import { World } from './world.js';

/** Episodes of which every action was chosen in the same way. */
export interface Manoeuvre {
  name: string;
  episodes: number;
  terminated: number;
  /** Means over the episodes. */
  steps: number;
  return: number;
}

export interface TaskCheck {
  task: string;
  controlRate: number;
  /** Longest episode, seconds. */
  episodeSeconds: number;
  /** Control steps simulated, and how many of them a second. */
  steps: number;
  stepsPerSecond: number;
  /** What a policy will see; `clipped` is the share of steps at the term's clip. */
  observation: (Spread & { name: string; clipped: number })[];
  action: { joint: string; kind: string; limits: readonly [number, number]; moves: boolean }[];
  reward: Spread;
  manoeuvres: Manoeuvre[];
  findings: Finding[];
}

/** Of each manoeuvre; more of short ones, until they come to the steps of a long one. */
const EPISODES = 3;
const MOST_EPISODES = 20;
/** Steps that a held extreme lasts. */
const HELD = 10;
/** Share of an action's range by which a command may differ. */
const HELD_BACK = 0.01;
const RANDOM = 'random';
const REST = 'no action';
/** The length of both tries of an action against its opposite, steps. */
const TRY = 10;

/** Plays `task` for some seconds of computing. Start states and actions follow from `seed`. */
export async function checkTask(task: Task, seed: number): Promise<TaskCheck> {
  const world = await World.create(task);
  try {
    return new TaskChecker(world, seed).check();
  } finally {
    world.dispose();
  }
}

type Choose = (out: Float32Array, step: number, random: Random) => void;

class TaskChecker {
  readonly #world: World;
  readonly #random: Random;
  readonly #seed: number;
  readonly #findings: Finding[] = [];
  readonly #terms: Gathered[];
  readonly #clipped: number[];
  readonly #rewards = new Gathered();
  /** Of each action, the random ones that a limit of the command's change held back. */
  readonly #held: number[];
  #randomSteps = 0;
  #steps = 0;

  constructor(world: World, seed: number) {
    this.#world = world;
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#terms = world.task.observation.map(() => new Gathered());
    this.#clipped = world.task.observation.map(() => 0);
    this.#held = world.task.action.map(() => 0);
  }

  check(): TaskCheck {
    const { task } = this.#world;
    const began = performance.now();
    const manoeuvres = Object.entries(this.#manoeuvres()).map(([name, choose]) => this.#play(name, choose));
    const seconds = (performance.now() - began) / 1000;
    const moves = task.action.map((_, i) => this.#moves(i));
    const observation = task.observation.map((term, i) => ({
      name: termName(term),
      ...this.#terms[i].spread(),
      clipped: this.#clipped[i] / Math.max(1, this.#steps),
    }));
    const action = task.action.map(({ joint, kind, limits }, i) => ({
      joint,
      kind,
      limits,
      moves: moves[i],
    }));
    const reward = this.#rewards.spread();
    const found = findings(task, {
      ...{ observation, action, reward },
      held: this.#held.map((count) => count / Math.max(1, this.#randomSteps)),
      ended: manoeuvres.reduce((sum, { terminated }) => sum + terminated, 0),
      rest: manoeuvres.find(({ name }) => name === REST)!,
      start: this.#world.reset(new Random(this.#seed)),
    });
    for (const { level, text } of found) this.#find(level, text);
    if (!this.#repeats()) {
      this.#find(
        'error',
        'the same start and the same actions gave two different episodes: reward or terminated keep something between calls',
      );
    }
    const order = ['error', 'warning', 'note'];
    return {
      task: task.name,
      controlRate: task.controlRate,
      episodeSeconds: task.maxEpisodeSteps / task.controlRate,
      steps: this.#steps,
      stepsPerSecond: this.#steps / seconds,
      observation,
      action,
      reward,
      manoeuvres,
      findings: this.#findings.sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level)),
    };
  }

  #find(level: Finding['level'], text: string): void {
    if (!this.#findings.some((finding) => finding.text === text)) this.#findings.push({ level, text });
  }

  #manoeuvres(): Record<string, Choose> {
    const { action } = this.#world.task;
    const each = (out: Float32Array, value: (limits: readonly [number, number]) => number) =>
      action.forEach(({ limits }, i) => {
        out[i] = value(limits);
      });
    return {
      [REST]: (out) => each(out, ([low, high]) => Math.min(high, Math.max(low, 0))),
      [RANDOM]: (out, _, random) => each(out, ([low, high]) => random.uniform(low, high)),
      'one extreme, then the other': (out, step, random) => {
        if (step % HELD === 0) each(out, ([low, high]) => (random.uniform() < 0.5 ? low : high));
      },
      lowest: (out) => each(out, ([low]) => low),
      highest: (out) => each(out, ([, high]) => high),
    };
  }

  #play(name: string, choose: Choose): Manoeuvre {
    const world = this.#world;
    const { task } = world;
    const action = new Float32Array(task.action.length);
    const played = { name, episodes: 0, terminated: 0, steps: 0, return: 0 };
    const enough = () =>
      played.episodes === MOST_EPISODES ||
      (played.episodes >= EPISODES && played.steps >= task.maxEpisodeSteps);
    while (!enough()) {
      this.#gather(world.reset(this.#random), `${name}: at the start state`);
      for (let step = 0; step < task.maxEpisodeSteps; step++) {
        choose(action, step, this.#random);
        const place = `${name}: at step ${step + 1}`;
        try {
          const { observation, reward, terminated, command } = world.step(action);
          if (name === RANDOM) this.#countHeld(action, command);
          this.#steps++;
          played.steps++;
          played.return += reward;
          this.#rewards.add(reward);
          if (!this.#gather(observation, place)) break;
          if (!terminated) continue;
          played.terminated++;
          break;
        } catch (error) {
          if (!(error instanceof FarsightError)) throw error;
          this.#find('error', `${place}: ${messageOf(error)}`);
          break;
        }
      }
      played.episodes++;
    }
    return { ...played, steps: played.steps / played.episodes, return: played.return / played.episodes };
  }

  #countHeld(action: Float32Array, command: ArrayLike<number>): void {
    this.#randomSteps++;
    for (const [i, { limits }] of this.#world.task.action.entries())
      if (Math.abs(command[i] - action[i]) > HELD_BACK * (limits[1] - limits[0])) this.#held[i]++;
  }

  /** False when an observation is not finite. */
  #gather(observation: Float32Array, place: string): boolean {
    const { task } = this.#world;
    for (const [i, term] of task.observation.entries()) {
      const value = observation[i];
      if (!Number.isFinite(value)) {
        this.#find('error', `${place}: observation '${termName(term)}' is ${value}; the simulation ran away`);
        return false;
      }
      this.#terms[i].add(value);
      if (isClipped(term, value)) this.#clipped[i]++;
    }
    return true;
  }

  /** Whether the robot ends somewhere else after the highest value of action `i` than after its lowest. */
  #moves(i: number): boolean {
    const world = this.#world;
    const ends = world.task.action[i].limits.map((value) => {
      world.reset(new Random(this.#seed));
      const action = Float32Array.from(world.task.action, ({ limits: [low, high] }) =>
        Math.min(high, Math.max(low, 0)),
      );
      action[i] = value;
      try {
        for (let step = 0; step < TRY; step++) world.step(action);
      } catch (error) {
        if (!(error instanceof FarsightError)) throw error;
      }
      const { qpos, qvel } = world.state();
      return [...qpos, ...qvel];
    });
    return ends[0].some((value, k) => Math.abs(value - ends[1][k]) > 1e-9);
  }

  #repeats(): boolean {
    const world = this.#world;
    const [first, second] = [0, 1].map(() => {
      const random = new Random(this.#seed);
      const seen: unknown[] = [...world.reset(random)];
      try {
        for (let step = 0; step < 5 * TRY; step++) {
          const action = world.task.action.map(({ limits: [low, high] }) => random.uniform(low, high));
          const { observation, reward, terminated } = world.step(action);
          seen.push(...observation, reward, terminated);
        }
      } catch (error) {
        if (!(error instanceof FarsightError)) throw error;
      }
      return seen;
    });
    return first.length === second.length && first.every((value, i) => Object.is(value, second[i]));
  }
}
