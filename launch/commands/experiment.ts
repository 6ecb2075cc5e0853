// farsight experiment: the runs of one of the paper's figures, as a sweep on this computer, and the figure from them.
import { join } from 'node:path';
import { Argument } from 'commander';
import { UsageError } from '../../contract/errors.js';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import type { Preset } from '../../trainer/mpdp/options.js';
import type { FigureName } from '../../trainer/report/paperFigures.js';
import { command, execute, parse, say } from '../command.js';
import { stoppable } from '../signals.js';
import type { SweepFlags, SweepResult } from '../sweep/conduct.js';
import { showSweep } from './sweep.js';

/** As in trainer/report/paperFigures.ts, which loads the trainer. */
const FIGURES = ['horizon', 'model-error', 'beta'] as const satisfies FigureName[];

interface Flags extends SweepFlags {
  task: string;
  preset: string;
  steps?: number;
  seeds: number;
  set: string[];
  json?: boolean;
}

interface ExperimentResult extends SweepResult {
  /** Null where every run failed. */
  page: string | null;
  /** Null there, and where there is no Chromium to draw it. */
  picture: string | null;
}

export function experimentCommand() {
  return command(
    'experiment',
    "make a figure of the paper: the horizon over training (2), the model's error (3) or the return (4) by β",
    'farsight experiment horizon --steps 30000 --seeds 4 --out runs/figure-2',
  )
    .addArgument(new Argument('<figure>', 'which').choices(FIGURES))
    .requiredOption(
      '--out <directory>',
      'where runs, page and picture are kept; what is done there stays. model-error and beta share runs',
    )
    .option('--task <name|path>', 'a task, or the path of your own', 'hopper')
    .option('--preset <name>', 'paper, fast, wide or smoke', 'fast')
    .option(
      '--steps <number>',
      "environment steps of each run (default: the preset's)",
      parse.positiveInteger,
    )
    .option('--seeds <number>', 'runs of each value', parse.positiveInteger, 4)
    .option('--set <key=value>', 'change one option of all runs (repeatable)', parse.several, [])
    .option('--jobs <number>', 'runs side by side (default: the cores)', parse.positiveInteger)
    .option('--threads <number>', 'of each run (default: the cores over the runs)', parse.positiveInteger)
    .action((name: FigureName, flags: Flags) =>
      execute(
        flags.json,
        () => stoppable('a checkpoint of every run', (stop) => experiment(name, flags, stop)),
        (result) => {
          showSweep(result);
          if (result.page) console.log(`figure ${[result.page, result.picture].filter(Boolean).join(', ')}`);
        },
        ({ failed }) => failed === 0,
      ),
    );
}

async function experiment(name: FigureName, flags: Flags, stop: AbortSignal): Promise<ExperimentResult> {
  const { PAPER_FIGURES, drawPaperFigure } = await import('../../trainer/report/paperFigures.js');
  const { resolveOptions } = await import('../../trainer/mpdp/options.js');
  const { planRuns } = await import('../sweep/plan.js');
  const { sweepContent } = await import('../sweep/sweepFile.js');
  const { conductHere } = await import('../sweep/conduct.js');
  const { out, task, preset, seeds, steps, set } = flags;
  const wanted = PAPER_FIGURES[name];
  const { option, values } = wanted.varied;
  const settings = steps === undefined ? set : [...set, `steps=${steps}`];
  const given = settings.map((setting) => setting.split('=', 1)[0]);
  if (given.includes(option))
    throw new UsageError(`--set ${option}: the figure compares ${values.join(', ')}`);
  const asked = Object.entries(resolveOptions(preset, settings)).filter(([key]) => given.includes(key));
  const runs = await planRuns(
    sweepContent({
      task,
      preset: preset as Preset,
      seeds,
      // To the end: a curve that stops is no mean any more.
      options: { stopAtReturn: null, ...wanted.options, ...Object.fromEntries(asked) },
      grid: { [option]: values },
    }),
  );
  const result = await conductHere(`experiment ${name}`, runs, flags, stop);
  if (result.failed === result.runs) return { ...result, page: null, picture: null };
  const curves = values.map((value) => ({
    value,
    runs: runs.filter(({ config }) => config.options[option] === value).map((run) => join(out, run.name)),
  }));
  const { steps: length, uncertaintyScore } = runs[0].config.options;
  const facts = [
    task,
    `preset ${preset}`,
    ...set,
    `u: ${uncertaintyScore}`,
    `${length} environment steps`,
    `${result.done} of ${result.runs} runs done`,
  ];
  const { html, svg } = drawPaperFigure(wanted, curves, facts);
  const page = join(out, `${name}.html`);
  askedBy('--out', () => writeWhole(page, html));
  return { ...result, page, picture: await draw(svg, join(out, `${name}.png`)) };
}

async function draw(svg: string, path: string): Promise<string | null> {
  const { findChromium } = await import('../play/chromium.js');
  if (!findChromium()) {
    say('no PNG: it is drawn by Chromium, which is not installed (apt install chromium)');
    return null;
  }
  const { drawPng } = await import('../play/picture.js');
  const png = await drawPng(svg);
  askedBy('--out', () => writeWhole(path, png));
  return path;
}
