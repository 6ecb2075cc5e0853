// farsight compare: training runs on one page, grouped by label: return against environment steps, steps to a goal.
import { UsageError } from '../../contract/errors.js';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import { command, execute, parse } from '../command.js';

interface Flags {
  out: string;
  title: string;
  goal: number;
  json?: boolean;
}

export function compareCommand() {
  return command(
    'compare',
    'overlay the return of several runs, grouped by label',
    'farsight compare planning=runs/h5-1 planning=runs/h5-2 myopic=runs/h1-1 --out comparison.html',
  )
    .argument('<label=run...>', 'directories of runs; runs of the same label are seeds of one group')
    .requiredOption('--out <file>', 'the page (.html) or the chart alone (.svg)')
    .option('--title <text>', 'heading', 'Return over environment steps')
    .option('--goal <return>', 'mean return that counts as reached', parse.positiveNumber, 950)
    .action((given: string[], flags: Flags) =>
      execute(
        flags.json,
        () => compare(given, flags),
        ({ out }) => console.log(`wrote ${out}`),
      ),
    );
}

async function compare(given: string[], { out, title, goal }: Flags): Promise<{ out: string }> {
  const { comparisonSvg, writeComparison } = await import('../../trainer/report/comparison.js');
  const runs = given.map((text) => {
    const [, label, directory] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (directory === undefined) throw new UsageError(`'${text}': wants label=directory`);
    return { label, directory };
  });
  if (out.endsWith('.svg')) askedBy('--out', () => writeWhole(out, comparisonSvg(runs, { title })));
  else if (out.endsWith('.html')) askedBy('--out', () => writeComparison(runs, out, { title, goal }));
  else throw new UsageError(`--out '${out}': wants a name that ends in .html or .svg`);
  return { out };
}
