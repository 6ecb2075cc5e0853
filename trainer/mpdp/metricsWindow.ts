// Means over the updates since the last line of metrics.
import type { CriticUpdate } from './critic.js';
import type { Improvement } from './farsighted.js';

export class MetricsWindow {
  #updates = 0;
  #began = performance.now();
  #sums = { horizon: 0, uncertainty: 0, criticLoss: 0, qMean: 0, policyObjective: 0, entropy: 0 };
  #horizons: number[] = [];

  add(critic: CriticUpdate, improvement: Improvement): void {
    this.#updates++;
    this.#sums.horizon += improvement.meanHorizon;
    this.#sums.uncertainty += improvement.uncertainty;
    this.#sums.criticLoss += critic.loss;
    this.#sums.qMean += critic.q;
    this.#sums.policyObjective += improvement.objective;
    this.#sums.entropy += improvement.entropy;
    for (const horizon of improvement.horizons)
      this.#horizons[horizon - 1] = (this.#horizons[horizon - 1] ?? 0) + 1;
  }

  take(horizonMax: number) {
    const updates = this.#updates;
    const mean = (sum: number) => (updates > 0 && Number.isFinite(sum) ? sum / updates : null);
    const { horizon, uncertainty, criticLoss, qMean, policyObjective, entropy } = this.#sums;
    const seconds = (performance.now() - this.#began) / 1000;
    const taken = {
      updatesPerSecond: updates > 0 ? updates / seconds : null,
      horizon: mean(horizon),
      horizonHistogram:
        updates > 0 ? Array.from({ length: horizonMax }, (_, i) => this.#horizons[i] ?? 0) : null,
      uncertainty: mean(uncertainty),
      criticLoss: mean(criticLoss),
      qMean: mean(qMean),
      policyObjective: mean(policyObjective),
      entropy: mean(entropy),
    };
    this.#updates = 0;
    this.#began = performance.now();
    this.#sums = { horizon: 0, uncertainty: 0, criticLoss: 0, qMean: 0, policyObjective: 0, entropy: 0 };
    this.#horizons = [];
    return taken;
  }
}
