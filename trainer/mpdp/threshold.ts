// u_T calibrated: a quantile of u on real transitions, or on the first steps of plans.
import type { Random } from '../random.js';
import type { NdArray } from '../tensor/array.js';
import type { Actor } from './actor.js';
import { delayWeights, mixed } from './delayWeights.js';
import type { Dynamics } from './dynamics.js';
import type { Options } from './options.js';
import { Replay } from './replay.js';

/** The newest real transitions, on which the model is judged, too. */
const NEWEST = 250;
/** Transitions drawn from the whole replay buffer, or first steps of plans. */
const DRAWN = 2000;

export interface Learned {
  options: Options;
  replay: Replay;
  random: Random;
  dynamics: Dynamics;
  actor: Actor;
  /** States to plan from, valid until the next call. */
  startStates(): Promise<NdArray>;
}

/** The quantile that the options choose, over what they choose (`thresholdFrom`), and their margin. */
export async function calibratedThreshold(learned: Learned): Promise<number> {
  const { dynamics, options } = learned;
  const { thresholdQuantile, thresholdMargin } = options;
  const { replay, indices } = await transitionsOf(learned);
  const { uncertainty } = await dynamics.check(replay, indices);
  uncertainty.sort();
  return uncertainty[Math.floor(thresholdQuantile * (uncertainty.length - 1))] + thresholdMargin;
}

async function transitionsOf(learned: Learned): Promise<{ replay: Replay; indices: Int32Array }> {
  const { replay, random } = learned;
  switch (learned.options.thresholdFrom) {
    case 'newest':
      return { replay, indices: newestOf(replay) };
    case 'replay':
      return { replay, indices: Int32Array.from({ length: DRAWN }, () => random.integer(replay.size)) };
    case 'first': {
      const steps = await firstSteps(learned);
      return { replay: steps, indices: Int32Array.from({ length: steps.size }, (_, i) => i) };
    }
  }
}

export function newestOf({ size }: Replay): Int32Array {
  return Int32Array.from({ length: Math.min(NEWEST, size) }, (_, i) => size - 1 - i);
}

/** What π₀ does where plans start; what comes of it does not matter to u. */
async function firstSteps({ replay, random, options, actor, startStates }: Learned): Promise<Replay> {
  const { observationSize: n, actionSize: m } = replay;
  const steps = new Replay(n, m, DRAWN);
  const weights = delayWeights(options.commandDelay);
  const size = n + m * (weights.length - 1);
  for (let drawn = 0; drawn < DRAWN; drawn += options.batchSize) {
    const { data } = await startStates();
    for (let at = 0; at < data.length; at += size) {
      const observation = data.subarray(at, at + n);
      const pending = weights.slice(1).map((_, k) => data.subarray(at + n + k * m, at + n + (k + 1) * m));
      const action = mixed(weights, [await actor.sample(observation, random), ...pending]);
      steps.add({ observation, action, reward: 0, next: observation, terminal: false });
    }
  }
  return steps;
}
