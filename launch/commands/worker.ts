// farsight worker: trains the runs of queued sweeps, on as many computers as there are.
import { availableParallelism } from 'node:os';
import { Option } from 'commander';
import { command, execute, parse } from '../command.js';
import { stoppable } from '../signals.js';
import type { WorkerFlags } from '../sweep/worker.js';

interface Flags extends Omit<WorkerFlags, 'threads'> {
  threads?: number;
  json?: boolean;
}

export const queueOption = () =>
  new Option('--queue <url>', 'Redis: redis://[user:password@]host[:port], or rediss://');

export function workerCommand() {
  return command(
    'worker',
    'train the runs of sweeps that wait in a queue',
    'farsight worker --queue redis://fleet:6379 --shared /mnt/sweeps',
  )
    .addOption(queueOption().makeOptionMandatory())
    .option('--shared <directory>', 'what holds the directories of the sweeps, where its path differs here')
    .option('--jobs <number>', 'runs side by side', parse.positiveInteger, availableParallelism())
    .option('--threads <number>', 'of each run (default: the cores over the runs)', parse.positiveInteger)
    .option(
      '--lease <seconds>',
      'not heard of for so long, its runs go to other workers',
      parse.positiveNumber,
      30,
    )
    .action((flags: Flags) =>
      execute(
        flags.json,
        () =>
          stoppable('a checkpoint of every run, for others to go on with', async (stop) => {
            const { work } = await import('../sweep/worker.js');
            const { threads = Math.max(1, Math.floor(availableParallelism() / flags.jobs)) } = flags;
            return work({ ...flags, threads }, stop);
          }),
        ({ done, failed, returned }) =>
          console.log(`${done} runs done, ${failed} failed or cancelled, ${returned} given back`),
      ),
    );
}
