// farsight bench control: the loop beside cyclictest, in alternating windows and then at once, idle and under load.
import { LatencyHistogram, type Percentiles } from '../../contract/histogram.js';
import {
  INTERVENTIONS,
  type LoopReport,
  PHASES,
  type PhaseHistograms,
  perPhase,
} from '../../contract/loop.js';
import { type PolicyFile, readPolicyFile } from '../../contract/policyFile.js';
import { robotLink, SENSOR } from '../../contract/robot.js';
import { jointsOf } from '../../contract/terms.js';
import type { LoopHandle } from '../../controller/controller.js';
import type { SimultaneousRun } from '../bench/besideCyclictest.js';
import { startGarbage, startNeighbour, stolenTime } from '../bench/load.js';
import { syntheticPolicy, syntheticTask } from '../bench/syntheticPolicy.js';
import { command, execute, parse, say } from '../command.js';
import { latencyTable } from '../latencySummary.js';
import { stoppable } from '../signals.js';

interface Options {
  policy?: string;
  rate: number;
  duration: number;
  json?: boolean;
}

/** One condition: the loop's report over all its windows, cyclictest's wake-ups over as many seconds, and both at once. */
interface Comparison extends LoopReport {
  seconds: number;
  cyclictest: Percentiles;
  cyclictestMissed: number;
  /** Milliseconds that the machine's host kept its processors from it meanwhile; no scheduling inside can help that. */
  stolen: { loop: number; cyclictest: number };
  /** The loop's wake-up over cyclictest's, quantile by quantile. */
  ratio: Percentiles;
  simultaneous: SimultaneousRun & { stolen: number };
}

/** Seconds of a window, within which the loop or cyclictest has the machine to itself. */
const WINDOW = 12;

export function benchControlCommand() {
  return command(
    'control',
    "measure the loop's latency beside cyclictest, idle and under load",
    'farsight bench control --rate 500 --duration 120 --json',
  )
    .option('--policy <file>', 'the policy to run every tick (default: a random one of 17 → 256 → 256 → 6)')
    .option('--rate <hz>', 'ticks a second', parse.positiveNumber, 500)
    .option(
      '--duration <seconds>',
      'time for each of idle and load: a third the loop, a third cyclictest, in turn, and a third both at the same time',
      parse.positiveNumber,
      120,
    )
    .action((options: Options) =>
      execute(options.json, () => stoppable('this window', (stop) => run(options, stop)), show),
    );
}

async function run({ policy: path, rate, duration }: Options, stop: AbortSignal) {
  const policy = path === undefined ? syntheticPolicy(syntheticTask(17, 6, rate)) : readPolicyFile(path);
  // π₀ in every tick, on sensors that stand still.
  const safety = { joints: [], sensorTimeout: 1e9, missed: { longest: 1e9, share: 1, window: 1 } };
  const stillPolicy = { ...policy, manifest: { ...policy.manifest, controlRate: rate, safety } };
  const idle = await compare('idle', stillPolicy, rate, duration, stop);
  const endLoad = startLoad();
  try {
    const load = await compare('load', stillPolicy, rate, duration, stop);
    return { ...load, idle, load };
  } finally {
    endLoad();
  }
}

async function compare(
  title: string,
  policy: PolicyFile,
  rateHz: number,
  duration: number,
  stop: AbortSignal,
): Promise<Comparison> {
  const { LOOP_PRIORITY } = await import('../../controller/realtime.js');
  const { runCyclictest } = await import('../bench/cyclictest.js');
  const third = duration / 3;
  const pairs = Math.max(1, Math.round(third / WINDOW));
  const seconds = third / pairs;
  const reports: LoopReport[] = [];
  const phases = perPhase(() => new LatencyHistogram());
  const yardstick = new LatencyHistogram();
  let cyclictestMissed = 0;
  const stolen = { loop: 0, cyclictest: 0 };
  for (let pair = 0; pair < pairs; pair++) {
    const before = stolenTime();
    const { wake, missed } = await runCyclictest({
      interval: Math.round(1e6 / rateHz),
      seconds,
      priority: LOOP_PRIORITY,
      stop,
    });
    const between = stolenTime();
    reports.push(await loopWindow(policy, rateHz, seconds, phases, stop));
    yardstick.merge(wake.sample());
    cyclictestMissed += missed;
    stolen.cyclictest += between - before;
    stolen.loop += stolenTime() - between;
    say(`${title}: ${Math.round((pair + 1) * 2 * seconds)} of ${Math.round(duration)} s`);
  }
  const simultaneous = await simultaneousRun(policy, rateHz, third, stop);
  say(`${title}: ${Math.round(duration)} of ${Math.round(duration)} s`);
  const sum = (of: (report: LoopReport) => number) =>
    reports.reduce((total, report) => total + of(report), 0);
  const cyclictest = yardstick.percentiles();
  const wake = phases.wake.percentiles();
  const ratio = Object.fromEntries(
    Object.entries(wake).map(([quantile, value]) => [
      quantile,
      Number((value / cyclictest[quantile as keyof Percentiles]).toFixed(3)),
    ]),
  ) as unknown as Percentiles;
  return {
    ...reports[pairs - 1],
    seconds: pairs * seconds,
    ticks: sum((report) => report.ticks),
    missed: sum((report) => report.missed),
    longestMiss: Math.max(...reports.map((report) => report.longestMiss)),
    gc: sum((report) => report.gc),
    interventions: Object.fromEntries(
      INTERVENTIONS.map((name) => [name, sum((report) => report.interventions[name])]),
    ) as LoopReport['interventions'],
    phases: perPhase((phase) => phases[phase].percentiles()),
    cyclictest,
    cyclictestMissed,
    stolen,
    ratio,
    simultaneous,
  };
}

