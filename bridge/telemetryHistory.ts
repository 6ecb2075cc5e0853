// An hour of a robot's telemetry in bounded memory, a row a message: what the dashboard's server keeps and its page draws.
import { type HistogramSample, upperEdge } from '../contract/histogram.js';
import { FAULTS, INTERVENTIONS, type Intervention, MODES, PHASES } from '../contract/loop.js';
import type { Summary } from './watcher.js';

/** Of a phase's percentiles, those that a row holds, µs. */
export const QUANTILES = ['p50', 'p90', 'p99', 'p999', 'max'] as const;
export type Quantile = (typeof QUANTILES)[number];

/**
 * Index of each number of a row, all since the row before: seconds, ticks, missed ticks; then mode and fault as their
 * indices, the loop's period in µs, how often each of INTERVENTIONS was, and QUANTILES of each of PHASES.
 */
export const VALUE = {
  seconds: 0,
  ticks: 1,
  missed: 2,
  mode: 3,
  fault: 4,
  period: 5,
  interventions: 6,
  phases: 6 + INTERVENTIONS.length,
} as const;
export const VALUES = VALUE.phases + PHASES.length * QUANTILES.length;

/** Ticks of each phase by how long it took: bin b begins at 2^(b / perOctave) µs; the first and the last take the rest. */
export const HEAT = { bins: 64, perOctave: 4 } as const;
const HEATS = PHASES.length * HEAT.bins;

/** `capacity` rows when it is left out: an hour of telemetry. */
const HOUR = 3600;

/** Where a phase's quantile is among a row's values. */
export function quantileIndex(phase: number, quantile: Quantile): number {
  return VALUE.phases + phase * QUANTILES.length + QUANTILES.indexOf(quantile);
}

/** Rows that the fleet's list shows of each robot. */
export const PRESSURES = 120;

/** How near a row's ticks came to their period: p99.9 of the whole tick as a share of it, 2 where ticks were missed. */
export function pressureOf(history: TelemetryHistory, row: number): number {
  if (history.value(row, VALUE.missed) > 0) return 2;
  return (
    history.value(row, quantileIndex(PHASES.indexOf('total'), 'p999')) / history.value(row, VALUE.period)
  );
}

/** Numbers of a message as a row has them; `interventions` are those since the message before. */
export function rowOf(
  { window, mode, fault, rateHz }: Summary,
  interventions: Record<Intervention, number>,
): number[] {
  return [
    ...[
      window.seconds,
      window.ticks,
      window.missed,
      MODES.indexOf(mode),
      FAULTS.indexOf(fault),
      1e6 / rateHz,
    ],
    ...INTERVENTIONS.map((name) => interventions[name]),
    ...PHASES.flatMap((phase) => QUANTILES.map((quantile) => window.phases[phase][quantile])),
  ];
}

/** A histogram's counts by HEAT's bins, sparse: `[bin, count, …]`, the bins from `first`. */
export function heatOf({ counts }: HistogramSample, first: number): number[] {
  const bins = new Map<number, number>();
  for (let i = 0; i < counts.length; i += 2) {
    const octaves = Math.log2(upperEdge(counts[i]) / 1000);
    const bin = first + Math.min(HEAT.bins - 1, Math.max(0, Math.floor(octaves * HEAT.perOctave)));
    bins.set(bin, (bins.get(bin) ?? 0) + counts[i + 1]);
  }
  return [...bins].flat();
}

/** The newest rows; older ones are overwritten. Row 0 is the oldest that is there. */
export class TelemetryHistory {
  readonly capacity: number;
  /** Rows that ever came. */
  written = 0;
  readonly #times: Float64Array;
  readonly #values: Float32Array;
  readonly #heat: Uint16Array;

  constructor(capacity = HOUR) {
    this.capacity = capacity;
    this.#times = new Float64Array(capacity);
    this.#values = new Float32Array(capacity * VALUES);
    this.#heat = new Uint16Array(capacity * HEATS);
  }

  get length(): number {
    return Math.min(this.written, this.capacity);
  }

  /** `time` in s since 1970, after the row before; `heat` sparse as of `heatOf`. */
  push(time: number, values: ArrayLike<number>, heat: ArrayLike<number>): void {
    const place = this.written % this.capacity;
    this.#times[place] = time;
    this.#values.set(values, place * VALUES);
    const bins = this.#heat.fill(0, place * HEATS, (place + 1) * HEATS);
    for (let i = 0; i < heat.length; i += 2) bins[place * HEATS + heat[i]] = Math.min(65535, heat[i + 1]);
    this.written++;
  }

  time(row: number): number {
    return this.#times[this.#place(row)];
  }

  value(row: number, index: number): number {
    return this.#values[this.#place(row) * VALUES + index];
  }

  /** Ticks in each of HEAT's bins of a phase, valid until the next row comes. */
  heat(row: number, phase: number): Uint16Array {
    const start = this.#place(row) * HEATS + phase * HEAT.bins;
    return this.#heat.subarray(start, start + HEAT.bins);
  }

  /** The first row at `time` or after; `length` when there is none. */
  rowAt(time: number): number {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time(middle) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** All rows, for `fromBytes`: the count of those that ever came, then times, values and heat, the oldest first. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const { length } = this;
    const bytes = new Uint8Array(8 + length * (8 + 4 * VALUES + 2 * HEATS));
    new Float64Array(bytes.buffer, 0, 1)[0] = this.written;
    let at = 8;
    const start = this.written - length;
    for (const [source, width] of [
      [this.#times, 1],
      [this.#values, VALUES],
      [this.#heat, HEATS],
    ] as const) {
      const cut = (start % this.capacity) * width;
      const ordered = [source.subarray(cut, this.capacity * width), source.subarray(0, cut)];
      let left = length * width;
      for (const piece of ordered) {
        const part = piece.subarray(0, left);
        bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
        at += part.byteLength;
        left -= part.length;
      }
    }
    return bytes;
  }

  static fromBytes(buffer: ArrayBuffer, capacity = HOUR): TelemetryHistory {
    const history = new TelemetryHistory(capacity);
    const length = (buffer.byteLength - 8) / (8 + 4 * VALUES + 2 * HEATS);
    const [written] = new Float64Array(buffer, 0, 1);
    const times = new Float64Array(buffer, 8, length);
    const values = new Float32Array(buffer, 8 + 8 * length, length * VALUES);
    const heat = new Uint16Array(buffer, 8 + length * (8 + 4 * VALUES), length * HEATS);
    // Rows keep their places in the ring, so that the next one overwrites the oldest.
    for (let i = 0; i < length; i++) {
      const place = (written - length + i) % capacity;
      history.#times[place] = times[i];
      history.#values.set(values.subarray(i * VALUES, (i + 1) * VALUES), place * VALUES);
      history.#heat.set(heat.subarray(i * HEATS, (i + 1) * HEATS), place * HEATS);
    }
    history.written = written;
    return history;
  }

  #place(row: number): number {
    return (this.written - this.length + row) % this.capacity;
  }
}
