// A chart drawn as SVG text: axes, cells, areas, bands, dots and lines. Colours come from the page's classes c1 to c6.
import { formatNumber, linearScale, logScale, type Scale } from './scale.js';

export type Values = (number | null)[];

export interface Series {
  name: string;
  /** Class c1 to c6. */
  color: number;
  /** Ascending. */
  x: number[];
  /** Height of the line; a null breaks it. */
  y: Values;
  /** What the legend says at each x where that is not `y`. */
  shown?: Values;
  /** The legend's "± spread". */
  spread?: Values;
  /** A shaded range around the line. */
  band?: { low: Values; high: Values };
  /** The area from here up to `y` is filled: layers of a stack. */
  base?: Values;
  style?: 'solid' | 'dashed' | 'faint';
  /** Not in the legend: it belongs to the series before it. */
  unnamed?: boolean;
}

export interface Chart {
  title: string;
  /** Unit after each number of the legend, with its space. */
  unit?: string;
  /** One sentence under the title's tooltip for whoever does not know the quantity. */
  about: string;
  series: Series[];
  /** Single observations behind the lines. */
  dots?: { color: number; x: number[]; y: number[] };
  /** Shares of each whole number 1, 2, … within columns of x, drawn as shaded cells. */
  cells?: { from: number; to: number; shares: number[] }[];
  /** `auto` is logarithmic when all values are positive and span more than a factor of 30. */
  scale: 'linear' | 'auto' | 'zero';
  /** 0 unless it is given. */
  xMin?: number;
  xMax: number;
  /** What x counts, for the pointer; environment steps unless it is given. Charts of the same x follow it together. */
  xName?: string;
  /** The legend has values only while the pointer is on the chart: the last ones say nothing. */
  quiet?: boolean;
}

export interface Frame {
  width: number;
  height: number;
}

const MARGIN = { left: 48, right: 14, top: 10, bottom: 24 };
const SHADES = 8;

/** The axes that fit the chart's numbers in a frame. */
export function scalesOf(chart: Chart, frame: Frame): { x: Scale; y: Scale } {
  const values: number[] = [...(chart.dots?.y ?? [])];
  for (const { y, band, base } of chart.series)
    for (const list of [y, band?.low, band?.high, base])
      for (const value of list ?? []) if (value !== null && Number.isFinite(value)) values.push(value);
  let low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  let high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (values.length === 0) [low, high] = [0, 1];
  const { xMin = 0, xMax } = chart;
  const x = linearScale(xMin, xMax > xMin ? xMax : xMin + 1, Math.max(3, Math.round(frame.width / 80)));
  if (chart.cells && chart.cells.length > 0) {
    const longest = Math.max(
      ...chart.cells.map((cell) => cell.shares.findLastIndex((share) => share > 0) + 1),
    );
    return { x, y: linearScale(0.5, Math.max(longest, 1) + 0.5, 5, 1) };
  }
  if (chart.scale === 'auto' && low > 0 && high / low > 30)
    return { x, y: logScale(low / 1.15, high * 1.15) };
  if (chart.scale === 'zero') low = Math.min(0, low);
  const room = (high - low) * 0.05;
  return { x, y: linearScale(low === 0 ? 0 : low - room, high + room, 5) };
}

