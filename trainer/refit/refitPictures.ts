// The pictures of a refit that charts of lines cannot be: bars of errors, and maps of where the robot surprises the model.
import { escapeHtml } from '../report/page.js';
import { formatNumber, type Scale } from '../report/scale.js';

const WIDTH = 384;
const LEFT = 48;
const RIGHT = 14;
const BAR = 11;

/** Two bars for each name, before and after: as shares of the larger of the two, or of the largest of all if `together`. */
export function pairedBars(
  title: string,
  about: string,
  errors: readonly { name: string; before: number; after: number }[],
  together = false,
): string {
  const largest = Math.max(...errors.flatMap(({ before, after }) => [Math.abs(before), Math.abs(after)]));
  const rowHeight = 46;
  const height = errors.length * rowHeight + 6;
  const room = WIDTH - 2 * RIGHT - 64;
  const bars = errors.map(({ name, before, after }, i) => {
    const top = i * rowHeight;
    const most = (together ? largest : Math.max(before, after)) || 1;
    const bar = (value: number, y: number, color: number) => {
      const width = Math.max(1, (room * Math.abs(value)) / most);
      return `<path class="layer c${color}" d="M${RIGHT} ${y}h${width.toFixed(1)}v${BAR}h-${width.toFixed(1)}Z"/><text class="tick" x="${(RIGHT + width + 6).toFixed(1)}" y="${y + 9}">${formatNumber(value, 3)}</text>`;
    };
    return `<text class="tick" x="${RIGHT}" y="${top + 13}">${escapeHtml(name)}</text>${bar(before, top + 18, 6)}${bar(after, top + 30, 1)}`;
  });
  return `<figure>
<figcaption title="${escapeHtml(about)}"><span>${escapeHtml(title)}</span></figcaption>
<ul class="key"><li><i class="c6"></i>before</li><li><i class="c1"></i>after</li></ul>
<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(about)}">${bars.join('')}</svg>
</figure>`;
}

/** A transition on the map: where it began, and how far off the prediction was. */
export interface Surprise {
  x: number;
  y: number;
  size: number;
}

export interface Axis {
  name: string;
  scale: Scale;
}

/** Dots at two numbers of a transition, as large and dark as the surprise; `largest` is the darkest. */
export function surpriseMap(
  title: string,
  across: Axis,
  up: Axis,
  dots: readonly Surprise[],
  largest: number,
): string {
  const [height, top, bottom] = [244, 10, 44];
  const [w, h] = [WIDTH - LEFT - RIGHT, height - top - bottom];
  const px = (value: number) => (LEFT + w * across.scale.at(value)).toFixed(1);
  const py = (value: number) => (top + h * (1 - up.scale.at(value))).toFixed(1);
  const grid = [
    ...up.scale.ticks.map(
      ({ value, label }) =>
        `<path class="grid" d="M${LEFT} ${py(value)}h${w}"/><text class="tick" x="${LEFT - 6}" y="${Number(py(value)) + 4}" text-anchor="end">${label}</text>`,
    ),
    ...across.scale.ticks.map(
      ({ value, label }) =>
        `<text class="tick" x="${px(value)}" y="${top + h + 16}" text-anchor="middle">${label}</text>`,
    ),
  ];
  // The large ones last: they lie on top.
  const drawn = dots
    .toSorted((a, b) => a.size - b.size)
    .map(({ x, y, size }) => {
      const share = Math.sqrt(size / (largest || 1));
      return `<circle class="layer c5" cx="${px(x)}" cy="${py(y)}" r="${(1 + 6 * share).toFixed(1)}" fill-opacity="${(0.12 + 0.6 * share).toFixed(2)}"/>`;
    });
  return `<figure>
<figcaption><span>${escapeHtml(title)}</span></figcaption>
<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(title)}">
${grid.join('')}<path class="axis" d="M${LEFT} ${top + h}h${w}"/>
${drawn.join('\n')}
<text class="tick" x="${LEFT + w / 2}" y="${height - 8}" text-anchor="middle">${escapeHtml(across.name)}</text>
<text class="tick" transform="translate(11 ${top + h / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(up.name)}</text>
</svg>
</figure>`;
}

/** Quarters of each axis: a pair of them is a cell. */
const CELLS = 4;

/**
 * The two columns of `rows` that tell most about `surprise`: the means of their cells, a quarter of the rows along each
 * axis, explain the largest share of its variance, each cell counted as one number that was fitted.
 */
export function tellingPair(rows: readonly ArrayLike<number>[], surprise: Float64Array): [number, number] {
  const columns = rows[0].length;
  const cellOf = Array.from({ length: columns }, (_, d) => {
    const order = Array.from(rows.keys()).sort((a, b) => rows[a][d] - rows[b][d]);
    const cell = new Int32Array(rows.length);
    for (const [place, i] of order.entries()) cell[i] = Math.floor((CELLS * place) / rows.length);
    return cell;
  });
  let best: [number, number] = [0, Math.min(1, columns - 1)];
  let least = Number.POSITIVE_INFINITY;
  for (let a = 0; a < columns; a++) {
    for (let b = a + 1; b < columns; b++) {
      const sums = new Float64Array(CELLS * CELLS);
      const counts = new Float64Array(CELLS * CELLS);
      const cell = (i: number) => cellOf[a][i] * CELLS + cellOf[b][i];
      for (let i = 0; i < surprise.length; i++) {
        sums[cell(i)] += surprise[i];
        counts[cell(i)]++;
      }
      let left = 0;
      for (let i = 0; i < surprise.length; i++) left += (surprise[i] - sums[cell(i)] / counts[cell(i)]) ** 2;
      const used = counts.filter((count) => count > 0).length;
      left /= Math.max(1, surprise.length - used);
      if (left < least) [least, best] = [left, [a, b]];
    }
  }
  return best;
}
