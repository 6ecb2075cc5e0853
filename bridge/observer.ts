// Watches a running loop through its shared words and histograms: what happened since the last look, and its state.
import {
  COUNT,
  countsOf,
  FAULTS,
  INTERVENTIONS,
  type LoopView,
  MODES,
  perPhase,
  statusOf,
  WORD,
} from '../contract/loop.js';
import { LoopWindow } from '../contract/loopWindow.js';
import type { Happening, Telemetry } from '../contract/telemetry.js';

/** Between two events of missed ticks, and the quiet that makes an intervention a new one; ms. */
const QUIET_MS = 1000;

type State = Pick<
  Telemetry,
  | 'rateHz'
  | 'ticks'
  | 'missed'
  | 'longestMiss'
  | 'scheduling'
  | 'mode'
  | 'fault'
  | 'garbageCollections'
  | 'interventions'
  | 'phases'
  | 'window'
>;

export class LoopObserver {
  readonly #view: LoopView;
  readonly #counts: Float64Array;
  readonly #window: LoopWindow;
  #mode = MODES.indexOf('unconfigured');
  #fault = 0;
  #missed = 0;
  #missedSaid = -Infinity;
  readonly #interventions = INTERVENTIONS.map(() => 0);
  readonly #lastIntervention = INTERVENTIONS.map(() => -Infinity);

  constructor(view: LoopView) {
    this.#view = view;
    this.#counts = countsOf(view.words);
    this.#window = new LoopWindow(view);
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
      const count = this.#counts[COUNT.interventions + i];
      if (count === this.#interventions[i]) continue;
      if (now - this.#lastIntervention[i] > QUIET_MS)
        happened.push({ kind: 'intervention', intervention, count });
      this.#interventions[i] = count;
      this.#lastIntervention[i] = now;
    }
    const total = this.#counts[COUNT.missed];
    if (total !== this.#missed && now - this.#missedSaid > QUIET_MS) {
      happened.push({ kind: 'missed ticks', missed: total - this.#missed, total });
      this.#missed = total;
      this.#missedSaid = now;
    }
    return happened;
  }

  /** The loop's state now, with its whole histograms and those since the call before. */
  state(): State {
    const { rateHz, ticks, missed, longestMiss, scheduling, mode, fault, interventions, gc } = statusOf(
      this.#view,
    );
    const window = this.#window;
    window.next();
    return {
      rateHz,
      ticks,
      missed,
      longestMiss,
      scheduling,
      mode,
      fault,
      garbageCollections: gc,
      interventions,
      phases: perPhase((phase) => window.total[phase].sample()),
      window: {
        seconds: window.seconds,
        ticks: window.counts.ticks,
        missed: window.counts.missed,
        phases: perPhase((phase) => window.histograms[phase].sample()),
      },
    };
  }
}
