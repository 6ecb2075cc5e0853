// What the publishers of an emergency stop's topic say: the newest word of each, until it takes it back or is gone.

/** Seconds in which the last message of a publisher may come after the news that it left. */
const SETTLING = 0.2;
/** Seconds after that in which those that speak show that it was not them. */
const GRACE = 1;
/** Publishers remembered; more than any robot has. */
const MOST = 64;

interface Word {
  stop: boolean;
  /** It was heard on the reliable subscription: what comes on the other is a copy, perhaps an old one. */
  reliable: boolean;
  /** Seconds. */
  heardAt: number;
  gone: boolean;
}

/**
 * The level of a stop with several sources. A word is its publisher's until it says otherwise: a watchdog's `false` does
 * not take back a button's `true`. That of a publisher that left stands until any other says `false` after that.
 *
 * The middleware tells how many publishers left but not which: it is the one that spoke last among those that are silent
 * for a second afterwards.
 */
export class StopLevels {
  readonly #words = new Map<string, Word>();
  #departed = 0;
  #left = 0;
  #leftAt = 0;

  /** Publishers whose newest word is stop. */
  get held(): number {
    let held = 0;
    for (const { stop } of this.#words.values()) if (stop) held++;
    return held;
  }

  /** Takes note of a message of `publisher` that came on the reliable subscription or the other. */
  hear(publisher: string, stop: boolean, reliable: boolean, now: number): void {
    const known = this.#words.get(publisher);
    if (!stop) for (const [name, { gone }] of this.#words) if (gone) this.#words.delete(name);
    if (known?.reliable && !reliable) return;
    this.#words.delete(publisher);
    this.#words.set(publisher, { stop, reliable, heardAt: now, gone: false });
    if (this.#words.size <= MOST) return;
    for (const [name, word] of this.#words) {
      if (word.stop) continue;
      this.#words.delete(name);
      return;
    }
  }

  /** Takes note of how many publishers there are, and how many have left so far. To be called often. */
  match(publishers: number, departed: number, now: number): void {
    if (departed > this.#departed) {
      this.#left += departed - this.#departed;
      this.#leftAt = now;
    }
    this.#departed = departed;
    if (publishers === 0) {
      for (const word of this.#words.values()) word.gone = true;
      this.#left = 0;
    }
    const settled = this.#leftAt + SETTLING;
    if (this.#left > 0 && now - settled > GRACE) {
      const silent = [...this.#words].filter(([, { heardAt, gone }]) => !gone && heardAt <= settled);
      silent.sort(([, a], [, b]) => b.heardAt - a.heardAt);
      for (const [, word] of silent.slice(0, this.#left)) word.gone = true;
      this.#left = 0;
    }
    for (const [name, { gone, stop }] of this.#words) if (gone && !stop) this.#words.delete(name);
  }
}
