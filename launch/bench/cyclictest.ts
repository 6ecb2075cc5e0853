// cyclictest, the real-time community's wake-up benchmark (Debian's rt-tests), as a yardstick for the loop.
import { spawn } from 'node:child_process';
import { FarsightError, messageOf } from '../../contract/errors.js';
import { LatencyHistogram } from '../../contract/histogram.js';

/** Latencies that its histogram tells apart, µs; larger ones are counted together. */
const HISTOGRAM = 30_000;
/** Late wake-ups that it keeps; more go unlisted. */
const LATE_KEPT = 500_000;

export interface CyclictestOptions {
  /** µs between two wake-ups of a thread. */
  interval: number;
  /** Rounded to whole seconds, at least 1. */
  seconds: number;
  priority: number;
  /** Run a thread on every processor, and list the wake-ups later than so many µs; default one thread and no list. */
  everyProcessorLate?: number;
  /** Ends it early; its reason is thrown. */
  stop?: AbortSignal;
}

/** A wake-up that came late; times in seconds of CLOCK_MONOTONIC, to 1 µs. */
export interface LateWakeUp {
  thread: number;
  due: number;
  woke: number;
}

export interface CyclictestRun {
  threads: number;
  /** Wake-up latencies of all threads; cyclictest knows them to 1 µs. */
  wake: LatencyHistogram;
  /** Periods that passed before a wake-up came. */
  missed: number;
  late: LateWakeUp[];
}

/** What setpriv exits with when it finds no such program. */
const NOT_FOUND = 127;

/**
 * Runs cyclictest, which ends with this process whatever kills that. Throws a `FarsightError` when it is not installed
 * or may not run.
 */
export async function runCyclictest({
  interval,
  seconds,
  priority,
  everyProcessorLate,
  stop,
}: CyclictestOptions): Promise<CyclictestRun> {
  const child = spawn(
    'setpriv',
    [
      '--pdeathsig=KILL',
      'cyclictest',
      '-m',
      '-q',
      ...(everyProcessorLate === undefined
        ? ['-t1']
        : ['-S', `--spike=${everyProcessorLate}`, `--spike-nodes=${LATE_KEPT}`]),
      `-p${priority}`,
      `-i${interval}`,
      `-D${Math.max(1, Math.round(seconds))}`,
      `-h${HISTOGRAM}`,
    ],
    // In a process group of its own: a terminal's Ctrl-C is for the benchmark, which then ends it.
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true, signal: stop, killSignal: 'SIGKILL' },
  );
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (stop?.aborted) reject(stop.reason);
      const why =
        error.code === 'ENOENT'
          ? 'setpriv is not installed, with which cyclictest is started: apt-get install util-linux'
          : `cyclictest does not start: ${messageOf(error)}`;
      reject(new FarsightError(why));
    });
  });
  if (code === NOT_FOUND) {
    throw new FarsightError(
      'cyclictest is not installed, and the loop is measured beside it: apt-get install rt-tests',
    );
  }
  if (code !== 0) {
    throw new FarsightError(`cyclictest failed (exit ${code}): ${messageOf(errors.trim() || output.trim())}`);
  }
  return parse(output, interval);
}

/**
 * Reads lines of `latency count count…`, a count for each thread; the comments with each thread's maximum and number of
 * larger latencies; and lines of `T: thread Spike: latency: TS: time`, in µs, where the time is that of waking.
 */
function parse(output: string, interval: number): CyclictestRun {
  const wake = new LatencyHistogram();
  let missed = 0;
  const add = (microseconds: number, count: number) => {
    for (let i = 0; i < count; i++) wake.record(microseconds * 1000);
    missed += count * Math.floor(microseconds / interval);
  };
  for (const [, latency, counts] of output.matchAll(/^(\d+)((?:[ \t]+\d+)+)$/gm)) {
    for (const count of numbers(counts)) add(Number(latency), count);
  }
  const largest = numbers(/# Max Latencies:(.*)/.exec(output)?.[1]);
  const overflows = numbers(/# Histogram Overflows:(.*)/.exec(output)?.[1]);
  if (largest.length === 0 || largest.length !== overflows.length) {
    throw new FarsightError(`cyclictest's output is not understood: ${messageOf(output.slice(-200))}`);
  }
  for (const [thread, count] of overflows.entries()) add(largest[thread], count);
  const spikes = output.matchAll(/^T:\s*(\d+) Spike:\s*(\d+): TS:\s*(\d+)$/gm);
  const late = Array.from(spikes, ([, thread, latency, woke]) => ({
    thread: Number(thread),
    due: (Number(woke) - Number(latency)) / 1e6,
    woke: Number(woke) / 1e6,
  }));
  return { threads: largest.length, wake, missed, late };
}

function numbers(text = ''): number[] {
  return (text.match(/\d+/g) ?? []).map(Number);
}