/** Starts the loop with π₀ in every tick, on sensors that stand still. */
async function startStill(policy: PolicyFile, rateHz: number): Promise<LoopHandle> {
  const { startLoop } = await import('../../controller/controller.js');
  const loop = await startLoop({ policy, name: 'benchmark', rateHz });
  const { sensors } = robotLink(jointsOf(loop.manifest).length, loop.manifest.action.length, loop.robot);
  sensors.writable[SENSOR.stamp] = Number(process.hrtime.bigint()) / 1e9;
  sensors.publish();
  await loop.activate();
  return loop;
}

/** Runs the loop for `seconds` and adds its histograms to `phases`. */
async function loopWindow(
  policy: PolicyFile,
  rateHz: number,
  seconds: number,
  phases: PhaseHistograms,
  stop: AbortSignal,
): Promise<LoopReport> {
  const { pause } = await import('../pause.js');
  const loop = await startStill(policy, rateHz);
  await pause(seconds, stop);
  const report = await loop.stop();
  stop.throwIfAborted();
  for (const phase of PHASES) phases[phase].merge(loop.view.histograms[phase].sample());
  return report;
}

/** Runs the loop and cyclictest together for `seconds`. */
async function simultaneousRun(policy: PolicyFile, rateHz: number, seconds: number, stop: AbortSignal) {
  const { LOOP_PRIORITY } = await import('../../controller/realtime.js');
  const { besideCyclictest } = await import('../bench/besideCyclictest.js');
  const loop = await startStill(policy, rateHz);
  try {
    const before = stolenTime();
    const both = await besideCyclictest(loop, LOOP_PRIORITY, seconds, stop);
    return { ...both, stolen: stolenTime() - before };
  } finally {
    await loop.stop();
  }
}

/** A process that computes without end, and this thread making garbage most of the time. Returns how to end both. */
function startLoad(): () => void {
  const ends = [startNeighbour(), startGarbage()];
  return () => {
    for (const end of ends) end();
  };
}

function show({ idle, load }: { idle: Comparison; load: Comparison }): void {
  for (const [title, { rateHz, phases, cyclictest, ratio, simultaneous, ...counts }] of Object.entries({
    idle,
    load,
  })) {
    console.log(`\n${title}: ${counts.ticks} ticks at ${rateHz} Hz in ${Math.round(counts.seconds)} s`);
    console.log(latencyTable({ ...phases, cyclictest }, rateHz).join('\n'));
    console.log(
      `wake over cyclictest: p50 ${ratio.p50}, p99 ${ratio.p99}, p99.9 ${ratio.p999}, max ${ratio.max}`,
    );
    console.log(
      `missed: loop ${counts.missed}, cyclictest ${counts.cyclictestMissed}; stolen by the host: ${counts.stolen.loop} ms and ${counts.stolen.cyclictest} ms; scheduling ${counts.scheduling}; ${counts.gc} garbage collections in the loop`,
    );
    const { seconds, ticks, missed, missedAlone, missedUndisturbed, cyclictestMissed, stolen } = simultaneous;
    console.log(
      `both at once, ${seconds} s: the loop missed ${missed} of ${ticks + missed} ticks, ${missedAlone} of them when cyclictest was not as late on any processor, ${missedUndisturbed} when it was not late at all; in its place cyclictest would have missed ${Math.min(...cyclictestMissed)} to ${Math.max(...cyclictestMissed)}, by processor; stolen ${stolen} ms`,
    );
  }
}
