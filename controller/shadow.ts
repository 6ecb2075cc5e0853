// A candidate beside the policy that acts: what it would have done on the same observations, and what speaks against it.
import type { Manifest } from '../contract/manifest.js';

/** What a candidate's shadow came to; shares are of steps. */
export interface ShadowReport {
  steps: number;
  /** Root of the mean squared difference of the two actions, as a share of each action's range. */
  divergence: number;
  /** Actions beyond the range, or farther from the command in force than the rate limit reaches in a step: its, and the acting policy's. */
  limited: number;
  limitedBefore: number;
  /** Observations beyond the candidate's own limit of what it saw in training. */
  strange: number;
  notFinite: number;
}

/** Beyond these a candidate never acts. */
const MOST_DIVERGENCE = 0.35;
const MORE_LIMITED = 0.2;
const MOST_STRANGE = 0.1;

export class Shadow {
  readonly #manifest: Manifest;
  /** Of each action, its range and how far it may move in a step. */
  readonly #ranges: { low: number; high: number; reach: number }[];
  #steps = 0;
  #squares = 0;
  #limited = 0;
  #limitedBefore = 0;
  #strange = 0;
  #notFinite = 0;

  constructor(candidate: Manifest) {
    this.#manifest = candidate;
    const { action, safety, controlRate } = candidate;
    this.#ranges = action.map(({ joint, limits: [low, high] }) => {
      const rate = safety.joints.find((entry) => entry.joint === joint)?.commandRate ?? Infinity;
      return { low, high, reach: rate / controlRate };
    });
  }

  /** One step: an observation `[n]`, what acted on it `[m]`, the command in force `[m]`, and what the candidate would do `[m]`. */
  add(
    observation: ArrayLike<number>,
    acted: ArrayLike<number>,
    command: ArrayLike<number>,
    candidate: ArrayLike<number>,
  ): void {
    this.#steps++;
    let squares = 0;
    let finite = true;
    const limits = (action: ArrayLike<number>) =>
      this.#ranges.some(
        ({ low, high, reach }, i) =>
          action[i] < low || action[i] > high || Math.abs(action[i] - command[i]) > reach,
      );
    for (const [i, { low, high }] of this.#ranges.entries()) {
      if (!Number.isFinite(candidate[i])) finite = false;
      // Beyond the range all actions are the same.
      const clamped = (value: number) => Math.min(high, Math.max(low, value));
      squares += ((clamped(candidate[i]) - clamped(acted[i])) / (high - low)) ** 2;
    }
    if (!finite) {
      this.#notFinite++;
      return;
    }
    this.#squares += squares / this.#ranges.length;
    if (limits(candidate)) this.#limited++;
    if (limits(acted)) this.#limitedBefore++;
    const { mean, sd } = this.#manifest.observationStatistics;
    const limit = this.#manifest.safety.outOfDistribution?.limit ?? Infinity;
    const isStrange = mean.some(
      (value, i) => Math.abs(observation[i] - value) > limit * Math.max(sd[i], 1e-3),
    );
    if (isStrange) this.#strange++;
  }

  report(): ShadowReport {
    const share = (count: number) => (this.#steps > 0 ? count / this.#steps : 0);
    return {
      steps: this.#steps,
      divergence: Math.sqrt(share(this.#squares)),
      limited: share(this.#limited),
      limitedBefore: share(this.#limitedBefore),
      strange: share(this.#strange),
      notFinite: this.#notFinite,
    };
  }
}

/** Why a policy with this shadow may not act; undefined when it may. */
export function objection(report: ShadowReport): string | undefined {
  const { divergence, limited, limitedBefore, strange, notFinite, steps } = report;
  if (notFinite > 0)
    return `its action was not finite in ${notFinite} of ${steps} steps beside the acting policy`;
  if (divergence > MOST_DIVERGENCE)
    return `its actions differ from the acting policy's by ${percent(divergence)} of their range (at most ${percent(MOST_DIVERGENCE)})`;
  if (limited > limitedBefore + MORE_LIMITED)
    return `limits would change ${percent(limited)} of its actions, of the acting policy's ${percent(limitedBefore)}`;
  if (strange > MOST_STRANGE)
    return `${percent(strange)} of this robot's observations are beyond what it saw in training`;
  return undefined;
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
