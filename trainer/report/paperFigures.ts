// Figures 2, 3 and 4 of the paper: what each varies and measures, and ours as a page and a picture.
import { join } from 'node:path';
import type { Options } from '../mpdp/options.js';
import type { Series } from './chart.js';
import { chartDocument, type LegendEntry } from './chartDocument.js';
import { type MetricsLine, readMetrics } from './metrics.js';
import { escapeHtml, figure, page, table } from './page.js';
import { formatCount, formatNumber } from './scale.js';

export interface PaperFigure {
  number: number;
  title: string;
  /** What is on the vertical axis. */
  quantity: string;
  /** Of a line of metrics. */
  of: (line: MetricsLine) => number | null;
  /** The option that differs between the curves, its name on the page, and its values. */
  varied: { option: keyof Options; symbol: string; values: readonly number[] };
  /** Of all runs. */
  options: Partial<Options>;
  /** The paper's curves in words. */
  paper: string;
  /** Where ours is not the same experiment. */
  differs: string;
}

const REGULARIZATION = { option: 'regularization', symbol: 'β', values: [0.2, 0.5, 0.7] } as const;

export const PAPER_FIGURES = {
  horizon: {
    number: 2,
    title: 'Mean planning horizon over training',
    quantity: 'Mean horizon of the training batches',
    of: ({ horizon }) => horizon,
    varied: { option: 'thresholdMargin', symbol: 'u_T margin', values: [0, 0.5, 1] },
    // A threshold that is held, on a score that falls as the model gets better; and Hmax as in Table 2.
    options: {
      horizonMax: 25,
      uncertaintyScore: 'log-variance',
      uncertaintyThreshold: 'calibrated',
      thresholdFrom: 'first',
    },
    paper:
      'In the paper, with several thresholds u_T, the average horizon grows from 2 to 12 as training proceeds and the model becomes more accurate.',
    differs:
      'The paper does not say its thresholds in a scale that can be used (docs/mpdp.md). Here u_T is set by the first model on first steps of plans, the margin above is added, and it is held from then on.',
  },
  'model-error': {
    number: 3,
    title: 'Model error over training',
    quantity: 'Mean L2 distance of predicted and real next state, newest 250 interactions',
    of: ({ modelError }) => modelError,
    varied: REGULARIZATION,
    options: {},
    paper:
      'In the paper the model error, the average L2 norm over every 250 interactions, decreases with β: the curve of β = 0.2 lies highest, that of 0.7 lowest.',
    differs: 'The distance is of the transitions before the model has learned from them.',
  },
  beta: {
    number: 4,
    title: 'Return over training',
    quantity: 'Mean return of an evaluation',
    of: ({ evaluation }) => evaluation?.mean ?? null,
    varied: REGULARIZATION,
    options: {},
    paper:
      'In the paper the performance at the end first increases with β, then decreases, as too much of it keeps the policy from exploring; a larger β gives more stable results. Four trials each.',
    differs: "The paper's curve of MBPO beside them is not made here.",
  },
} satisfies Record<string, PaperFigure>;
export type FigureName = keyof typeof PAPER_FIGURES;

/** One value's runs: their directories. */
export interface Curve {
  value: number;
  runs: readonly string[];
}

interface ReadCurve {
  label: string;
  color: number;
  runs: number;
  /** Environment steps at which every run was measured. */
  x: number[];
  mean: number[];
  /** Sample standard deviation over the runs; 0 of one run. */
  sd: number[];
  /** Of each run's mean over the first and the last tenth of these. */
  first: Spread;
  last: Spread;
  seconds: number;
}
interface Spread {
  mean: number;
  sd: number;
}

/** The figure as an HTML page and an SVG document; `facts` are said above. Runs without a measurement are left out. */
export function drawPaperFigure(
  wanted: PaperFigure,
  curves: readonly Curve[],
  facts: readonly string[],
): { html: string; svg: string } {
  const { number, title, quantity, paper, differs, varied } = wanted;
  const read = curves.map((curve, i) => readCurve(wanted, curve, i + 1)).filter(({ runs }) => runs > 0);
  const heading = `Figure ${number}: ${title.toLowerCase()}`;
  const chart = {
    title,
    about: `${quantity}: mean and standard deviation over the seeds`,
    series: read.map(
      ({ label, color, x, mean, sd }): Series => ({
        name: label,
        color,
        x,
        y: mean,
        spread: sd,
        band: { low: mean.map((m, i) => m - sd[i]), high: mean.map((m, i) => m + sd[i]) },
      }),
    ),
    scale: 'zero' as const,
    xMax: Math.max(1, ...read.flatMap(({ x }) => x)),
  };
  const hours = read.reduce((sum, { seconds }) => sum + seconds, 0) / 3600;
  const html = `<header>
<h1>${escapeHtml(heading)}</h1>
<p>${escapeHtml([...facts, `${formatNumber(hours, 3)} hours of training`].join(' · '))}</p>
</header>
<section class="charts solo">
${figure(chart, true)}
</section>
<p>${escapeHtml(paper)} ${escapeHtml(differs)}</p>
<h2>${escapeHtml(quantity)}</h2>
${table(
  [varied.symbol, 'seeds', 'environment steps', 'first tenth', 'last tenth'],
  read.map(({ label, runs, x, first, last }) => [
    label,
    `${runs}`,
    x.length === 0 ? '–' : `${formatCount(x[0])} to ${formatCount(x[x.length - 1])}`,
    valueAndSd(first),
    valueAndSd(last),
  ]),
)}
<p><small>Line and band: mean and standard deviation over the seeds. First and last tenth: of what was measured, each run's mean over it, then mean ± standard deviation over the seeds.</small></p>`;
  const legend = read.map(({ label, runs, color }): LegendEntry => [label, runs, color]);
  return { html: page(`${heading} · Farsight`, html), svg: chartDocument(heading, [chart], legend) };
}

function readCurve({ of, varied }: PaperFigure, { value, runs }: Curve, color: number): ReadCurve {
  const read = runs
    .map((directory) => readMetrics(join(directory, 'metrics.jsonl')))
    .map((lines) => ({
      seconds: lines.at(-1)?.seconds ?? 0,
      values: new Map(
        lines.flatMap((line) => {
          const value = of(line);
          return value === null ? [] : [[line.environmentSteps, value]];
        }),
      ),
    }))
    .filter(({ values }) => values.size > 0);
  const [first] = read;
  const x = [...(first?.values.keys() ?? [])].filter((step) => read.every(({ values }) => values.has(step)));
  const tenth = Math.ceil(x.length / 10);
  const over = (steps: number[]) =>
    meanAndSd(read.map(({ values }) => meanAndSd(steps.map((step) => values.get(step)!)).mean));
  const at = x.map((step) => meanAndSd(read.map(({ values }) => values.get(step)!)));
  return {
    label: `${varied.symbol} = ${value}`,
    color,
    runs: read.length,
    x,
    mean: at.map(({ mean }) => mean),
    sd: at.map(({ sd }) => sd),
    first: over(x.slice(0, tenth)),
    last: over(x.slice(-tenth)),
    seconds: read.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}

const valueAndSd = ({ mean, sd }: Spread) => `${formatNumber(mean)} ± ${formatNumber(sd, 3)}`;

function meanAndSd(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}
