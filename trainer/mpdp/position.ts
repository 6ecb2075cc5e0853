// Where a run stands, beside its networks and its replay buffer: what a checkpoint keeps of it.
import type { MetricsLine } from '../report/metrics.js';
import type { ModelFit } from './dynamics.js';
import type { StartStates } from './startStates.js';

export interface Position {
  environmentSteps: number;
  episodes: number;
  updates: number;
  /** What a round still has to do before the next environment step: the model's training, then updates. */
  modelDue: boolean;
  criticUpdatesDue: number;
  updatesDue: number;
  /** Updates in a row that were skipped. */
  skippedInARow: number;
  /** Environment steps at the newest line of metrics. */
  measuredAt: number;
  seconds: number;
  episodeSteps: number;
  episodeReturn: number;
  recentReturns: number[];
  /** u_T; null until the model has been trained once, and where no trajectory is cut. */
  threshold: number | null;
  modelError: number | null;
  modelFit: ModelFit | null;
  timeSplit: MetricsLine['timeSplit'];
  /** Of the ring of start states. */
  startStates: StartStates['position'] | null;
  /** Best evaluation so far, what that policy returned when it was evaluated again, and after how many environment steps. */
  bestReturn: number | null;
  bestSecondReturn: number | null;
  bestAt: number | null;
}

/** Before the first environment step. */
export function startPosition(startStates: StartStates | undefined): Position {
  return {
    environmentSteps: 0,
    episodes: 0,
    updates: 0,
    modelDue: false,
    criticUpdatesDue: 0,
    updatesDue: 0,
    skippedInARow: 0,
    measuredAt: 0,
    seconds: 0,
    episodeSteps: 0,
    episodeReturn: 0,
    recentReturns: [],
    threshold: null,
    modelError: null,
    modelFit: null,
    timeSplit: { environment: 0, model: 0, critic: 0, policy: 0, evaluation: 0 },
    startStates: startStates?.position ?? null,
    bestReturn: null,
    bestSecondReturn: null,
    bestAt: null,
  };
}
