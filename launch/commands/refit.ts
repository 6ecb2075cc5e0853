// farsight refit: a run's model and policy improved on the robot's own recordings, gated by the return in simulation.

import { UsageError } from '../../contract/errors.js';
import type { RefitResult } from '../../trainer/refit/refitResult.js';
import { command, execute, parse, say } from '../command.js';
import { deviceOption, type EngineFlags, engineOption, makeEngine, threadsOption } from '../engineFlags.js';
import { type Progress, startProgress } from '../progress.js';
import type { WatchResult } from '../refitWatch.js';
import { onStopSignal, stoppable } from '../signals.js';

interface RefitFlags extends EngineFlags {
  from: string;
  data: string;
  out: string;
  updates: number;
  watch?: boolean;
  minRows?: number;
  keep?: number;
  reserve?: number;
  limit?: number;
  json?: boolean;
}

/** With --watch; rows, candidates, megabytes and minutes. */
const WATCH = { minRows: 5000, keep: 5, reserve: 500, limit: 60 };

export function refitCommand() {
  return command(
    'refit',
    "refit a run's model on real transitions and improve its policy into a new run",
    'farsight refit --from runs/hopper --data recordings/hopper --out runs/hopper-2',
  )
    .requiredOption('--from <directory>', 'the run to refit; it is left as it is')
    .requiredOption(
      '--data <path>',
      "recordings of 'farsight control --record', a directory or one file, or a dataset of 'farsight collect', or what it has in --out",
    )
    .requiredOption('--out <directory>', 'where the new run is kept')
    .option('--updates <number>', 'updates of critic and policy', parse.positiveInteger, 1000)
    .option(
      '--watch',
      'do it again whenever the dataset has enough new rows: a candidate 0001, 0002, … in --out each time',
    )
    .option(
      '--min-rows <number>',
      `with --watch: new rows that are worth a refit (default: ${WATCH.minRows})`,
      parse.positiveInteger,
    )
    .option(
      '--keep <number>',
      `with --watch: candidates that stay; the newest and the newest accepted one always do (default: ${WATCH.keep})`,
      parse.positiveInteger,
    )
    .option(
      '--reserve <megabytes>',
      `with --watch: room that stays free on the disk (default: ${WATCH.reserve})`,
      parse.nonNegativeNumber,
    )
    .option(
      '--limit <minutes>',
      `with --watch: a refit that takes longer is given up (default: ${WATCH.limit})`,
      parse.positiveNumber,
    )
    .addOption(engineOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addHelpText(
      'after',
      `
The newest fifth of the real transitions judges the model before and after and is never learned from. The new policy
starts from the run's policy.onnx and is accepted when its return is at most 5 % below that file's, in simulation and
in the model fitted to the robot (there beyond what the model's members disagree about); updates after which it is not
are taken back. When none of it passes it is written as policy.rejected.onnx and the exit code is 1.`,
    )
    .action((flags: RefitFlags) => {
      if (flags.watch) return execute(flags.json, () => watch(flags), showWatch);
      return execute(
        flags.json,
        () => {
          refuseStray(flags);
          return stoppable('this step; nothing is written', (stop) => refitRun(flags, stop));
        },
        show,
        ({ accepted }) => accepted,
      );
    });
}

function refuseStray(flags: RefitFlags): void {
  const stray = (Object.keys(WATCH) as (keyof typeof WATCH)[]).find((key) => flags[key] !== undefined);
  if (stray)
    throw new UsageError(
      `--${stray.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)}: goes with --watch`,
    );
}

async function watch(flags: RefitFlags): Promise<WatchResult> {
  const { watchDataset } = await import('../refitWatch.js');
  const { readConfig } = await import('../../trainer/run/runConfig.js');
  readConfig(flags.from);
  const { minRows, keep, reserve, limit } = { ...WATCH, ...flags };
  const { data, out, from, updates, engine, device, threads } = flags;
  const own = { from, updates, engine, device, threads };
  const stop = new AbortController();
  const release = onStopSignal((by) => {
    say(`${by}: ending, without the refit that may be under way`);
    stop.abort();
  });
  try {
    return await watchDataset(
      {
        ...{ data, out, minRows, keep },
        reserve: reserve * 1e6,
        limit: limit * 60,
        flags: Object.entries(own).flatMap(([name, value]) => [`--${name}`, String(value)]),
      },
      stop.signal,
    );
  } finally {
    release();
  }
}

function showWatch({ candidates, accepted, failed }: WatchResult): void {
  console.log(`${candidates} candidates, ${accepted} of them accepted; ${failed} refits failed`);
}

async function refitRun(flags: RefitFlags, stop: AbortSignal): Promise<RefitResult> {
  const { refit } = await import('../../trainer/refit/refit.js');
  const engine = await makeEngine(flags);
  const progress = startProgress({ title: 'refit', total: 2 * flags.updates, unit: 'updates' });
  let part: { title: string; progress: Progress } | undefined;
  const result = await refit(flags, engine, {
    onRemark: say,
    onProgress: (work, done) => {
      if (part?.title !== work.title) {
        part?.progress.finish();
        part = { title: work.title, progress: startProgress(work) };
      }
      part.progress.update(done);
    },
    onUpdate: (done) => progress.update(done),
    stop,
  });
  const { before, after } = result.return;
  progress.finish(`return ${before.toFixed(1)} → ${after.toFixed(1)}`);
  if (!result.accepted) {
    say(
      `rejected: return in simulation ${before.toFixed(1)} → ${after.toFixed(1)}, in the model fitted to the robot ${inModel(result)}; the new policy is '${result.policy}', deploy the old one`,
    );
  }
  return result;
}

/** Before and after, each with how far the model's members differ. */
function inModel({ returnInModel: { before, after } }: Pick<RefitResult, 'returnInModel'>): string {
  return [before, after].map(({ mean, sd }) => `${mean.toFixed(1)} ± ${sd.toFixed(1)}`).join(' → ');
}

function show({ policy, accepted, transitions, skipped, modelError, latency, ...rest }: RefitResult): void {
  const { training, heldOut } = transitions;
  const left = Object.entries(skipped).filter(([, count]) => count > 0);
  const skippedText = left.length > 0 ? `, skipped ${left.map((entry) => entry.join(' ')).join(', ')}` : '';
  const change = ({ before, after }: { before: number; after: number }, digits: number) =>
    `${before.toFixed(digits)} → ${after.toFixed(digits)}`;
  console.log(`real transitions       ${training} learned from, ${heldOut} held out${skippedText}`);
  if (latency) {
    const [late, low, high] = [latency.seconds, ...latency.interval].map((s) => (1000 * s).toFixed(1));
    console.log(
      `latency                ${late} ms (${low} to ${high})${latency.applied ? ', planned with' : ''}`,
    );
  }
  console.log(`model error held out   ${change(modelError, 4)}`);
  for (const error of rest.termErrors) console.log(`  ${error.term.padEnd(20)} ${change(error, 4)}`);
  console.log(`return in simulation   ${change(rest.return, 1)}`);
  console.log(`return in fitted model ${inModel(rest)}`);
  console.log(`updates kept           ${rest.updates}`);
  console.log(`${accepted ? 'accepted' : 'rejected'}: policy ${policy}, report ${rest.directory}/refit.html`);
}
