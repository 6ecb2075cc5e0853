// farsight refit: a run's model and policy improved on the robot's own recordings, gated by the return in simulation.
import type { RefitResult } from '../../trainer/refit/refit.js';
import { command, execute, parse, say } from '../command.js';
import { deviceOption, type EngineFlags, engineOption, makeEngine, threadsOption } from '../engineFlags.js';
import { startProgress } from '../progress.js';
import { stoppable } from '../signals.js';

interface RefitFlags extends EngineFlags {
  from: string;
  data: string;
  out: string;
  updates: number;
  json?: boolean;
}

export function refitCommand() {
  return command(
    'refit',
    "refit a run's model on real transitions and improve its policy into a new run",
    'farsight refit --from runs/hopper --data recordings/hopper --out runs/hopper-2',
  )
    .requiredOption('--from <directory>', 'the run to refit; it is left as it is')
    .requiredOption(
      '--data <path>',
      "recordings of 'farsight control --record', a directory or one file, or a dataset of 'farsight collect'",
    )
    .requiredOption('--out <directory>', 'where the new run is kept')
    .option('--updates <number>', 'updates of critic and policy', parse.positiveInteger, 1000)
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
    .action((flags: RefitFlags) =>
      execute(
        flags.json,
        () => stoppable('this step; nothing is written', (stop) => refitRun(flags, stop)),
        show,
        ({ accepted }) => accepted,
      ),
    );
}

async function refitRun(flags: RefitFlags, stop: AbortSignal): Promise<RefitResult> {
  const { refit } = await import('../../trainer/refit/refit.js');
  const engine = await makeEngine(flags);
  const progress = startProgress({ title: 'refit', total: flags.updates, unit: 'updates' });
  const result = await refit(flags, engine, {
    onRemark: say,
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

function show({ policy, accepted, transitions, skipped, modelError, ...rest }: RefitResult): void {
  const { training, heldOut } = transitions;
  const left = Object.entries(skipped).filter(([, count]) => count > 0);
  const skippedText = left.length > 0 ? `, skipped ${left.map((entry) => entry.join(' ')).join(', ')}` : '';
  const change = ({ before, after }: { before: number; after: number }, digits: number) =>
    `${before.toFixed(digits)} → ${after.toFixed(digits)}`;
  console.log(`real transitions       ${training} learned from, ${heldOut} held out${skippedText}`);
  console.log(`model error held out   ${change(modelError, 4)}`);
  for (const error of rest.termErrors) console.log(`  ${error.term.padEnd(20)} ${change(error, 4)}`);
  console.log(`return in simulation   ${change(rest.return, 1)}`);
  console.log(`return in fitted model ${inModel(rest)}`);
  console.log(`updates kept           ${rest.updates}`);
  console.log(
    `${accepted ? 'accepted' : 'rejected'}: policy ${policy}, report ${rest.directory}/report.html`,
  );
}
