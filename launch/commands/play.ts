// farsight play: a policy's robot moving in a browser, as one page that stands alone, or as a clip.
import { FarsightError } from '../../contract/errors.js';
import { command, execute, parse, say } from '../command.js';

interface Flags {
  task?: string;
  seed: number;
  out?: string;
  json?: boolean;
}

export function playCommand() {
  return command(
    'play',
    'see the robot move in a browser: one page that works offline, or a clip',
    'farsight play runs/hopper/policy.onnx --out hopper.html',
  )
    .argument('<policy>', 'the policy file')
    .option('--task <name|path>', "the task (default: the one that the file's manifest names)")
    .option('--seed <number>', 'of the start states, as for eval', parse.integer, 100)
    .option('--out <file>', 'write the page (.html) instead of serving it')
    .action((path: string, flags: Flags) =>
      execute(
        flags.json,
        () => play(path, flags),
        (result) => console.log(JSON.stringify(result)),
      ),
    );
}

async function play(policy: string, { task, seed, out }: Flags) {
  const { makePage } = await import('../play/pageFile.js');
  const html = await makePage({ policy, task, seed });
  if (out === undefined) throw new FarsightError('later');
  const { writeFileSync } = await import('node:fs');
  writeFileSync(out, html);
  say(`wrote ${out}`);
  return { page: out, bytes: html.length };
}
