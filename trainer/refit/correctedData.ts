// What a refit learns from: one data set, in which simulation goes where the robot goes, and the robot's own transitions.
import { toActuators } from '../mpdp/actionScale.js';
import { Replay, type Transition } from '../mpdp/replay.js';
import type { Task } from '../sim/task.js';
import { Turns } from '../turns.js';
import { RewardOfObservations } from './realTransitions.js';
import { correctedSimulation } from './simulationGap.js';

/** What there is to learn from. */
export interface CorrectionData {
  simulated: Replay;
  /** The robot's transitions, and the same ones in a buffer, as the model takes them. */
  real: readonly Transition[];
  learned: Replay;
  /** What the model leaves of them, `[real.length, n]`. */
  residuals: Float64Array;
}

/**
 * The transitions of `simulated`, corrected by the `residuals` that the model leaves of the robot's (see
 * `correctedSimulation`), with the rewards and endings of where they lead now; then the robot's. No transition
 * contradicts another: model, critic and plans may all learn from them.
 */
export async function correctedData(
  task: Task,
  { simulated, real, learned, residuals }: CorrectionData,
  { onRow, stop }: { onRow?: (done: number) => void; stop?: AbortSignal } = {},
): Promise<Replay> {
  const turns = new Turns(stop);
  const corrected = await correctedSimulation(simulated, learned, residuals, turns);
  const { observationSize: n, actionSize: m } = simulated;
  const rewards = await RewardOfObservations.create(task);
  const data = new Replay(n, m, simulated.size + real.length);
  try {
    for (let i = 0; i < simulated.size; i++) {
      const row = corrected.row(i);
      const [observation, action] = [row.slice(0, n), row.slice(n, n + m)];
      const next = row.slice(n + m + 1, -1);
      const before = simulated.row(i).slice(n + m + 1, -1);
      let [reward, terminal] = [row[n + m], row[row.length - 1] === 0];
      if (next.some((value, d) => value !== before[d])) {
        const command = toActuators(task, action);
        // Observations do not hold all that the simulation's own reward saw: it changes by what they tell of it.
        const change = rewards.of(observation, command, next) - rewards.of(observation, command, before);
        if (Number.isFinite(change)) reward += change;
        // What ended for a reason that observations do not hold, behind a clip say, ends for it still.
        terminal = task.terminated(next) || (terminal && !task.terminated(before));
      }
      data.add({ observation, action, reward, next, terminal });
      onRow?.(i + 1);
      await turns.pass();
    }
  } finally {
    rewards.dispose();
  }
  for (const transition of real) data.add(transition);
  return data;
}
