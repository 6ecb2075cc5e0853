// Episodes: steps of a policy that follow each other, cut wherever they do not, as other libraries' datasets have them.
import { ROW, rowLayout } from '../../contract/loop.js';
import type { TaskInterface } from '../../contract/terms.js';
import { type RowSink, type Skipped, TransitionJoiner } from '../../contract/transitions.js';

/** Steps that follow each other: `steps` transitions between `steps + 1` observations. */
export interface Steps {
  steps: number;
  /** `[steps + 1, n]`, as the policy sees it. */
  observation: Float32Array;
  /** `[steps + 1, m]`: the commands as sent; what the last one did is not known. */
  action: Float32Array;
  /** `[steps + 1]`: how old the sensors' reading was, seconds. */
  sensorAge: Float32Array;
  /** Whether the task's termination holds at the last observation. */
  terminal: boolean;
}

/** An episode of a robot. */
export interface Episode extends Steps {
  robot: string;
  boot: string;
  /** Of its first step. */
  tick: number;
  /** `[steps]`: NaN where the reward needs more than the observation holds; undefined when no task said them. */
  reward?: Float64Array;
}

/** What only a task knows of its steps. */
export interface Judge {
  reward(observation: Float32Array, command: Float32Array, next: Float32Array): number;
  terminated(next: Float32Array): boolean;
}

/** Longer ones go on in another episode, which begins with the same observation: readers take one as a whole. */
export const LONGEST_EPISODE = 100_000;

/** Cuts rows into episodes, each given to `take` when it is over. Call `end` after the last row. */
export class EpisodeCutter implements RowSink {
  /** What is in no episode: pairs of steps that make no transition, and transitions that begin when the task has ended. */
  readonly skipped: Skipped & { ended: number };
  readonly #joiner: TransitionJoiner;
  readonly #layout: ReturnType<typeof rowLayout>;
  readonly #judge: Judge | undefined;
  readonly #take: (episode: Episode) => void;
  #run = { robot: '', boot: '' };
  /** Of the steps so far, the last one's being that of the row at which the last transition ended. */
  #observations: Float32Array[] = [];
  #actions: Float32Array[] = [];
  #ages: number[] = [];
  #rewards: number[] = [];
  #tick = 0;
  #terminal = false;

  constructor(
    task: Pick<TaskInterface, 'controlRate' | 'observation' | 'action'>,
    take: (episode: Episode) => void,
    judge?: Judge,
  ) {
    this.#layout = rowLayout(task.observation.length, task.action.length);
    this.#take = take;
    this.#judge = judge;
    this.#joiner = new TransitionJoiner(task, (from, to, terminal, follows) => {
      if (!follows || this.#terminal || this.#rewards.length === LONGEST_EPISODE) this.end();
      if (this.#rewards.length === 0) {
        if (judge?.terminated(this.#observationOf(from))) {
          this.skipped.ended++;
          return;
        }
        this.#tick = from[ROW.tick];
        this.#note(from);
      }
      this.#note(to);
      const observation = this.#observations.at(-2)!;
      const next = this.#observations.at(-1)!;
      this.#terminal = terminal || (judge?.terminated(next) ?? false);
      this.#rewards.push(judge?.reward(observation, this.#actions.at(-2)!, next) ?? Number.NaN);
    });
    this.skipped = Object.assign(this.#joiner.skipped, { ended: 0 });
  }

  restart({ robot, boot }: { robot: string; boot: string }): void {
    this.end();
    this.#run = { robot, boot };
    this.#joiner.restart();
  }

  push(row: Float64Array): void {
    this.#joiner.push(row);
  }

  end(): void {
    const steps = this.#rewards.length;
    if (steps > 0) {
      // The command of a step that led nowhere may be of no use.
      if (!this.#actions[steps].every(Number.isFinite)) this.#actions[steps] = this.#actions[steps - 1];
      this.#take({
        ...this.#run,
        steps,
        tick: this.#tick,
        observation: flat(this.#observations),
        action: flat(this.#actions),
        sensorAge: Float32Array.from(this.#ages),
        terminal: this.#terminal,
        ...(this.#judge && { reward: Float64Array.from(this.#rewards) }),
      });
    }
    [this.#observations, this.#actions, this.#ages, this.#rewards] = [[], [], [], []];
    this.#terminal = false;
  }

  #observationOf(row: Float64Array): Float32Array {
    return Float32Array.from(row.subarray(this.#layout.observation, this.#layout.action));
  }

  #note(row: Float64Array): void {
    const { command, length } = this.#layout;
    this.#observations.push(this.#observationOf(row));
    this.#actions.push(Float32Array.from(row.subarray(command, length)));
    this.#ages.push(row[ROW.scheduled] - row[ROW.sensorStamp]);
  }
}

function flat(rows: readonly Float32Array[]): Float32Array {
  const width = rows[0].length;
  const out = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) out.set(row, i * width);
  return out;
}
