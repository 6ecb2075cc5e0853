// What a tick leaves behind: its times in the histograms, its row in the trace, its counts in the words.
import {
  COUNT,
  countsOf,
  FLAG,
  INTERVENTIONS,
  type PhaseHistograms,
  ROW,
  rowLayout,
  WORD,
} from '../contract/loop.js';
import type { TraceRing } from '../contract/sharedMemory.js';
import { GarbageCounter } from './garbage.js';

/** Places in a tick's array of times (ns). */
export const TIME = {
  /** The deadline slept for, and the last one that had passed on waking. */
  deadline: 0,
  scheduled: 1,
  /** Ends of the phases. */
  wake: 2,
  observe: 3,
  infer: 4,
  limit: 5,
  write: 6,
  /** Stamp of the measurement that the tick used, in seconds; 0 before the first. */
  sensorStamp: 7,
  /** When to look for an overdue message again. */
  poll: 8,
  length: 9,
} as const;

/** Ticks between two looks at the heap. */
const HEAP_EVERY = 128;

/** Where it is left. */
export interface RecordParts {
  words: Int32Array;
  histograms: PhaseHistograms;
  trace: TraceRing;
}
/** The vectors of a row, as they are when a tick is added. */
export interface RecordVectors {
  observation: Float32Array;
  action: Float64Array;
  command: Float64Array;
  /** Of each command, the limits that changed it in the last tick, as bits. */
  limited: Int32Array;
  /** Largest and mean score. */
  score: Float64Array;
}

export class TickRecord {
  readonly #parts: RecordParts;
  readonly #vectors: RecordVectors;
  readonly #layout: ReturnType<typeof rowLayout>;
  readonly #garbage = new GarbageCounter();
  readonly #counts: Float64Array;
  #ticks = 0;

  constructor({ words, histograms, trace }: RecordParts, vectors: RecordVectors) {
    this.#parts = { words, histograms, trace };
    this.#counts = countsOf(words);
    this.#vectors = vectors;
    this.#layout = rowLayout(vectors.observation.length, vectors.action.length);
  }

  /** Adds a tick: number `index`, after `missed` periods, in mode and with fault (indices in MODES and FAULTS), of a policy's number. */
  add(
    times: Float64Array,
    index: number,
    missed: number,
    mode: number,
    fault: number,
    flags: number,
    interventions: number,
    policy: number,
  ): void {
    const { words, histograms, trace } = this.#parts;
    const { observation, action, command, score } = this.#vectors;
    histograms.wake.record(elapsed(times, TIME.deadline, TIME.wake));
    if (times[TIME.sensorStamp] !== 0) histograms.observe.record(elapsed(times, TIME.wake, TIME.observe));
    if ((flags & FLAG.policyStep) !== 0) histograms.infer.record(elapsed(times, TIME.observe, TIME.infer));
    histograms.limit.record(elapsed(times, TIME.infer, TIME.limit));
    histograms.write.record(elapsed(times, TIME.limit, TIME.write));
    histograms.total.record(elapsed(times, TIME.deadline, TIME.write));

    const { rows, offset } = trace;
    rows[offset + ROW.tick] = index;
    rows[offset + ROW.scheduled] = times[TIME.scheduled] / 1e9;
    rows[offset + ROW.sensorStamp] = times[TIME.sensorStamp];
    rows[offset + ROW.wake] = elapsed(times, TIME.deadline, TIME.wake);
    rows[offset + ROW.observe] = elapsed(times, TIME.wake, TIME.observe);
    rows[offset + ROW.infer] = elapsed(times, TIME.observe, TIME.infer);
    rows[offset + ROW.limit] = elapsed(times, TIME.infer, TIME.limit);
    rows[offset + ROW.write] = elapsed(times, TIME.limit, TIME.write);
    rows[offset + ROW.total] = elapsed(times, TIME.deadline, TIME.write);
    rows[offset + ROW.mode] = mode;
    rows[offset + ROW.fault] = fault;
    rows[offset + ROW.flags] = flags;
    rows[offset + ROW.interventions] = interventions;
    rows[offset + ROW.missed] = missed;
    rows[offset + ROW.largestScore] = score[0];
    rows[offset + ROW.meanScore] = score[1];
    rows[offset + ROW.policy] = policy;
    rows.set(observation, offset + this.#layout.observation);
    rows.set(action, offset + this.#layout.action);
    rows.set(command, offset + this.#layout.command);
    trace.push();

    if (interventions !== 0) this.#count(interventions);
    Atomics.store(words, WORD.score, Math.min(score[0] * 1000, 0x7fffffff) | 0);
    // Before the mode: whoever sees a fault sees whose it is.
    Atomics.store(words, WORD.policy, policy);
    Atomics.store(words, WORD.mode, mode);
    Atomics.store(words, WORD.fault, fault);
    this.#counts[COUNT.ticks]++;
    this.#ticks = (this.#ticks + 1) % HEAP_EVERY;
    if (this.#ticks === 0) {
      this.#garbage.look();
      this.#counts[COUNT.garbageCollections] = this.#garbage.count;
    }
  }

  /** Counts a tick's interventions, each once, and for each joint that they were for. */
  #count(interventions: number): void {
    const counts = this.#counts;
    const { limited } = this.#vectors;
    for (let i = 0; i < INTERVENTIONS.length; i++) {
      if ((interventions & (1 << i)) === 0) continue;
      const total = COUNT.interventions + i;
      counts[total]++;
      for (let k = 0; k < limited.length; k++) {
        if ((limited[k] & (1 << i)) !== 0) counts[total + INTERVENTIONS.length * (1 + k)]++;
      }
    }
  }
}

/** Whole ns between two of the times, up to 2 s: a small integer, which unlike a double is passed without allocating. */
function elapsed(times: Float64Array, from: number, to: number): number {
  return Math.min(times[to] - times[from], 0x7fffffff) | 0;
}
