// farsight bench ros2: from a sensor message's stamp to its command, ours beside the event-loop way and cyclictest.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { FarsightError } from '../../contract/errors.js';
import { LatencyHistogram, type Percentiles } from '../../contract/histogram.js';
import type { LoopReport } from '../../contract/loop.js';
import { rclnodejsProblem } from '../../controller/ros/management/rclnodejs.js';
import type { MeasuredLatency } from '../bench/latencyRobot.js';
import { CONDITIONS, type Condition, stolenTime } from '../bench/load.js';
import type { OurLatency, WindowOptions } from '../bench/rosLatency.js';
import { command, execute, parse, say } from '../command.js';
import { latencyTable } from '../latencySummary.js';
import { stoppable } from '../signals.js';

interface Options {
  rates: number[];
  conditions: Condition[];
  duration: number;
  align: boolean;
  json?: boolean;
}

/** One rate under one condition, all its windows together; latencies in µs from a message's stamp to its command. */
export interface RosComparison {
  rateHz: number;
  condition: Condition;
  /** Of measuring, for each of the two. */
  seconds: number;
  ours: Percentiles;
  eventLoop: Percentiles;
  /** The event loop's latency over ours, quantile by quantile. */
  ratio: Percentiles;
  /** Wake-ups of our loop, and of cyclictest at the same time. */
  wake: Percentiles;
  cyclictest: Percentiles;
  /** The loop's wake-up over cyclictest's. */
  wakeRatio: Percentiles;
  messages: Counts;
  /** Messages that were answered by the command for a newer one; their latency counts up to that. */
  superseded: Counts;
  lost: Counts;
  /** Ticks that our loop missed. */
  missed: number;
  scheduling: LoopReport['scheduling'];
  /** Milliseconds that the machine's host kept its processors from it meanwhile. */
  stolen: Counts;
}
interface Counts {
  ours: number;
  eventLoop: number;
}

/** Seconds of a window at most. */
const WINDOW = 12;
/** The messages are numbered in float32, which is exact to here. */
const MOST_MESSAGES = 2 ** 24;

export function benchRosCommand() {
  return command(
    'ros2',
    "measure from a sensor message's stamp to its command on ROS 2, beside an event-loop controller and cyclictest",
    'farsight bench ros2 --duration 48 --json',
  )
    .option('--rates <hz,hz>', 'messages and ticks a second', rates, [500, 1000])
    .option('--conditions <which,which>', `of ${CONDITIONS.join(', ')}`, conditions, [...CONDITIONS])
    .option(
      '--duration <seconds>',
      'for each rate and condition: half ours beside cyclictest, half the event loop, in turn',
      parse.positiveNumber,
      48,
    )
    .option('--no-align', "our ticks on a grid of their own, instead of aligned to the sensors' messages")
    .action((options: Options) =>
      execute(options.json, () => stoppable('this window', (stop) => run(options, stop)), show),
    );
}

function rates(text: string): number[] {
  return text.split(',').map((one) => {
    const rate = Number(one);
    if (!(rate > 0 && rate <= 10_000)) throw new InvalidArgumentError('wants rates in Hz, such as 500,1000.');
    return rate;
  });
}

function conditions(text: string): Condition[] {
  return text.split(',').map((one) => {
    const condition = CONDITIONS.find((name) => name === one);
    if (!condition) throw new InvalidArgumentError(`'${one}' is none of ${CONDITIONS.join(', ')}.`);
    return condition;
  });
}

