// cyclictest, the real-time community's wake-up benchmark (Debian's rt-tests), as a yardstick beside the loop.
import { spawn } from 'node:child_process';
import { FarsightError, messageOf } from '../contract/errors.js';
import { LatencyHistogram } from '../contract/histogram.js';

/** Latencies that its histogram tells apart, µs; larger ones are counted together. */
const HISTOGRAM = 30_000;

export interface CyclictestRun {
  /** Wake-up latencies; cyclictest knows them to 1 µs. */
  wake: LatencyHistogram;
  /** Periods that passed before a wake-up came. */
  missed: number;
}

/**
 * Runs one thread of cyclictest at `priority` for `seconds`, waking every `1 / rateHz`. Throws a `FarsightError` when
 * it is not installed or may not run.
 */
export async function runCyclictest(
  rateHz: number,
  seconds: number,
  priority: number,
): Promise<CyclictestRun> {
  const interval = Math.round(1e6 / rateHz);
  const child = spawn(
    'cyclictest',
    [
      '-m',
      '-q',
      '-t1',
      `-p${priority}`,
      `-i${interval}`,
      `-D${Math.max(1, Math.round(seconds))}`,
      `-h${HISTOGRAM}`,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
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
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new FarsightError(
          error.code === 'ENOENT'
            ? 'cyclictest is not installed, and the loop is measured beside it: apt-get install rt-tests'
            : `cyclictest does not start: ${messageOf(error)}`,
        ),
      ),
    );
  });
  if (code !== 0) {
    throw new FarsightError(`cyclictest failed (exit ${code}): ${messageOf(errors.trim() || output.trim())}`);
  }
  return parse(output, interval);
}

/** Reads lines of `latency count`, and the comments with the maximum and the number of larger latencies. */
function parse(output: string, interval: number): CyclictestRun {
  const wake = new LatencyHistogram();
  let missed = 0;
  const add = (microseconds: number, count: number) => {
    for (let i = 0; i < count; i++) wake.record(microseconds * 1000);
    missed += count * Math.floor(microseconds / interval);
  };
  for (const [, latency, count] of output.matchAll(/^(\d+)\s+(\d+)$/gm)) add(Number(latency), Number(count));
  const largest = Number(/# Max Latencies: (\d+)/.exec(output)?.[1]);
  const overflows = Number(/# Histogram Overflows: (\d+)/.exec(output)?.[1]);
  if (!Number.isFinite(largest) || !Number.isFinite(overflows)) {
    throw new FarsightError(`cyclictest's output is not understood: ${messageOf(output.slice(-200))}`);
  }
  if (overflows > 0) add(largest, overflows);
  return { wake, missed };
}
