// Transitions of the real robot as the replay buffer takes them: actions in [-1, 1], rewards by the task's own function.
import { FarsightError } from '../../contract/errors.js';
import { readTransitions } from '../../contract/recordedRows.js';
import type { RecordingFile } from '../../contract/recording.js';
import type { Skipped, Transitions } from '../../contract/transitions.js';
import { fromActuators } from '../mpdp/actionScale.js';
import { Replay, type Transition } from '../mpdp/replay.js';
import { isClipped, Physics } from '../sim/physics.js';
import type { Snapshot } from '../sim/snapshot.js';
import { type Task, taskInterface } from '../sim/task.js';
import { Turns } from '../turns.js';

export interface RealTransitions {
  /** As they were recorded, in the order of time. */
  recorded: Transitions;
  /** Those with a reward. */
  transitions: Transition[];
  /** Pairs of policy steps that gave no transition; `clipped`: the reward needs a value that the observation cut off. */
  skipped: Skipped & { clipped: number };
  files: RecordingFile[];
}

/**
 * Reads a recording, or a directory of them, made on `task`. Throws a `FarsightError` as `readTransitions` does, and
 * when the task's reward cannot be computed from what its observation holds.
 */
export async function readRealTransitions(
  pathOrDirectory: string,
  task: Task,
  stop?: AbortSignal,
): Promise<RealTransitions> {
  const { transitions, skipped, files } = await readTransitions(pathOrDirectory, taskInterface(task), stop);
  const rewarded = await rewardTransitions(transitions, task, stop);
  return {
    recorded: transitions,
    transitions: rewarded.transitions,
    skipped: { ...skipped, clipped: rewarded.clipped },
    files,
  };
}

/** The task's reward of what observations hold: it sees states rebuilt from them, in which all else is NaN. */
export class RewardOfObservations {
  readonly #task: Task;
  readonly #physics: Physics;
  readonly #states: { previous: Snapshot; next: Snapshot };

  static async create(task: Task): Promise<RewardOfObservations> {
    return new RewardOfObservations(task, await Physics.create(task));
  }

  private constructor(task: Task, physics: Physics) {
    this.#task = task;
    this.#physics = physics;
    this.#states = { previous: physics.snapshot(), next: physics.snapshot() };
  }

  /** Of one control step under `command`, in actuator units; not finite when the reward needs what they do not hold. */
  of(observation: Float32Array, command: ArrayLike<number>, next: Float32Array): number {
    const { timestep, frameSkip, reward } = this.#task;
    this.#physics.recall(observation, this.#states.previous);
    this.#physics.recall(next, this.#states.next);
    return reward({ ...this.#states, action: command, dt: timestep * frameSkip });
  }

  dispose(): void {
    this.#physics.dispose();
  }
}

/** Recordings hold no rewards: they are those of their observations. */
export async function rewardTransitions(real: Transitions, task: Task, stop?: AbortSignal) {
  const turns = new Turns(stop);
  const rewards = await RewardOfObservations.create(task);
  try {
    const n = task.observation.length;
    const m = task.action.length;
    const transitions: Transition[] = [];
    let clipped = 0;
    for (let i = 0; i < real.count; i++) {
      await turns.pass();
      const observation = real.observation.slice(i * n, (i + 1) * n);
      const next = real.nextObservation.slice(i * n, (i + 1) * n);
      const command = real.action.subarray(i * m, (i + 1) * m);
      const reward = rewards.of(observation, command, next);
      if (!Number.isFinite(reward)) {
        if (!holdsClipped(task, observation) && !holdsClipped(task, next)) throw notRewardable(task, reward);
        clipped++;
        continue;
      }
      const terminal = real.terminal[i] === 1 || task.terminated(next);
      transitions.push({ observation, action: fromActuators(task, command), reward, next, terminal });
    }
    return { transitions, clipped };
  } finally {
    rewards.dispose();
  }
}

/** A replay buffer of these, with rewards of 0: for the model to look at. */
export function unrewarded(real: Transitions, task: Task): Replay {
  const [n, m] = [task.observation.length, task.action.length];
  const row = (_: unknown, i: number): Transition => ({
    observation: real.observation.subarray(i * n, (i + 1) * n),
    action: fromActuators(task, real.action.subarray(i * m, (i + 1) * m)),
    reward: 0,
    next: real.nextObservation.subarray(i * n, (i + 1) * n),
    terminal: false,
  });
  return replayOf(task, Array.from({ length: real.count }, row));
}

/** A replay buffer that holds just these. */
export function replayOf(task: Task, transitions: readonly Transition[]): Replay {
  const replay = new Replay(task.observation.length, task.action.length, transitions.length);
  for (const transition of transitions) replay.add(transition);
  return replay;
}

function holdsClipped({ observation: terms }: Task, observation: Float32Array): boolean {
  return terms.some((term, i) => isClipped(term, observation[i]));
}

function notRewardable({ name }: Task, reward: number): FarsightError {
  return new FarsightError(
    `task '${name}': its reward is ${reward} on recorded transitions, so it uses a joint's position or velocity that its observation does not hold; observe it, or write the reward from what is observed`,
  );
}
