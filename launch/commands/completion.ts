// farsight completion: the script that makes a shell complete commands, flags, tasks, presets and options.
import { Argument, type Command } from 'commander';
import { command, execute } from '../command.js';
import { type Choices, completionScript, SHELLS, type Shell } from '../completion.js';

export function completionCommand() {
  return command(
    'completion',
    'print a script that completes farsight in your shell',
    'farsight completion bash > ~/.local/share/bash-completion/completions/farsight',
  )
    .addArgument(new Argument('<shell>', 'whose script').choices(SHELLS))
    .action((shell: Shell, flags: { json?: boolean }, { parent }: Command) =>
      execute(
        flags.json,
        async () => ({ script: completionScript(shell, parent!, await trainerChoices()) }),
        ({ script }) => process.stdout.write(script),
      ),
    );
}

/** What the trainer's flags take; none where the trainer is not installed, as on a robot. */
export async function trainerChoices(): Promise<Choices> {
  try {
    const { taskNames } = await import('../../trainer/sim/task.js');
    const { optionsSchema, PRESETS } = await import('../../trainer/mpdp/options.js');
    const settings = Object.keys(optionsSchema.shape).map((key) => `${key}=`);
    return {
      '--task': taskNames,
      '<task>': taskNames,
      '--preset': Object.keys(PRESETS),
      'train --set': settings,
      'experiment --set': settings,
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return {};
    throw error;
  }
}
