// farsight demo: everything once, in minutes: train InvertedPendulum, export π₀, run it in real time, record, report.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { FarsightError } from '../../contract/errors.js';
import { command, execute, parse, say } from '../command.js';
import { type ControlResult, control } from '../control.js';
import { makeEngine } from '../engineFlags.js';
import { statusLine, summary } from '../latencySummary.js';
import { stoppable } from '../signals.js';
import { evaluateFile } from './eval.js';
import { withProgress } from './train.js';

const TASK = 'inverted-pendulum';
const RATE = 500;
const EPISODES = 10;

interface DemoResult {
  /** Mean return of the exported file over ten episodes that training has not seen. */
  return: number;
  environmentSteps: number;
  /** Of the training. */
  seconds: number;
  policy: string;
  control: ControlResult;
  recording: string;
}

interface Flags {
  seed: number;
  out?: string;
  duration: number;
  json?: boolean;
}

export function demoCommand() {
  return command(
    'demo',
    'train a policy, run it in real time, record and measure: all in minutes',
    'farsight demo',
  )
    .option('--seed <number>', 'everything random follows from it', parse.seed, 1)
    .option('--out <directory>', 'where the run is kept (default: a new one in runs/)')
    .option('--duration <seconds>', 'of the real-time run', parse.positiveNumber, 10)
    .action((flags: Flags) =>
      execute(flags.json, () => stoppable('what is being written', (stop) => demo(flags, stop)), show),
    );
}

async function demo({ seed, out, duration }: Flags, stop: AbortSignal): Promise<DemoResult> {
  const { startRun } = await import('../../trainer/run/train.js');
  const { resolveOptions } = await import('../../trainer/mpdp/options.js');
  const directory =
    out ?? join('runs', `demo-${new Date().toISOString().slice(0, 19).replaceAll(/[^\d]/g, '')}`);
  const options = resolveOptions('smoke', []);
  const engine = await makeEngine({
    engine: 'compiled',
    device: 'cpu',
    threads: Math.min(2, availableParallelism()),
  });
  say(`1/3 training ${TASK} with MPDP, preset smoke, seed ${seed}; curves in ${directory}/report.html`);
  const config = { task: TASK, preset: 'smoke', seed, options };
  const run = await withProgress(`train ${TASK}`, options.steps, stop, (hooks) =>
    startRun(directory, config, engine, hooks),
  );
  if (run.interrupted || run.policy === null)
    throw new FarsightError(`interrupted; 'farsight train --resume --out ${directory}' goes on`);
  say(`2/3 evaluating ${run.policy}`);
  const evaluation = await evaluateFile(run.policy, TASK, EPISODES, seed + 100_000, stop);
  say(`3/3 running it at ${RATE} Hz against the simulated robot for ${duration} s`);
  const recording = join(directory, 'recording');
  const controlled = await control({
    policy: run.policy,
    rateHz: RATE,
    duration,
    record: recording,
    seed,
    signal: stop,
    watch: (report, seconds) => say(statusLine(report, seconds)),
  });
  return {
    return: evaluation.mean,
    environmentSteps: run.environmentSteps,
    seconds: run.seconds,
    policy: run.policy,
    control: controlled,
    recording,
  };
}

function show({
  return: mean,
  environmentSteps,
  seconds,
  policy,
  control: report,
  recording,
}: DemoResult): void {
  console.log(summary(report));
  console.log(
    `\nreturn ${mean.toFixed(1)} of 1000 after ${environmentSteps} environment steps, trained in ${seconds.toFixed(0)} s`,
  );
  console.log(`policy     ${policy}`);
  console.log(`report     ${join(policy, '..', 'report.html')}`);
  console.log(`recording  ${recording}`);
}
