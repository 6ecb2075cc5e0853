// Evaluation as the field reports it: undiscounted return of the deterministic policy over whole episodes.
import { Random } from '../random.js';
import type { World } from '../sim/world.js';
import { Turns } from '../turns.js';

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
  const turns = new Turns(stop);
  while (returns.length < episodes) {
    let observation = world.reset(random);
    const episode: Episode = { observations: [observation], actions: [] };
    let sum = 0;
    for (let step = 0; step < world.task.maxEpisodeSteps; step++) {
      await turns.pass();
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
