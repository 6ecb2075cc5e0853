// Reads a running loop's trace for what its histograms do not hold: how old measurements were, how even its wake-ups, the newest row.
import { LatencyHistogram } from '../contract/histogram.js';
import { type LoopView, ROW } from '../contract/loop.js';
import type { TraceReader } from '../contract/sharedMemory.js';
import type { Telemetry } from '../contract/telemetry.js';

type Signal = NonNullable<Telemetry['sensorAge']>;

export class LoopSignals {
  readonly #reader: TraceReader;
  readonly #row: Float64Array;
  /** ns. */
  readonly #period: number;
  readonly #age = new Sampled();
  readonly #jitter = new Sampled();
  #tick = Number.NaN;
  #wake = Number.NaN;

  constructor({ trace, rateHz }: LoopView) {
    this.#reader = trace.reader();
    this.#row = new Float64Array(trace.rowLength);
    this.#period = 1e9 / rateHz;
  }

  /** Takes in what came since the last look; to be called more often than the trace is overwritten. */
  look(): void {
    const row = this.#row;
    const period = this.#period;
    if (row.length <= ROW.vectors) return;
    while (this.#reader.read(row)) {
      // `wake` counts from the deadline slept for, `scheduled` is the last one that had passed on waking.
      const wake = row[ROW.scheduled] * 1e9 + (row[ROW.wake] % period);
      if (row[ROW.sensorStamp] > 0)
        this.#age.all.record(wake + row[ROW.observe] - row[ROW.sensorStamp] * 1e9);
      const ticks = row[ROW.tick] - this.#tick;
      if (ticks > 0) this.#jitter.all.record(Math.abs(wake - this.#wake - ticks * period));
      this.#tick = row[ROW.tick];
      this.#wake = wake;
    }
  }

  /** The row that the last look came to; all zeros before the first. */
  get newest(): Float64Array {
    return this.#row;
  }

  /** Since the start, and since the call before. */
  state(): { sensorAge: Signal; jitter: Signal } {
    return { sensorAge: this.#age.next(), jitter: this.#jitter.next() };
  }
}

class Sampled {
  readonly all = new LatencyHistogram();
  readonly #seen = new LatencyHistogram();
  readonly #window = new LatencyHistogram();

  next(): Signal {
    this.all.advance(this.#seen, this.#window);
    return { total: this.all.sample(), window: this.#window.sample() };
  }
}
