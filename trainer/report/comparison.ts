// Several runs on one page: return against environment steps by label over seeds, and the steps each run needed.
import { basename, join, resolve } from 'node:path';
import { FarsightError } from '../../contract/errors.js';
import { writeWhole } from '../../contract/wholeFile.js';
import { type Chart, drawChart, type Series } from './chart.js';
import { readMetrics } from './metrics.js';
import { escapeHtml, figure, page } from './page.js';
import { readConfig } from './report.js';
import { formatCount, formatNumber } from './scale.js';
import { CHART_STYLE, COLORS } from './style.js';

/** A run directory and the group that it belongs to: runs that differ only by their seed share a label. */
export interface ComparedRun {
  label: string;
  directory: string;
}

export interface ComparisonOptions {
  title: string;
  /** The mean return of an evaluation that counts as reached. */
  goal: number;
}

interface Curve {
  seed: string;
  steps: number[];
  returns: number[];
}

interface Group {
  label: string;
  color: number;
  curves: Curve[];
}

/**
 * Writes an HTML page that overlays runs by label: mean over seeds, band from the lowest to the highest seed, one thin
 * line a run, and a table of the environment steps at which each run's evaluation first reached `goal`. Throws a
 * `FarsightError` naming a run without evaluations.
 */
export function writeComparison(runs: ComparedRun[], out: string, options: ComparisonOptions): void {
  const groups = readGroups(runs);
  const ended = endedEarly(groups);
  const body = `<header>
<h1>${escapeHtml(options.title)}</h1>
<p>${groups.map(({ label, curves }) => `${escapeHtml(label)}: ${curves.length} ${curves.length === 1 ? 'run' : 'runs'}`).join(' · ')}</p>
</header>
<section class="charts solo">
${figure(comparisonChart(groups), true)}
</section>
<p><small>Thick: mean over runs. Band: from the lowest to the highest. Thin: single runs.${ended ? ' A run that ended early counts with its last return.' : ''}</small></p>
<h2>Environment steps to a return of ${formatNumber(options.goal)}</h2>
${table(groups, options.goal)}`;
  writeWhole(out, page(`${options.title} · Farsight`, body));
}

