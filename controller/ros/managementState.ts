// A running loop's state as the ROS 2 node shows it: counts, and percentiles of the last second and of the whole run.
import { type HistogramSample, LatencyHistogram } from '../../contract/histogram.js';
import { INTERVENTIONS, type LoopView, reportOf, WORD } from '../../contract/loop.js';
import { differenceOf, perPhase } from '../../contract/telemetry.js';
import type { LoopState } from './managementMessages.js';

const WINDOW_MS = 1000;

/** Looks at one loop; make a new one for a new loop. */
export class LoopWatch {
  readonly #view: LoopView;
  #windowStart = performance.now();
  #before: { ticks: number; missed: number; interventions: number; samples: Record<string, HistogramSample> };
  #window: LoopState['window'];
  #phases: LoopState['phases'];

  constructor(view: LoopView) {
    this.#view = view;
    this.#before = this.#counts();
    this.#phases = perPhase((phase) => view.histograms[phase].percentiles());
    this.#window = { seconds: 0, ticks: 0, missed: 0, interventions: 0, phases: this.#phases };
  }

  /** The state now; its percentiles are made once a second. */
  state(): LoopState {
    if (performance.now() - this.#windowStart >= WINDOW_MS) this.#nextWindow();
    const report = reportOf(this.#view);
    const { rateHz, mode, fault, scheduling, ticks, missed, longestMiss } = report;
    return {
      rateHz,
      mode,
      fault,
      scheduling,
      ticks,
      missed,
      longestMiss,
      interventions: report.interventions,
      interventionsByJoint: report.interventionsByJoint,
      phases: this.#phases,
      window: this.#window,
    };
  }

  #counts() {
    const { words, histograms } = this.#view;
    const interventions = INTERVENTIONS.reduce(
      (sum, _, i) => sum + Atomics.load(words, WORD.interventions + i),
      0,
    );
    return {
      ticks: Atomics.load(words, WORD.ticks),
      missed: Atomics.load(words, WORD.missed),
      interventions,
      samples: perPhase((phase) => histograms[phase].sample()),
    };
  }

  #nextWindow(): void {
    const now = performance.now();
    const before = this.#before;
    const counts = this.#counts();
    const percentilesOf = (sample: HistogramSample) => {
      const histogram = new LatencyHistogram();
      histogram.merge(sample);
      return histogram.percentiles();
    };
    this.#phases = perPhase((phase) => percentilesOf(counts.samples[phase]));
    this.#window = {
      seconds: (now - this.#windowStart) / 1000,
      ticks: counts.ticks - before.ticks,
      missed: counts.missed - before.missed,
      interventions: counts.interventions - before.interventions,
      phases: perPhase((phase) => percentilesOf(differenceOf(counts.samples[phase], before.samples[phase]))),
    };
    this.#before = counts;
    this.#windowStart = now;
  }
}
