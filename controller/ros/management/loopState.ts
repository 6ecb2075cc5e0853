// A running loop's state as the ROS 2 node shows it: counts, and percentiles of the last second and of the whole run.
import { type LoopView, perPhase, statusOf } from '../../../contract/loop.js';
import { LoopWindow } from '../../../contract/loopWindow.js';
import type { LoopState } from './messages.js';

/** Seconds. */
const WINDOW = 1;

/** Looks at one loop; make a new one for a new loop. */
export class LoopWatch {
  readonly #view: LoopView;
  readonly #recent: LoopWindow;
  #percentiles: Pick<LoopState, 'phases' | 'window'>;

  constructor(view: LoopView) {
    this.#view = view;
    this.#recent = new LoopWindow(view);
    this.#percentiles = this.#look();
  }

  /** The state now; its percentiles are made once a second. */
  state(): LoopState {
    if (this.#recent.age >= WINDOW) {
      this.#recent.next();
      this.#percentiles = this.#look();
    }
    return { ...statusOf(this.#view), ...this.#percentiles };
  }

  #look(): Pick<LoopState, 'phases' | 'window'> {
    const { seconds, counts, total, histograms } = this.#recent;
    return {
      phases: perPhase((phase) => total[phase].percentiles()),
      window: { seconds, ...counts, phases: perPhase((phase) => histograms[phase].percentiles()) },
    };
  }
}