async function run({ rates, conditions, duration, align }: Options, stop: AbortSignal) {
  const problem = rclnodejsProblem(['sensor_msgs', 'std_msgs']);
  if (problem) throw new FarsightError(problem);
  const { syntheticTask, writeSyntheticPolicy } = await import('../bench/syntheticPolicy.js');
  const directory = mkdtempSync(join(tmpdir(), 'farsight-bench-'));
  try {
    const comparisons: RosComparison[] = [];
    for (const rateHz of rates) {
      const task = syntheticTask(17, 6, rateHz);
      task.action[0].limits = [0, MOST_MESSAGES];
      task.safety = { joints: [], sensorTimeout: 10, missed: { longest: 1e9, share: 1, window: 1 } };
      const policy = join(directory, `policy${rateHz}.onnx`);
      writeSyntheticPolicy(policy, task, [256, 256], true);
      for (const condition of conditions) {
        comparisons.push(await compare({ policy, rateHz, condition, align, seconds: duration / 2, stop }));
      }
    }
    return { aligned: align, comparisons };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function compare({ seconds: half, ...options }: WindowOptions): Promise<RosComparison> {
  const { eventLoopWindow, ourWindow } = await import('../bench/rosLatency.js');
  const { rateHz, condition } = options;
  const windows = Math.max(1, Math.round(half / WINDOW));
  const window = { ...options, seconds: half / windows };
  const ours: OurLatency[] = [];
  const eventLoop: MeasuredLatency[] = [];
  const stolen = { ours: 0, eventLoop: 0 };
  const measured = async <T>(which: keyof typeof stolen, work: () => Promise<T>): Promise<T> => {
    const before = stolenTime();
    const result = await work();
    stolen[which] += stolenTime() - before;
    return result;
  };
  for (let i = 0; i < windows; i++) {
    ours.push(await measured('ours', () => ourWindow(window)));
    eventLoop.push(await measured('eventLoop', () => eventLoopWindow(window)));
    say(`${rateHz} Hz, ${condition}: ${i + 1} of ${windows} windows`);
  }
  const percentiles = {
    ours: merged(ours.map(({ latency }) => latency)),
    eventLoop: merged(eventLoop.map(({ latency }) => latency)),
    wake: merged(ours.map(({ wake }) => wake)),
    cyclictest: merged(ours.map(({ cyclictest }) => cyclictest)),
  };
  const counts = (of: (measured: MeasuredLatency) => number): Counts => ({
    ours: ours.reduce((sum, one) => sum + of(one), 0),
    eventLoop: eventLoop.reduce((sum, one) => sum + of(one), 0),
  });
  return {
    rateHz,
    condition,
    seconds: half,
    ...percentiles,
    ratio: over(percentiles.eventLoop, percentiles.ours),
    wakeRatio: over(percentiles.wake, percentiles.cyclictest),
    messages: counts(({ messages }) => messages),
    superseded: counts(({ superseded }) => superseded),
    lost: counts(({ lost }) => lost),
    missed: ours.reduce((sum, { missed }) => sum + missed, 0),
    scheduling: ours[0].scheduling,
    stolen,
  };
}

function merged(samples: Parameters<LatencyHistogram['merge']>[0][]): Percentiles {
  const histogram = new LatencyHistogram();
  for (const sample of samples) histogram.merge(sample);
  return histogram.percentiles();
}

function over(one: Percentiles, other: Percentiles): Percentiles {
  return Object.fromEntries(
    Object.entries(one).map(([quantile, value]) => [
      quantile,
      Number((value / other[quantile as keyof Percentiles]).toFixed(3)),
    ]),
  ) as unknown as Percentiles;
}

function show({ aligned, comparisons }: { aligned: boolean; comparisons: RosComparison[] }): void {
  for (const { rateHz, condition, ...one } of comparisons) {
    const { ours, eventLoop, wake, cyclictest, ratio, wakeRatio, messages, lost, superseded, stolen } = one;
    console.log(`\n${rateHz} Hz, ${condition}: ${Math.round(one.seconds)} s each`);
    const rows = { ours, 'event loop': eventLoop, 'our wake-up': wake, cyclictest };
    console.log(latencyTable(rows, rateHz).join('\n'));
    console.log(
      `event loop over ours: p50 ${ratio.p50}, p99 ${ratio.p99}, p99.9 ${ratio.p999}, max ${ratio.max}; our wake-up over cyclictest: p50 ${wakeRatio.p50}, p99 ${wakeRatio.p99}, p99.9 ${wakeRatio.p999}, max ${wakeRatio.max}`,
    );
    console.log(
      `messages ${messages.ours} and ${messages.eventLoop}, superseded ${superseded.ours} and ${superseded.eventLoop}, lost ${lost.ours} and ${lost.eventLoop}; ${one.missed} ticks missed; scheduling ${one.scheduling}; stolen by the host: ${stolen.ours} and ${stolen.eventLoop} ms`,
    );
  }
  console.log(
    `\nOurs with its ticks ${aligned ? "aligned to the sensors' messages" : 'on a grid of their own'}`,
  );
}
