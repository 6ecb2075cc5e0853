// What a run says of itself in a line of metrics, at one moment.
import { ENTROPY_COEFFICIENT } from '../nets/critic.js';
import type { MetricsLine } from '../report/metrics.js';
import type { MetricsWindow } from './metricsWindow.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';
import type { Position } from './position.js';
import type { Replay } from './replay.js';

/** A run, as far as its metrics go. */
export interface Measured {
  readonly options: Options;
  readonly position: Position;
  readonly agent: Agent;
  readonly replay: Replay;
  readonly window: MetricsWindow;
}

/** The line of this moment. It takes out of the window, and of the replay buffer, what was seen since the last one. */
export function metricsLine(
  { options, position, agent, replay, window }: Measured,
  evaluation: MetricsLine['evaluation'],
): MetricsLine {
  const { recentReturns: recent, modelFit } = position;
  return {
    environmentSteps: position.environmentSteps,
    seconds: position.seconds,
    episodes: position.episodes,
    trainReturn: recent.length > 0 ? recent.reduce((sum, value) => sum + value, 0) / recent.length : null,
    evaluation,
    updates: position.updates,
    ...window.take(options.horizonMax),
    refusedTransitions: replay.takeRefused(),
    uncertaintyThreshold: position.threshold,
    entropyCoefficient: agent.scales[ENTROPY_COEFFICIENT].data[0],
    modelError: position.modelError,
    modelHoldoutLoss: modelFit?.holdoutError ?? null,
    modelEpochs: modelFit?.epochs ?? null,
    timeSplit: { ...position.timeSplit },
  };
}
