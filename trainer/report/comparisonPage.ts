// A comparison of runs to look at: a page, or one kind of chart as SVG for a paper.
import type { Chart, Series } from './chart.js';
import { chartDocument } from './chartDocument.js';
import {
  type Comparison,
  type Group,
  medianStepsTo,
  type Scope,
  statisticsOf,
  stepsTo,
  type Task,
  valueAt,
} from './comparison.js';
import { escapeHtml, figure, page, table } from './page.js';
import { formatCount, formatNumber } from './scale.js';
import type { Estimate } from './statistics.js';

/** The kinds of chart: what each says as a heading. */
export const CHARTS = {
  returns: 'Return over environment steps',
  iqm: 'Interquartile mean over environment steps, 95 % intervals',
  profile: 'Performance profile, 95 % intervals',
} as const;
export type ChartKind = keyof typeof CHARTS;

/**
 * An HTML page that overlays runs by label: for each task the mean return over seeds, the band from the lowest to the
 * highest, one thin line a run, and the environment steps at which each run first reached the goal; then, and over all
 * tasks, interquartile means, performance profiles and probabilities of improvement with their intervals.
 */
export function comparisonPage(comparison: Comparison, title: string): string {
  const { tasks, unit, goal } = comparison;
  const several = tasks.length > 1;
  const heading = (name: string, text: string) =>
    `<h2>${several ? `${escapeHtml(name)}: ${text}` : text.replace(/^./, (c) => c.toUpperCase())}</h2>`;
  const counts = countRuns(tasks).map(
    ([label, count]) => `${escapeHtml(label)}: ${count} ${count === 1 ? 'run' : 'runs'}`,
  );
  const scopes = statisticsOf(comparison);
  const body = `<header>
<h1>${escapeHtml(title)}</h1>
<p>${counts.join(' · ')}</p>
</header>
<section class="charts ${several ? 'pair' : 'solo'}">
${tasks.map((task) => figure(returnsChart(task, several ? `Return, ${task.name}` : 'Return'), !several)).join('\n')}
</section>
<p><small>Thick: mean over runs. Band: from the lowest to the highest. Thin: single runs.${tasks.some(endedEarly) ? ' A run that ended early counts with its last return.' : ''}</small></p>
${tasks
  .map(
    (
      task,
    ) => `${heading(task.name, `environment steps to a ${unit} of ${formatNumber(goal)}${goalReturn(task, goal)}`)}
${stepsTable(task, goal)}`,
  )
  .join('\n')}
${scopes
  .map((scope, i) => {
    const at = tasks[i] ? ` after ${formatCount(tasks[i].steps)} environment steps` : '';
    return `${heading(scope.name, `interquartile mean of the ${unit}${at}`)}
${meansTable(scope)}
<section class="charts pair">
${figure(meansChart(scope, unit))}
${figure(profileChart(scope, unit))}
</section>`;
  })
  .join('\n')}
<p><small>In brackets and as bands: 95 % intervals from a stratified bootstrap over runs, as rliable has them; from few runs they come out too narrow, from one there is none.${several ? ' Over all tasks each run weighs the same.' : ''}${anchorsText(tasks)}</small></p>`;
  return page(`${title} · Farsight`, body);
}

/** One kind of chart as an SVG document that stands alone, in light or dark as its reader prefers; a panel a task. */
export function comparisonSvg(comparison: Comparison, kind: ChartKind, title: string): string {
  const { tasks, unit } = comparison;
  const charts =
    kind === 'returns'
      ? tasks.map((task) => returnsChart(task, task.name))
      : statisticsOf(comparison).map((scope) => ({
          ...(kind === 'iqm' ? meansChart : profileChart)(scope, unit),
          title: scope.name,
        }));
  return chartDocument(title, charts, countRuns(tasks));
}

/** Runs of each label over all tasks, and its colour. */
function countRuns(tasks: Task[]): [label: string, runs: number, color: number][] {
  const counts = new Map<string, [string, number, number]>();
  for (const { label, color, runs } of tasks.flatMap(({ groups }) => groups))
    counts.set(label, [label, (counts.get(label)?.[1] ?? 0) + runs.length, color]);
  return [...counts.values()];
}

function returnsChart({ groups }: Task, title: string): Chart {
  const thin = groups.flatMap(({ label, color, runs }) =>
    runs.map(
      (run): Series => ({
        name: label,
        color,
        x: run.steps,
        y: run.returns,
        style: 'faint',
        unnamed: true,
      }),
    ),
  );
  return {
    title,
    about: 'Mean return of an evaluation against environment steps, averaged over the runs of a label',
    series: [...thin, ...groups.map(average)],
    scale: 'zero',
    xMax: Math.max(...groups.flatMap(({ runs }) => runs.map(({ steps }) => steps[steps.length - 1]))),
  };
}

