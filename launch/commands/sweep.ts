// farsight sweep: many runs from one file, on this computer's cores or by workers behind a queue.
import { basename, extname } from 'node:path';
import { UsageError } from '../../contract/errors.js';
import { command, execute, parse } from '../command.js';
import { duration } from '../progress.js';
import { stoppable } from '../signals.js';
import type { SweepFlags, SweepResult } from '../sweep/conduct.js';
import type { Cancelled } from '../sweep/follow.js';
import type { PlannedRun } from '../sweep/plan.js';
import { queueOption } from './worker.js';

interface Flags extends SweepFlags {
  queue?: string;
  cancel?: boolean;
  json?: boolean;
}

export function sweepCommand() {
  return command(
    'sweep',
    'train every combination of settings, tasks and seeds that a file asks for',
    'farsight sweep horizon.yaml --out runs/horizon',
  )
    .argument('<file>', 'YAML of task, seeds, preset, options, and grid, random or settings')
    .requiredOption('--out <directory>', 'where the runs and results.csv are kept; what is done there stays')
    .option('--jobs <number>', 'runs side by side (default: the cores)', parse.positiveInteger)
    .option('--threads <number>', 'of each run (default: the cores over the runs)', parse.positiveInteger)
    .addOption(queueOption().conflicts(['jobs', 'threads']))
    .option('--cancel', 'end what is not done of the sweep in the queue')
    .action((file: string, flags: Flags) =>
      flags.cancel
        ? execute(
            flags.json,
            () => stoppable('what is cancelled by then', (stop) => cancel(file, flags, stop)),
            ({ waiting, running, left }) => {
              const rest = left > 0 ? `; ${left} that their workers have not stopped yet` : '';
              console.log(`cancelled ${waiting} runs that waited and ${running} that ran${rest}`);
            },
          )
        : execute(
            flags.json,
            () =>
              stoppable(flags.queue ? 'this view: the workers go on' : 'a checkpoint of every run', (stop) =>
                sweep(file, flags, stop),
              ),
            showSweep,
            ({ failed }) => failed === 0,
          ),
    );
}

async function sweep(file: string, flags: Flags, stop: AbortSignal): Promise<SweepResult> {
  const runs = await runsOf(file);
  const title = `sweep ${basename(file, extname(file))}`;
  if (flags.queue) {
    const { conductQueued } = await import('../sweep/follow.js');
    return conductQueued(title, runs, flags.out, flags.queue, stop);
  }
  const { conductHere } = await import('../sweep/conduct.js');
  return conductHere(title, runs, flags, stop);
}

async function runsOf(file: string): Promise<PlannedRun[]> {
  const { readSweepFile } = await import('../sweep/sweepFile.js');
  const { planRuns } = await import('../sweep/plan.js');
  return planRuns(readSweepFile(file));
}

async function cancel(file: string, { queue, out }: Flags, stop: AbortSignal): Promise<Cancelled> {
  if (!queue) throw new UsageError('--cancel wants --queue: a sweep on this computer ends with Ctrl-C');
  await runsOf(file);
  const { cancelSweep } = await import('../sweep/follow.js');
  return cancelSweep(out, queue, stop);
}

export function showSweep({ results, runs, done, failed, left, seconds, compare }: SweepResult): void {
  const more = left > 0 ? `, ${left} left: the same command goes on` : '';
  console.log(
    `${done} of ${runs} runs done${failed > 0 ? `, ${failed} failed` : ''}${more} (${duration(seconds)})`,
  );
  console.log(`results ${results}`);
  if (done > 0) console.log(`compare with: ${compare}`);
}
