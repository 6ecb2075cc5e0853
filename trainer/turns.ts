// Long work lets the event loop turn: only then are signals heard.
import { setImmediate } from 'node:timers/promises';

/** At the latest after so long. */
const TURN_MS = 50;

export class Turns {
  readonly #stop?: AbortSignal;
  #turned = performance.now();

  /** @param stop its reason is thrown when it aborts */
  constructor(stop?: AbortSignal) {
    this.#stop = stop;
  }

  /** To be called between pieces of work, each far shorter than a second. */
  async pass(): Promise<void> {
    if (performance.now() - this.#turned > TURN_MS) {
      await setImmediate();
      this.#turned = performance.now();
    }
    this.#stop?.throwIfAborted();
  }
}
