// farsight sweep: many runs from one file, on this computer's cores or by workers behind a queue.
import { basename, extname } from 'node:path';
import { command, execute, parse } from '../command.js';
import { duration } from '../progress.js';
import { stoppable } from '../signals.js';
import type { SweepFlags, SweepResult } from '../sweep/conduct.js';

interface Flags extends SweepFlags {
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
    .action((file: string, flags: Flags) =>
      execute(
        flags.json,
        () => stoppable('a checkpoint of every run', (stop) => sweep(file, flags, stop)),
        showSweep,
        ({ failed }) => failed === 0,
      ),
    );
}

async function sweep(file: string, flags: Flags, stop: AbortSignal): Promise<SweepResult> {
  const { readSweepFile } = await import('../sweep/sweepFile.js');
  const { planRuns } = await import('../sweep/plan.js');
  const { conductHere } = await import('../sweep/conduct.js');
  const runs = await planRuns(readSweepFile(file));
  return conductHere(`sweep ${basename(file, extname(file))}`, runs, flags, stop);
}

export function showSweep({ results, runs, done, failed, left, seconds, compare }: SweepResult): void {
  const more = left > 0 ? `, ${left} left: the same command goes on` : '';
  console.log(
    `${done} of ${runs} runs done${failed > 0 ? `, ${failed} failed` : ''}${more} (${duration(seconds)})`,
  );
  console.log(`results ${results}`);
  if (done > 0) console.log(`compare with: ${compare}`);
}