/** Where the plot lies within the frame: `[left, top, width, height]`. */
export function plotArea({ width, height }: Frame): [number, number, number, number] {
  return [MARGIN.left, MARGIN.top, width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
}

/** Everything inside the `<svg>` element of a chart. */
export function drawChart(chart: Chart, frame: Frame): string {
  const { x, y } = scalesOf(chart, frame);
  const [left, top, width, height] = plotArea(frame);
  const px = (value: number) => round(left + width * x.at(value));
  const py = (value: number) => round(top + height * (1 - y.at(value)));
  const parts: string[] = [];
  if (chart.series.every(({ y: values }) => values.every((value) => value === null))) {
    const middle = `x="${left + width / 2}" y="${top + height / 2}" text-anchor="middle"`;
    return `<path class="axis" d="M${left} ${top + height}h${width}"/><text class="none" ${middle}>no data yet</text>`;
  }
  for (const cell of shades(chart.cells ?? [], px, py)) parts.push(cell);
  for (const { value, label } of y.ticks) {
    parts.push(`<path class="grid" d="M${left} ${py(value)}h${width}"/>`);
    parts.push(`<text class="tick" x="${left - 6}" y="${py(value) + 4}" text-anchor="end">${label}</text>`);
  }
  parts.push(`<path class="axis" d="M${left} ${top + height}h${width}"/>`);
  for (const [i, { value, label }] of x.ticks.entries()) {
    const last = i === x.ticks.length - 1 && x.at(value) > 0.96;
    parts.push(
      `<text class="tick" x="${px(value)}" y="${top + height + 16}" text-anchor="${last ? 'end' : 'middle'}">${label}</text>`,
    );
  }
  if (chart.dots && chart.dots.x.length > 0) {
    const { color, x: xs, y: ys } = chart.dots;
    parts.push(
      `<path class="dots c${color}" d="${xs.map((at, i) => `M${px(at)} ${py(ys[i])}h0`).join('')}"/>`,
    );
  }
  for (const { color, x: xs, y: ys, base, band } of chart.series) {
    if (base) parts.push(`<path class="layer c${color}" d="${area(xs, base, ys, px, py)}"/>`);
    if (band) parts.push(`<path class="band c${color}" d="${area(xs, band.low, band.high, px, py)}"/>`);
  }
  for (const { color, x: xs, y: ys, style } of chart.series) {
    parts.push(`<path class="line ${style ?? 'solid'} c${color}" d="${line(xs, ys, px, py)}"/>`);
    const alone = singles(xs, ys, px, py);
    if (alone !== '') parts.push(`<path class="single c${color}" d="${alone}"/>`);
  }
  return parts.join('\n');
}

/** The legend's text for point `index` of a series. */
export function valueText(series: Series, index: number, unit = ''): string {
  const value = (series.shown ?? series.y)[index];
  if (value === null || value === undefined) return '–';
  const spread = series.spread?.[index];
  return `${formatNumber(value)}${spread === null || spread === undefined ? '' : ` ± ${formatNumber(spread, 3)}`}${unit}`;
}

type Place = (value: number) => number;

/** A path through the points that have a neighbour. */
function line(x: number[], y: Values, px: Place, py: Place): string {
  return runs(x, y)
    .filter((run) => run.length > 1)
    .map((run) => `M${run.map(([at, value]) => `${px(at)} ${py(value)}`).join('L')}`)
    .join('');
}

/** A dot at each point without a neighbour. */
function singles(x: number[], y: Values, px: Place, py: Place): string {
  return runs(x, y)
    .filter((run) => run.length === 1)
    .map(([[at, value]]) => `M${px(at)} ${py(value)}h0`)
    .join('');
}

function area(x: number[], low: Values, high: Values, px: Place, py: Place): string {
  const points = (values: Values) =>
    runs(x, values)
      .flat()
      .map(([at, value]) => `${px(at)} ${py(value)}`);
  const lower = points(low);
  if (lower.length === 0) return '';
  return `M${[...points(high), ...lower.reverse()].join('L')}Z`;
}

/** Stretches of neighbouring points that have a value. */
function runs(x: number[], y: Values): [number, number][][] {
  const found: [number, number][][] = [];
  let open: [number, number][] | undefined;
  for (let i = 0; i < x.length; i++) {
    const value = y[i];
    if (value === null || !Number.isFinite(value)) open = undefined;
    else if (open) open.push([x[i], value]);
    else {
      open = [[x[i], value]];
      found.push(open);
    }
  }
  return found;
}

/** Cells of like shade merged into one path each. */
function shades(cells: NonNullable<Chart['cells']>, px: Place, py: Place): string[] {
  const paths = Array.from({ length: SHADES + 1 }, () => '');
  for (const { from, to, shares } of cells) {
    for (const [i, share] of shares.entries()) {
      const shade = share > 0 ? Math.max(1, Math.round(Math.sqrt(share) * SHADES)) : 0;
      const bottom = py(i + 0.5);
      const top = py(i + 1.5);
      if (shade > 0) paths[shade] += `M${px(from)} ${bottom}H${px(to)}V${round(top + 0.6)}H${px(from)}Z`;
    }
  }
  return paths.flatMap((path, shade) =>
    path === '' ? [] : [`<path class="cell c1" fill-opacity="${(0.65 * shade) / SHADES}" d="${path}"/>`],
  );
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
