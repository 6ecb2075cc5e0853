// farsight compare: training runs beside each other, grouped by label, as a page, a chart or a table.
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../contract/errors.js';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import { command, execute, parse } from '../command.js';

type Kind = 'returns' | 'iqm' | 'profile';

interface Flags {
  out: string;
  title?: string;
  goal?: number;
  steps?: number;
  scale: Record<string, [zero: number, one: number]>;
  chart: Kind;
  json?: boolean;
}

export function compareCommand() {
  return command(
    'compare',
    'compare the returns of several runs, grouped by label, per task and over tasks',
    'farsight compare planning=runs/h5-1 planning=runs/h5-2 myopic=runs/h1-1 --out comparison.html',
  )
    .argument(
      '<label=run...>',
      'directories of runs, or of several; runs of the same label and task are seeds of one group',
    )
    .requiredOption('--out <file>', 'the page (.html), a chart (.svg, .png) or every number (.csv)')
    .option('--title <text>', 'heading')
    .addOption(
      new Option('--chart <kind>', 'what .svg and .png show: single returns, interquartile means, profiles')
        .choices(['returns', 'iqm', 'profile'] satisfies Kind[])
        .default('returns'),
    )
    .option('--goal <return>', 'that counts as reached (default: 950, as a score 0.5)', parse.number)
    .option(
      '--steps <number>',
      'environment steps to compare at (default: the most that every run of a task has made)',
      parse.positiveInteger,
    )
    .option(
      '--scale <task=zero:one>',
      'returns that are the scores 0 and 1, for several tasks (repeatable; default: random actions and SAC)',
      parseScale,
      {},
    )
    .action((given: string[], flags: Flags) =>
      execute(
        flags.json,
        () => compare(given, flags),
        ({ out }) => console.log(`wrote ${out}`),
      ),
    );
}

async function compare(given: string[], { out, title, chart, ...options }: Flags): Promise<{ out: string }> {
  const extension = extname(out);
  if (!['.html', '.svg', '.png', '.csv'].includes(extension))
    throw new UsageError(`--out '${out}': wants a name that ends in .html, .svg, .png or .csv`);
  const runs = given.flatMap((text) => {
    const [, label, directory] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (directory === undefined) throw new UsageError(`'${text}': wants label=directory`);
    return runsIn(directory).map((run) => ({ label, directory: run }));
  });
  refuseRepeated(runs.map(({ directory }) => directory));
  const { readComparison, comparisonCsv } = await import('../../trainer/report/comparison.js');
  const { CHARTS, comparisonPage, comparisonSvg } = await import('../../trainer/report/comparisonPage.js');
  const comparison = readComparison(runs, { ...options, anchors: options.scale });
  const draw = () => comparisonSvg(comparison, chart, title ?? CHARTS[chart]);
  const content =
    extension === '.csv'
      ? comparisonCsv(comparison)
      : extension === '.html'
        ? comparisonPage(comparison, title ?? CHARTS.returns)
        : extension === '.svg'
          ? draw()
          : await (await import('../play/picture.js')).drawPng(draw());
  askedBy('--out', () => writeWhole(out, content));
  return { out };
}

const isRun = (path: string) => ['metrics.jsonl', 'config.json'].some((name) => existsSync(join(path, name)));

/** The run that a directory is, or those that have begun in it, in the order of their names. */
function runsIn(directory: string): string[] {
  if (isRun(directory)) return [directory];
  if (!existsSync(directory)) throw new UsageError(`'${directory}': no such directory`);
  if (!statSync(directory).isDirectory())
    throw new UsageError(`'${directory}' is a file: give the directory of a run`);
  const inside = readdirSync(directory)
    .sort()
    .map((name) => join(directory, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory());
  const runs = inside.filter((path) => existsSync(join(path, 'metrics.jsonl')));
  if (runs.length > 0) return runs;
  const settings = inside.filter((path) => readdirSync(path).some((name) => isRun(join(path, name))));
  throw new UsageError(
    settings.length > 0
      ? `'${directory}' holds no run, its folders do: ${settings.map((path) => `'${basename(path).replaceAll('=', ' ')}=${path}'`).join(' ')}`
      : `'${directory}' holds no run: give the directory that farsight train wrote with --out, or one of several`,
  );
}

/** Under another label too: what is compared are independent samples, and a run is none of itself. */
function refuseRepeated(directories: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const directory of directories) {
    const place = realpathSync(directory);
    const first = seen.get(place);
    if (first !== undefined)
      throw new UsageError(
        `run '${directory}' is '${first}', given already: a run counts once, leave one of the two out`,
      );
    seen.set(place, directory);
  }
}

function parseScale(text: string, scale: Flags['scale']): Flags['scale'] {
  const [, task, zero, one] = /^(.+)=([^:]+):([^:]+)$/.exec(text) ?? [];
  const anchors: [number, number] = [Number(zero), Number(one)];
  if (task === undefined || !anchors.every(Number.isFinite) || anchors[0] >= anchors[1])
    throw new InvalidArgumentError('wants task=return:return, the lower first: hopper=20:3500.');
  return { ...scale, [task]: anchors };
}
