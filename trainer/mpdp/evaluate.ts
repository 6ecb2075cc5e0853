// Evaluation as the field reports it: undiscounted return of the deterministic policy over whole episodes.
import { Random } from '../random.js';
import type { World } from '../sim/world.js';

export interface Evaluation {
  mean: number;
  sd: number;
  returns: number[];
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
  onEpisode?: (done: number) => void,
): Promise<Evaluation> {
  const random = new Random(seed);
  const returns: number[] = [];
  while (returns.length < episodes) {
    let observation = world.reset(random);
    let sum = 0;
    for (let step = 0; step < world.task.maxEpisodeSteps; step++) {
      const { observation: next, reward, terminated } = world.step(await act(observation));
      sum += reward;
      observation = next;
      if (terminated) break;
    }
    returns.push(sum);
    onEpisode?.(returns.length);
  }
  const mean = returns.reduce((sum, value) => sum + value, 0) / episodes;
  const sd = Math.sqrt(returns.reduce((sum, value) => sum + (value - mean) ** 2, 0) / episodes);
  return { mean, sd, returns };
}
