// Invented runs with the shape of real ones: slow start, steep rise, plateau; horizons that grow as the model improves.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MetricsLine } from '../../trainer/report/metrics.js';

export interface Sample {
  seed: number;
  /** Environment steps of the run and of the moment at which the return has reached half of 1,000. */
  steps: number;
  halfway: number;
  horizonMax: number;
}

export function sampleLines({ seed, steps, halfway, horizonMax }: Sample): MetricsLine[] {
  const random = generator(seed);
  const noise = (size: number) => size * (random() + random() + random() - 1.5);
  const lines: MetricsLine[] = [];
  for (let at = 250; at <= steps; at += 250) {
    const progress = 1 / (1 + Math.exp(-(at - halfway) / (halfway / 6)));
    const learning = at > 250;
    const level = 20 + 980 * progress;
    const returns = Array.from({ length: 10 }, () =>
      Math.max(4, Math.min(1000, level + noise(400 * progress * (1.03 - progress) * 4))),
    );
    const mean = returns.reduce((a, b) => a + b, 0) / returns.length;
    const sd = Math.sqrt(returns.reduce((a, b) => a + (b - mean) ** 2, 0) / (returns.length - 1));
    const horizon = 1 + (horizonMax - 1) * (0.25 + 0.6 * progress) + noise(0.3);
    const counts = Array.from({ length: horizonMax }, (_, i) =>
      Math.round(
        64_000 * Math.exp(-((i + 1 - horizon) ** 2) / 2) + (i === horizonMax - 1 ? 20_000 * progress : 0),
      ),
    );
    const seconds = 4 + at * 0.02;
    lines.push({
      environmentSteps: at,
      seconds,
      episodes: Math.round(at / (20 + 300 * progress)),
      trainReturn: level * 0.85 + noise(60),
      evaluation: at % 500 === 0 ? { mean, sd, returns } : null,
      updates: learning ? (at - 250) * 2 : 0,
      updatesPerSecond: learning ? 95 + noise(12) : null,
      horizon: learning ? horizon : null,
      horizonHistogram: learning ? counts : null,
      uncertainty: learning ? 1.5 - 2 * progress + noise(0.4) : null,
      uncertaintyThreshold: learning ? 1.9 - 1.2 * progress + noise(0.1) : null,
      modelError: learning ? 0.4 * Math.exp((-at / steps) * 4.5) * (1 + noise(0.3)) : null,
      modelHoldoutLoss: learning ? -1 - 3 * progress + noise(0.2) : null,
      modelEpochs: learning ? Math.round(8 + noise(4)) : null,
      criticLoss: learning ? 60 * progress * (1.1 - progress) + 0.4 + Math.abs(noise(2)) : null,
      qMean: learning ? 95 * progress + noise(2) : null,
      policyObjective: learning ? 97 * progress + 1 + noise(2) : null,
      entropy: learning ? 0.9 - 1.6 * progress + noise(0.1) : null,
      timeSplit: {
        environment: at * 0.001,
        model: at * 0.006,
        critic: at * 0.003,
        policy: at * 0.008,
        evaluation: at * 0.001,
      },
    });
  }
  return lines;
}

export function writeRun(directory: string, lines: MetricsLine[], config: Record<string, unknown>): void {
  writeFileSync(join(directory, 'metrics.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
}

/** mulberry32: the same seed gives the same sample. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
