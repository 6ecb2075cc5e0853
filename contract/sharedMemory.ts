// How the loop's thread exchanges data with others without ever waiting for them: latest-value cells and a trace ring.

/**
 * The newest value of a vector of doubles, from one writing thread to one reading thread. Three buffers change hands
 * by atomic exchange: neither side waits, and no value is read half-written.
 */
export class LatestValue {
  readonly buffer: SharedArrayBuffer;
  readonly #state: Int32Array;
  readonly #slots: Float64Array[];
  #back = 0;
  #front = 1;

  /** A new cell of `length` doubles, or the other thread's view of the cell in `buffer`. */
  constructor(length: number, buffer = new SharedArrayBuffer(8 + 3 * length * 8)) {
    this.buffer = buffer;
    this.#state = new Int32Array(buffer, 0, 2);
    this.#slots = [0, 1, 2].map((i) => new Float64Array(buffer, 8 + i * length * 8, length));
    if (this.#state[1] === 0) {
      this.#state[1] = 1;
      this.#state[0] = 2;
    }
  }

  /** The writer's private slot: fill it, then `publish`. Valid until then. */
  get writable(): Float64Array {
    return this.#slots[this.#back];
  }

  publish(): void {
    this.#back = Atomics.exchange(this.#state, 0, this.#back | FRESH) & SLOT;
  }

  /** The newest published value; the same slot again when nothing new came. Valid until the next call. */
  read(): Float64Array {
    if (Atomics.load(this.#state, 0) & FRESH) {
      this.#front = Atomics.exchange(this.#state, 0, this.#front) & SLOT;
    }
    return this.#slots[this.#front];
  }
}
const SLOT = 3;
const FRESH = 4;

/**
 * What the loop leaves behind of every tick: a ring of fixed-size rows of doubles with one writer and any number of
 * readers, each at its own pace. The writer never waits; a reader that falls behind by the whole ring loses the
 * oldest rows and is told how many.
 */
export class TraceRing {
  readonly buffer: SharedArrayBuffer;
  readonly rowLength: number;
  readonly capacity: number;
  readonly #pushed: Int32Array;
  readonly #head: Float64Array;
  readonly #rows: Float64Array;
  #next = 0;

  constructor(
    rowLength: number,
    capacity: number,
    buffer = new SharedArrayBuffer(16 + rowLength * capacity * 8),
  ) {
    this.buffer = buffer;
    this.rowLength = rowLength;
    this.capacity = capacity;
    this.#pushed = new Int32Array(buffer, 0, 1);
    this.#head = new Float64Array(buffer, 8, 1);
    this.#rows = new Float64Array(buffer, 16, rowLength * capacity);
  }

  /** Index of the first double of the row to fill, in `rows`. */
  get offset(): number {
    return (this.#next % this.capacity) * this.rowLength;
  }

  get rows(): Float64Array {
    return this.#rows;
  }

  /** Makes the row filled at `offset` visible. */
  push(): void {
    this.#next++;
    // The count is a double, which a 64-bit machine writes whole; the atomic store publishes it with the row.
    // An atomic 64-bit integer would be a BigInt, which allocates in every tick.
    this.#head[0] = this.#next;
    Atomics.store(this.#pushed, 0, this.#next | 0);
  }

  /** Rows written so far. */
  get written(): number {
    Atomics.load(this.#pushed, 0);
    return this.#head[0];
  }

  reader(): TraceReader {
    return new TraceReader(this);
  }
}

/** One reader's place in a trace ring; it starts at the newest row. */
export class TraceReader {
  readonly #ring: TraceRing;
  #cursor: number;
  /** Rows overwritten before this reader came to them. */
  lost = 0;

  constructor(ring: TraceRing) {
    this.#ring = ring;
    this.#cursor = ring.written;
  }

  /** Copies the next row into `out` and returns true, or returns false when there is none yet. */
  read(out: Float64Array): boolean {
    const ring = this.#ring;
    for (;;) {
      const written = ring.written;
      if (this.#cursor >= written) return false;
      // The oldest rows may be overwritten while they are copied: keep away from them.
      const oldest = written - ring.capacity + 8;
      if (this.#cursor < oldest) {
        this.lost += oldest - this.#cursor;
        this.#cursor = oldest;
      }
      const start = (this.#cursor % ring.capacity) * ring.rowLength;
      for (let i = 0; i < ring.rowLength; i++) out[i] = ring.rows[start + i];
      if (ring.written - this.#cursor < ring.capacity) {
        this.#cursor++;
        return true;
      }
    }
  }
}
