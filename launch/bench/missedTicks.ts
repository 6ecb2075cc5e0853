// Which of the loop's missed ticks a thread of cyclictest, on one of the processors at the same time, had no chance at.
import { PHASES, type Phase, ROW } from '../../contract/loop.js';
import type { LateWakeUp } from './cyclictest.js';

/** One stretch of missed ticks of the loop. Times are in seconds of CLOCK_MONOTONIC. */
export interface Miss {
  /** Where the periods begin that ended with the tick's work undone: one for each tick missed. */
  periods: number[];
  /** How long after its deadline the tick at fault woke, or was done when it had woken in time; s. */
  late: number;
  /** The part of that tick that took longest. */
  phase: Phase;
}

export interface MissComparison {
  missed: number;
  missEvents: number;
  sharedEvents: number;
  /** Missed ticks of the events that are not shared, those that cyclictest shared among them left out. */
  missedAlone: number;
  /** Of those, the ticks in whose period no thread of cyclictest came late at all: nothing but the loop itself is to blame. */
  missedUndisturbed: number;
  /**
   * The events with such ticks: `at` in s of CLOCK_MONOTONIC, `late` in µs, and `cyclictest` the most that a thread of
   * it was kept waiting in one of those ticks' periods, µs.
   */
  unshared: { at: number; missed: number; alone: number; late: number; phase: Phase; cyclictest: number }[];
}

/**
 * The miss that a trace row tells of, or undefined when it tells of none. `previous` is the row before it: a period is
 * missed asleep, in the row's own wake-up, or because the tick before took longer than its period.
 */
export function missOf(row: Float64Array, previous: Float64Array, period: number): Miss | undefined {
  const missed = row[ROW.missed];
  if (missed === 0) return undefined;
  const asleep = Math.min(missed, Math.floor(row[ROW.wake] / 1e9 / period));
  const overrun = missed - asleep;
  const periods: number[] = [];
  for (let i = 0; i < overrun; i++) periods.push(row[ROW.scheduled] + (i - 1 - missed) * period);
  for (let i = 0; i < asleep; i++) periods.push(row[ROW.scheduled] + (i - asleep) * period);
  if (asleep > 0) return { periods, late: row[ROW.wake] / 1e9, phase: 'wake' };
  const phases = PHASES.filter((phase) => phase !== 'total');
  const phase = phases.reduce((a, b) => (previous[ROW[b]] > previous[ROW[a]] ? b : a));
  return { periods, late: previous[ROW.total] / 1e9, phase };
}

/**
 * Tells the missed ticks apart. One is shared when a thread of cyclictest was kept waiting for all of the tick's period
 * but at most `spare` seconds: had it been the loop, it too would have come too late. An event is shared when all its
 * ticks are.
 */
export function compareMisses(
  misses: readonly Miss[],
  late: readonly LateWakeUp[],
  period: number,
  spare: number,
): MissComparison {
  const comparison: MissComparison = {
    missed: 0,
    missEvents: misses.length,
    sharedEvents: 0,
    missedAlone: 0,
    missedUndisturbed: 0,
    unshared: [],
  };
  for (const { periods, late: lateness, phase } of misses) {
    comparison.missed += periods.length;
    const waits = periods
      .map((start) => longestWait(late, start, start + period))
      .filter((wait) => wait < period - spare);
    if (waits.length === 0) {
      comparison.sharedEvents++;
      continue;
    }
    comparison.missedAlone += waits.length;
    comparison.missedUndisturbed += waits.filter((wait) => wait === 0).length;
    comparison.unshared.push({
      at: periods[0],
      missed: periods.length,
      alone: waits.length,
      late: Math.round(lateness * 1e6),
      phase,
      cyclictest: Math.round(Math.max(...waits) * 1e6),
    });
  }
  return comparison;
}

/** The most time between `start` and `end` that one thread of cyclictest was kept waiting, s. */
function longestWait(late: readonly LateWakeUp[], start: number, end: number): number {
  const waits = new Map<number, number>();
  for (const { thread, due, woke } of late) {
    const wait = Math.min(woke, end) - Math.max(due, start);
    if (wait > 0) waits.set(thread, (waits.get(thread) ?? 0) + wait);
  }
  return Math.max(0, ...waits.values());
}

/**
 * The ticks that each thread of cyclictest would have missed had it woken at the loop's rate and moments, of which
 * `deadline` is one, and had nothing to do.
 */
export function missedByThread(
  late: readonly LateWakeUp[],
  threads: number,
  deadline: number,
  period: number,
): number[] {
  const missed = new Array<number>(threads).fill(0);
  for (const { thread, due, woke } of late) {
    const first = deadline + Math.ceil((due - deadline) / period) * period;
    missed[thread] += Math.max(0, Math.floor((woke - first) / period));
  }
  return missed;
}
