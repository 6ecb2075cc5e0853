// The loop and cyclictest at the same time, to tell the ticks that the loop alone missed from those that no thread could.
import { FarsightError } from '../../contract/errors.js';
import { LatencyHistogram, type Percentiles } from '../../contract/histogram.js';
import { ROW } from '../../contract/loop.js';
import type { LoopHandle } from '../../controller/controller.js';
import { runCyclictest } from './cyclictest.js';
import { compareMisses, type Miss, type MissComparison, missedByThread, missOf } from './missedTicks.js';

export interface SimultaneousRun extends MissComparison {
  seconds: number;
  ticks: number;
  /** The loop's wake-ups, and those of cyclictest on every processor. */
  wake: Percentiles;
  cyclictest: Percentiles;
  /** Ticks that each processor's thread of cyclictest would have missed at the loop's rate and moments. */
  cyclictestMissed: number[];
  /** A missed tick is shared when a thread of cyclictest was kept waiting for so long of its period, µs. */
  sharedFrom: number;
}

/** Wake-ups of cyclictest in a period of the loop, about: what begins between two of them it sees so much later. */
const WAKE_UPS = 8;
/** µs between two of them at least: oftener would slow the loop. */
const SHORTEST_INTERVAL = 125;
/** ms after which cyclictest has surely begun; it goes on for three times that after the last tick that counts. */
const MARGIN = 1000;
/** ms between two readings of the trace. */
const READ_EVERY = 500;

/**
 * Watches a running loop for `seconds` while cyclictest runs on every processor at a priority above the loop's
 * `priority`: so whatever keeps cyclictest from waking is never the loop itself. Throws a `FarsightError` when
 * cyclictest cannot run or the loop fails, and the reason of `stop` when it aborts.
 */
export async function besideCyclictest(
  { view: { rateHz, trace }, ended }: LoopHandle,
  priority: number,
  seconds: number,
  stop?: AbortSignal,
): Promise<SimultaneousRun> {
  const period = 1 / rateHz;
  // Not a divisor of the period: else the two would meet in every tick or in none.
  const interval = Math.max(SHORTEST_INTERVAL, Math.round((period * 1e6) / WAKE_UPS)) + 1;
  const yardstick = runCyclictest({
    interval,
    seconds: Math.ceil(seconds) + (4 * MARGIN) / 1000,
    priority: priority + 1,
    everyProcessorLate: interval,
    stop,
  });
  const failure = Promise.race([yardstick, ended]).then(() => {
    throw new FarsightError('cyclictest or the loop was ended before its time: run the benchmark again');
  });
  await passing(MARGIN, failure);

  const wake = new LatencyHistogram();
  const total = new LatencyHistogram();
  const misses: Miss[] = [];
  const reader = trace.reader();
  let row = new Float64Array(trace.rowLength);
  let previous = new Float64Array(trace.rowLength);
  let ticks = 0;
  let begin = 0;
  const enough = () => begin > 0 && row[ROW.scheduled] >= begin + seconds;
  while (!enough()) {
    await passing(READ_EVERY, failure);
    while (!enough() && reader.read(previous)) {
      [row, previous] = [previous, row];
      if (begin === 0) begin = row[ROW.scheduled];
      else {
        const miss = missOf(row, previous, period);
        if (miss) misses.push(miss);
      }
      ticks++;
      wake.record(row[ROW.wake]);
      total.record(row[ROW.total]);
    }
  }
  const { wake: cyclictest, late, threads } = await yardstick;
  const end = row[ROW.scheduled];
  // What nine ticks in ten need of their period, and what cyclictest cannot see; never more than half of it.
  const spare = Math.min(period / 2, total.quantile(0.9) / 1e9 + interval / 1e6);
  return {
    seconds: Math.round(end - begin),
    ticks,
    ...compareMisses(misses, late, period, spare),
    wake: wake.percentiles(),
    cyclictest: cyclictest.percentiles(),
    cyclictestMissed: missedByThread(
      late.filter(({ due }) => due >= begin && due <= end),
      threads,
      begin,
      period,
    ),
    sharedFrom: Math.round((period - spare) * 1e6),
  };
}

/** Lets `milliseconds` pass; throws at once when `failure` comes meanwhile. */
async function passing(milliseconds: number, failure: Promise<never>): Promise<void> {
  await Promise.race([new Promise((resolve) => setTimeout(resolve, milliseconds)), failure]);
}
