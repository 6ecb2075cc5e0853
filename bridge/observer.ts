// Watches a running loop through its shared words and histograms: what happened since the last look, and its state.
import type { HistogramSample } from '../contract/histogram.js';
import { FAULTS, INTERVENTIONS, type LoopView, MODES, reportOf, WORD } from '../contract/loop.js';
import {
  differenceOf,
  type Happening,
  perIntervention,
  perPhase,
  type Telemetry,
} from '../contract/telemetry.js';

/** Between two events of missed ticks, and the quiet that makes an intervention a new one; ms. */
const QUIET_MS = 1000;

type State = Omit<
  Telemetry,
  'version' | 'robot' | 'boot' | 'time' | 'sequence' | 'policy' | 'dropped' | 'window'
>;

export class LoopObserver {
  readonly #view: LoopView;
  #mode = MODES.indexOf('unconfigured');
  #fault = 0;
  #missed = 0;
  #missedSaid = -Infinity;
  readonly #interventions = INTERVENTIONS.map(() => 0);
  readonly #lastIntervention = INTERVENTIONS.map(() => -Infinity);
  #windowStart = performance.now();
  #windowBase = { ticks: 0, missed: 0, phases: perPhase((): HistogramSample => ({ counts: [], max: 0 })) };

  constructor(view: LoopView) {
    this.#view = view;
  }

  /**
   * What happened since the last look, at time `now` in ms of any clock. A mode that came and went between two looks
   * is not seen; counts never miss anything.
   */
  look(now: number): Happening[] {
    const word = (index: number) => Atomics.load(this.#view.words, index);
    const happened: Happening[] = [];
    const mode = word(WORD.mode);
    const fault = word(WORD.fault);
    if (fault !== this.#fault && fault !== 0) {
      happened.push({ kind: 'fault', fault: FAULTS[fault], mode: MODES[mode] });
    }
    if (mode !== this.#mode) {
      happened.push({ kind: 'mode', from: MODES[this.#mode], to: MODES[mode], fault: FAULTS[fault] });
    }
    this.#mode = mode;
    this.#fault = fault;
    for (const [i, intervention] of INTERVENTIONS.entries()) {
      const count = word(WORD.interventions + i);
      if (count === this.#interventions[i]) continue;
      if (now - this.#lastIntervention[i] > QUIET_MS)
        happened.push({ kind: 'intervention', intervention, count });
      this.#interventions[i] = count;
      this.#lastIntervention[i] = now;
    }
    const total = word(WORD.missed);
    if (total !== this.#missed && now - this.#missedSaid > QUIET_MS) {
      happened.push({ kind: 'missed ticks', missed: total - this.#missed, total });
      this.#missed = total;
      this.#missedSaid = now;
    }
    return happened;
  }

  /** The loop's state now, with its whole histograms. */
  state(): State {
    const { words, histograms } = this.#view;
    const { rateHz, ticks, missed, longestMiss, scheduling, mode, fault } = reportOf(this.#view);
    return {
      rateHz,
      ticks,
      missed,
      longestMiss,
      scheduling,
      mode,
      fault,
      garbageCollections: Atomics.load(words, WORD.garbageCollections),
      interventions: perIntervention((i) => Atomics.load(words, WORD.interventions + i)),
      phases: perPhase((phase) => histograms[phase].sample()),
    };
  }

  /** What `state` has more than at the last `beginWindow`. */
  window(state: State): Telemetry['window'] {
    const { ticks, missed, phases } = this.#windowBase;
    return {
      seconds: (performance.now() - this.#windowStart) / 1000,
      ticks: state.ticks - ticks,
      missed: state.missed - missed,
      phases: perPhase((phase) => differenceOf(state.phases[phase], phases[phase])),
    };
  }

  beginWindow(state: State): void {
    this.#windowStart = performance.now();
    this.#windowBase = state;
  }
}
