// Means over the updates since the last line of metrics.
import type { CriticUpdate } from './critic.js';
import type { Improvement } from './farsighted.js';

/** Sums since the last line, for checkpoints. */
export interface WindowSums {
  updates: number;
  /** Up to when the window was saved. */
  seconds: number;
  horizon: number;
  uncertainty: number;
  criticLoss: number;
  qMean: number;
  policyObjective: number;
  entropy: number;
  /** What was not finite: trajectories and targets that left their update, and whole updates. */
  left: number;
  skipped: number;
  /** Trajectories by their length, less one. */
  horizons: number[];
}

export class MetricsWindow {
  #sums = empty();
  #began = performance.now();

  add(critic: CriticUpdate, improvement: Improvement): void {
    const sums = this.#sums;
    sums.left += critic.left + improvement.left;
    if (critic.skipped || improvement.skipped) {
      sums.skipped++;
      return;
    }
    sums.updates++;
    sums.horizon += improvement.meanHorizon;
    sums.uncertainty += improvement.uncertainty;
    sums.criticLoss += critic.loss;
    sums.qMean += critic.q;
    sums.policyObjective += improvement.objective;
    sums.entropy += improvement.entropy;
    for (const horizon of improvement.horizons) {
      while (sums.horizons.length < horizon) sums.horizons.push(0);
      sums.horizons[horizon - 1]++;
    }
  }

  take(horizonMax: number) {
    const { updates, seconds, horizons, ...sums } = this.save();
    const mean = (sum: number) => (updates > 0 && Number.isFinite(sum) ? sum / updates : null);
    this.restore(empty());
    return {
      updatesPerSecond: updates > 0 ? updates / seconds : null,
      horizon: mean(sums.horizon),
      horizonHistogram: updates > 0 ? Array.from({ length: horizonMax }, (_, i) => horizons[i] ?? 0) : null,
      uncertainty: mean(sums.uncertainty),
      criticLoss: mean(sums.criticLoss),
      qMean: mean(sums.qMean),
      policyObjective: mean(sums.policyObjective),
      entropy: mean(sums.entropy),
      leftRows: sums.left,
      skippedUpdates: sums.skipped,
    };
  }

  save(): WindowSums {
    return { ...this.#sums, seconds: this.#sums.seconds + (performance.now() - this.#began) / 1000 };
  }

  restore(sums: WindowSums): void {
    this.#sums = sums;
    this.#began = performance.now();
  }
}

function empty(): WindowSums {
  return {
    updates: 0,
    seconds: 0,
    horizon: 0,
    uncertainty: 0,
    criticLoss: 0,
    qMean: 0,
    policyObjective: 0,
    entropy: 0,
    left: 0,
    skipped: 0,
    horizons: [],
  };
}
