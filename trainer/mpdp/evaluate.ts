// Evaluation as the field reports it: undiscounted return of the deterministic policy over whole episodes.
import { setImmediate } from 'node:timers/promises';
import { Random } from '../random.js';
import type { World } from '../sim/world.js';

export interface Evaluation {
  mean: number;
  sd: number;
  returns: number[];
}

/** What was seen `[n]` and done `[m]`, in actuator units; the last observation had no action. */
export interface Episode {
  observations: Float32Array[];
  actions: Float32Array[];
}

export interface EvaluationHooks {
  onEpisode?: (done: number, episode: Episode) => void;
  /** Its reason is thrown when it aborts. */
  stop?: AbortSignal;
}

/** Signals are heard only when the event loop turns: at the latest after so long. */
const TURN_MS = 50;

/**
 * Runs `episodes` episodes, each up to the task's time limit.
 *
 * @param act the action in actuator units for an observation
 * @param seed of the start states
 */
export async function evaluate(
  world: World,
  act: (observation: Float32Array) => Float32Array | Promise<Float32Array>,
  episodes: number,
  seed: number,
  { onEpisode, stop }: EvaluationHooks = {},
): Promise<Evaluation> {
  const random = new Random(seed);
  const returns: number[] = [];
  let turned = performance.now();
  while (returns.length < episodes) {
    let observation = world.reset(random);
    const episode: Episode = { observations: [observation], actions: [] };
    let sum = 0;
    for (let step = 0; step < world.task.maxEpisodeSteps; step++) {
      if (performance.now() - turned > TURN_MS) {
        await setImmediate();
        turned = performance.now();
      }
      stop?.throwIfAborted();
      const action = await act(observation);
      const { observation: next, reward, terminated } = world.step(action);
      sum += reward;
      observation = next;
      episode.observations.push(next);
      episode.actions.push(action.slice());
      if (terminated) break;
    }
    returns.push(sum);
    onEpisode?.(returns.length, episode);
  }
  const mean = returns.reduce((sum, value) => sum + value, 0) / episodes;
  const sd = Math.sqrt(returns.reduce((sum, value) => sum + (value - mean) ** 2, 0) / episodes);
  return { mean, sd, returns };
}