/** Mean and range over a group's runs at every step where any was evaluated, from where all have begun. */
function average({ label, color, runs }: Group): Series {
  const begun = Math.max(...runs.map(({ steps }) => steps[0]));
  const x = [...new Set(runs.flatMap(({ steps }) => steps))]
    .filter((step) => step >= begun)
    .sort((a, b) => a - b);
  const columns = x.map((step) => runs.map((run) => valueAt(run.steps, run.returns, step)));
  return {
    name: label,
    color,
    x,
    y: columns.map((values) => values.reduce((sum, value) => sum + value, 0) / values.length),
    band: {
      low: columns.map((values) => Math.min(...values)),
      high: columns.map((values) => Math.max(...values)),
    },
  };
}

function meansChart({ xName, lines }: Scope, unit: string): Chart {
  return {
    title: `Interquartile mean of the ${unit}`,
    about: 'Mean of the middle half of the runs, with its 95 % bootstrap interval',
    series: lines.map(({ label, color, x, interquartileMeans }) =>
      estimates(label, color, x, interquartileMeans),
    ),
    scale: 'zero',
    xMax: Math.max(...lines.map(({ x }) => x[x.length - 1])),
    xName,
  };
}

function profileChart({ lines }: Scope, unit: string): Chart {
  const { thresholds } = lines[0];
  return {
    title: `Share of runs above a ${unit}`,
    about: 'Performance profile: the higher line is better at that score',
    series: lines.map(({ label, color, profile }) => estimates(label, color, thresholds, profile)),
    scale: 'zero',
    xMin: thresholds[0],
    xMax: thresholds[thresholds.length - 1],
    xName: unit,
    quiet: true,
  };
}

function estimates(name: string, color: number, x: number[], values: Estimate[]): Series {
  const band = {
    low: values.map(({ interval }) => interval?.[0] ?? null),
    high: values.map(({ interval }) => interval?.[1] ?? null),
  };
  return { name, color, x, y: values.map(({ value }) => value), band };
}

function endedEarly({ groups }: Task): boolean {
  const ends = groups.flatMap(({ runs }) => runs.map(({ steps }) => steps[steps.length - 1]));
  return Math.min(...ends) < Math.max(...ends);
}

function stepsTable({ groups }: Task, goal: number): string {
  const seeds = [...new Set(groups.flatMap(({ runs }) => runs.map(({ seed }) => seed)))];
  const rows = groups.map(({ label, runs }) => {
    const cells = seeds.map((seed) => {
      const run = runs.find((each) => each.seed === seed);
      if (!run) return '';
      const steps = stepsTo(run, goal);
      return steps === null ? `– (best ${formatNumber(Math.max(...run.scores))})` : formatCount(steps);
    });
    const count = runs.filter((run) => stepsTo(run, goal) !== null).length;
    const median = medianStepsTo(runs, goal);
    const text = Number.isFinite(median.value)
      ? estimateText(median, (value) => (Number.isFinite(value) ? formatCount(value) : 'never'))
      : 'not reached';
    return [label, ...cells, `${count} of ${runs.length}`, text];
  });
  return table(['', ...seeds.map((seed) => `seed ${seed}`), 'reached', 'median'], rows);
}

function meansTable({ lines }: Scope): string {
  const head = ['', 'runs', 'interquartile mean', ...lines.map(({ label }) => `probability above ${label}`)];
  const rows = lines.map(({ label, runs, interquartileMeans, improvement }) => [
    label,
    String(runs),
    estimateText(interquartileMeans[interquartileMeans.length - 1], formatNumber),
    ...lines.map((other) => {
      const estimate = improvement.get(other.label);
      return estimate ? estimateText(estimate, (value) => value.toFixed(2)) : '';
    }),
  ]);
  return table(lines.length > 1 ? head : head.slice(0, 3), rows);
}

function estimateText({ value, interval }: Estimate, format: (value: number) => string): string {
  return interval ? `${format(value)} (${interval.map((each) => format(each)).join(' to ')})` : format(value);
}

function goalReturn({ anchors }: Task, goal: number): string {
  return anchors ? `, a return of ${formatNumber(anchors[0] + goal * (anchors[1] - anchors[0]))}` : '';
}

function anchorsText(tasks: Task[]): string {
  const scaled = tasks.flatMap(({ name, anchors }) =>
    anchors ? [`${escapeHtml(name)} ${anchors.map((value) => formatNumber(value)).join(' and ')}`] : [],
  );
  return scaled.length > 0 ? ` Scores 0 and 1 are returns of: ${scaled.join('; ')}.` : '';
}