/** The same chart as one SVG document that stands alone, in light or dark as its reader prefers. */
export function comparisonSvg(runs: ComparedRun[], options: Pick<ComparisonOptions, 'title'>): string {
  const groups = readGroups(runs);
  const frame = { width: 720, height: 330 };
  const head = 58;
  const height = frame.height + head + 18;
  let at = 48;
  const keys = groups.map(({ label, color, curves }) => {
    const text = `${label} (${curves.length} ${curves.length === 1 ? 'seed' : 'seeds'})`;
    const key = `<path class="line c${color}" d="M${at} 44h18"/><text class="label" x="${at + 25}" y="48">${escapeHtml(text)}</text>`;
    at += 50 + text.length * 7.5;
    return key;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${frame.width}" height="${height}" viewBox="0 0 ${frame.width} ${height}" role="img" aria-label="${escapeHtml(options.title)}">
<style>${CHART_STYLE}</style>
<rect class="paper" width="100%" height="100%" rx="8"/>
<text class="heading" x="48" y="26">${escapeHtml(options.title)}</text>
${keys.join('\n')}
<g transform="translate(0 ${head})">
${drawChart(comparisonChart(groups), frame)}
<text class="tick" x="${frame.width / 2 + 17}" y="${frame.height + 8}" text-anchor="middle">environment steps</text>
</g>
</svg>
`;
}

/** The environment steps of the first evaluation whose mean return is at least `goal`; null when there is none. */
export function stepsTo(curve: { steps: number[]; returns: number[] }, goal: number): number | null {
  const index = curve.returns.findIndex((value) => value >= goal);
  return index < 0 ? null : curve.steps[index];
}

function readGroups(runs: ComparedRun[]): Group[] {
  const groups = new Map<string, Group>();
  for (const { label, directory } of runs) {
    const evaluated = readMetrics(join(directory, 'metrics.jsonl')).filter(
      (line) => line.evaluation !== null,
    );
    if (evaluated.length === 0)
      throw new FarsightError(`run '${directory}': has no evaluation in metrics.jsonl; train it further`);
    const group = groups.get(label) ?? { label, color: (groups.size % COLORS) + 1, curves: [] };
    groups.set(label, group);
    group.curves.push({
      seed: String(readConfig(directory).seed ?? basename(resolve(directory))),
      steps: evaluated.map((line) => line.environmentSteps),
      returns: evaluated.map((line) => line.evaluation!.mean),
    });
  }
  return [...groups.values()];
}

function comparisonChart(groups: Group[]): Chart {
  const thin = groups.flatMap(({ label, color, curves }) =>
    curves.map(
      (curve): Series => ({
        name: label,
        color,
        x: curve.steps,
        y: curve.returns,
        style: 'faint',
        unnamed: true,
      }),
    ),
  );
  return {
    title: 'Return',
    about: 'Mean return of an evaluation against environment steps, averaged over the runs of a label',
    series: [...thin, ...groups.map(average)],
    scale: 'zero',
    xMax: Math.max(...groups.flatMap(({ curves }) => curves.map(({ steps }) => steps[steps.length - 1]))),
  };
}

/** Mean and range over a group's runs at every step where any was evaluated, from where all have begun. */
function average({ label, color, curves }: Group): Series {
  const begun = Math.max(...curves.map(({ steps }) => steps[0]));
  const x = [...new Set(curves.flatMap(({ steps }) => steps))]
    .filter((step) => step >= begun)
    .sort((a, b) => a - b);
  const columns = x.map((step) => curves.map((curve) => returnAt(curve, step)));
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

/** Linear between evaluations; the last return after the run's end. */
function returnAt({ steps, returns }: Curve, step: number): number {
  const next = steps.findIndex((at) => at >= step);
  if (next < 0) return returns[returns.length - 1];
  if (steps[next] === step || next === 0) return returns[next];
  const share = (step - steps[next - 1]) / (steps[next] - steps[next - 1]);
  return returns[next - 1] + share * (returns[next] - returns[next - 1]);
}

function endedEarly(groups: Group[]): boolean {
  const ends = groups.flatMap(({ curves }) => curves.map(({ steps }) => steps[steps.length - 1]));
  return Math.min(...ends) < Math.max(...ends);
}

function table(groups: Group[], goal: number): string {
  const seeds = [...new Set(groups.flatMap(({ curves }) => curves.map(({ seed }) => seed)))];
  const head = ['', ...seeds.map((seed) => `seed ${seed}`), 'reached', 'median'];
  const rows = groups.map(({ label, curves }) => {
    const reached = curves.map((curve) => stepsTo(curve, goal));
    const cells = seeds.map((seed) => {
      const index = curves.findIndex((curve) => curve.seed === seed);
      if (index < 0) return '';
      const steps = reached[index];
      return steps === null
        ? `– (best ${formatNumber(Math.max(...curves[index].returns))})`
        : formatCount(steps);
    });
    const median = medianOf(reached);
    const count = reached.filter((steps) => steps !== null).length;
    return [
      escapeHtml(label),
      ...cells,
      `${count} of ${curves.length}`,
      median === null ? 'not reached' : formatCount(median),
    ];
  });
  const row = (cells: string[], tag: string) =>
    `<tr>${cells.map((cell, i) => (i === 0 ? `<th>${cell}</th>` : `<${tag}>${cell}</${tag}>`)).join('')}</tr>`;
  return `<div class="scroll"><table>${row(head.map(escapeHtml), 'th')}${rows.map((cells) => row(cells, 'td')).join('')}</table></div>`;
}

/** A run that never reached the goal counts as slower than all others; null when the median falls among those. */
function medianOf(values: (number | null)[]): number | null {
  const sorted = values.map((value) => value ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  return Number.isFinite(median) ? median : null;
}
