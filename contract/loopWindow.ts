// What came to a running loop between two looks, beside what came since its start; allocates nothing but once.
import { LatencyHistogram } from './histogram.js';
import {
  COUNT,
  countsOf,
  INTERVENTIONS,
  type LoopView,
  PHASES,
  type PhaseHistograms,
  perPhase,
} from './loop.js';

/** Counts of a loop: `interventions` is the sum of all kinds. */
interface Counts {
  ticks: number;
  missed: number;
  interventions: number;
}

/** Each `next` ends a window, and begins one; the first begins with the loop. */
export class LoopWindow {
  /** Since the loop's start, as of the last `next`. */
  readonly total: PhaseHistograms = perPhase(() => new LatencyHistogram());
  /** Of the last window. */
  readonly histograms: PhaseHistograms = perPhase(() => new LatencyHistogram());
  readonly counts: Counts = { ticks: 0, missed: 0, interventions: 0 };
  /** Length of the last window. */
  seconds = 0;
  readonly #view: LoopView;
  readonly #counts: Float64Array;
  readonly #before: Counts = { ticks: 0, missed: 0, interventions: 0 };
  #began = performance.now();

  constructor(view: LoopView) {
    this.#view = view;
    this.#counts = countsOf(view.words);
  }

  /** Seconds since the present window began. */
  get age(): number {
    return (performance.now() - this.#began) / 1000;
  }

  next(): void {
    const { histograms } = this.#view;
    const counts = this.#counts;
    this.seconds = this.age;
    this.#began += 1000 * this.seconds;
    let interventions = 0;
    for (let i = 0; i < INTERVENTIONS.length; i++) {
      interventions += counts[COUNT.interventions + i];
    }
    this.#count('ticks', counts[COUNT.ticks]);
    this.#count('missed', counts[COUNT.missed]);
    this.#count('interventions', interventions);
    for (const phase of PHASES) histograms[phase].advance(this.total[phase], this.histograms[phase]);
  }

  #count(what: keyof Counts, now: number): void {
    this.counts[what] = now - this.#before[what];
    this.#before[what] = now;
  }
}
