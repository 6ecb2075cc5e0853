// The replay buffer D: the newest transitions as rows of one flat array, and batches drawn from it.
import type { Random } from '../random.js';
import { NdArray } from '../tensor/array.js';

/** As MuJoCo has it: what is larger is a simulation, or a sensor, out of order. */
const LARGEST = 1e10;
const isPhysical = (value: number) => Math.abs(value) < LARGEST;

/** A real transition; `terminal` means ended by the task, not cut off by the time limit. */
export interface Transition {
  observation: Float32Array;
  /** As applied, within the robot's limits; in [-1, 1]. */
  action: Float32Array;
  reward: number;
  next: Float32Array;
  terminal: boolean;
}

/** Arrays of a batch: observation and next `[n, observations]`, action `[n, actions]`, reward and continues `[n]`. */
export type Batch = Readonly<Record<'observation' | 'action' | 'reward' | 'next' | 'continues', NdArray>>;

export class Replay {
  readonly observationSize: number;
  readonly actionSize: number;
  readonly capacity: number;
  /** Floats of one row: observation, action, reward, next, continues. */
  readonly rowLength: number;
  #rows: Float32Array;
  /** Transitions ever added. */
  #added = 0;
  #refused = 0;

  constructor(observationSize: number, actionSize: number, capacity: number) {
    this.observationSize = observationSize;
    this.actionSize = actionSize;
    this.capacity = capacity;
    this.rowLength = 2 * observationSize + actionSize + 2;
    this.#rows = new Float32Array(Math.min(capacity, 4096) * this.rowLength);
  }

  get size(): number {
    return Math.min(this.#added, this.capacity);
  }

  /** Transitions that were not taken since this was asked last. */
  takeRefused(): number {
    const refused = this.#refused;
    this.#refused = 0;
    return refused;
  }

  get added(): number {
    return this.#added;
  }

  /** Takes a transition, unless a number in it cannot be physical: a sensor's slip would spoil every mean. */
  add({ observation, action, reward, next, terminal }: Transition): void {
    if (![observation, action, [reward], next].every((part) => part.every(isPhysical))) {
      this.#refused++;
      return;
    }
    const start = this.#rowFor(this.#added++) * this.rowLength;
    const rows = this.#rows;
    rows.set(observation, start);
    rows.set(action, start + this.observationSize);
    rows[start + this.observationSize + this.actionSize] = reward;
    rows.set(next, start + this.observationSize + this.actionSize + 1);
    rows[start + this.rowLength - 1] = terminal ? 0 : 1;
  }

  /** Row `index`, 0 the oldest kept, as a view. */
  row(index: number): Float32Array {
    const at = this.placeOf(index);
    return this.#rows.subarray(at, at + this.rowLength);
  }

  /** Where row `index` begins in `memory`: for loops in which a view would cost more than the row. */
  placeOf(index: number): number {
    const oldest = this.#added > this.capacity ? this.#added % this.capacity : 0;
    return ((oldest + index) % this.capacity) * this.rowLength;
  }

  get memory(): Float32Array {
    return this.#rows;
  }

  /** Arrays for batches of `count`, to be filled by `sample`. */
  batch(count: number): Batch {
    return {
      observation: new NdArray([count, this.observationSize]),
      action: new NdArray([count, this.actionSize]),
      reward: new NdArray([count]),
      next: new NdArray([count, this.observationSize]),
      continues: new NdArray([count]),
    };
  }

  /** Fills a batch with transitions drawn uniformly. */
  sample(batch: Batch, random: Random): void {
    const { observationSize: n, actionSize: m, rowLength } = this;
    const count = batch.reward.shape[0];
    for (let i = 0; i < count; i++) {
      const row = this.row(random.integer(this.size));
      batch.observation.data.set(row.subarray(0, n), i * n);
      batch.action.data.set(row.subarray(n, n + m), i * m);
      batch.reward.data[i] = row[n + m];
      batch.next.data.set(row.subarray(n + m + 1, rowLength - 1), i * n);
      batch.continues.data[i] = row[rowLength - 1];
    }
  }

  /** Mean, standard deviation and range of each number of the observations. */
  observationStatistics(): Record<'mean' | 'sd' | 'low' | 'high', number[]> {
    const { observationSize: n, size } = this;
    const filled = (value: number) => new Array<number>(n).fill(value);
    const statistics = { mean: filled(0), sd: filled(0), low: filled(Infinity), high: filled(-Infinity) };
    const { mean, sd, low, high } = statistics;
    for (let d = 0; d < n; d++) {
      for (let i = 0; i < size; i++) {
        const value = this.row(i)[d];
        mean[d] += value / size;
        low[d] = Math.min(low[d], value);
        high[d] = Math.max(high[d], value);
      }
      for (let i = 0; i < size; i++) sd[d] += (this.row(i)[d] - mean[d]) ** 2 / size;
      sd[d] = Math.sqrt(sd[d]);
    }
    return statistics;
  }

  /** Of an empty buffer: so many transitions were added before, and are not kept any more. */
  startAt(added: number): void {
    this.#added = added;
  }

  /** Holds from now on what `other` holds, as if it had been added here. */
  takeOver(other: Replay): void {
    this.#added = 0;
    for (let i = 0; i < other.size; i++) this.restore(other.row(i));
  }

  /** Puts rows back that `row` gave, oldest first. */
  restore(rows: Float32Array): void {
    for (let start = 0; start < rows.length; start += this.rowLength) {
      // Before the rows are looked at: it may move them.
      const at = this.#rowFor(this.#added++) * this.rowLength;
      this.#rows.set(rows.subarray(start, start + this.rowLength), at);
    }
  }

  #rowFor(index: number): number {
    const row = index % this.capacity;
    if ((row + 1) * this.rowLength > this.#rows.length) {
      const larger = new Float32Array(Math.min(this.#rows.length * 2, this.capacity * this.rowLength));
      larger.set(this.#rows);
      this.#rows = larger;
    }
    return row;
  }
}
