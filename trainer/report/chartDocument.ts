// Charts as one SVG document that stands alone, for a paper or a README: a heading, a common legend, a panel a chart.
import { type Chart, drawChart } from './chart.js';
import { escapeHtml } from './page.js';
import { CHART_STYLE } from './style.js';

/** What the legend says of a group: its label, its number of runs, its colour. */
export type LegendEntry = [label: string, runs: number, color: number];

/** In light or dark as its reader prefers. */
export function chartDocument(
  title: string,
  charts: readonly Chart[],
  legend: readonly LegendEntry[],
): string {
  const single = charts.length === 1;
  const frame = single ? { width: 720, height: 330 } : { width: 440, height: 250 };
  const width = single ? frame.width : 2 * frame.width;
  const panelHead = single ? 0 : 26;
  const keys: string[] = [];
  let [left, top] = [48, 44];
  for (const [label, count, color] of legend) {
    const text = `${label} (${count} ${count === 1 ? 'seed' : 'seeds'})`;
    const long = 50 + text.length * 7.5;
    if (left > 48 && left + long > width) [left, top] = [48, top + 20];
    keys.push(
      `<path class="line c${color}" d="M${left} ${top}h18"/><text class="label" x="${left + 25}" y="${top + 4}">${escapeHtml(text)}</text>`,
    );
    left += long;
  }
  const head = top + 14;
  const rowHeight = panelHead + frame.height + 18;
  const height = head + Math.ceil(charts.length / 2) * rowHeight;
  const panels = charts.map((chart, i) => {
    const place = `translate(${(i % 2) * frame.width} ${head + panelHead + Math.floor(i / 2) * rowHeight})`;
    const name = single
      ? ''
      : `<text class="label" x="48" y="-4" style="font-weight:600">${escapeHtml(chart.title)}</text>\n`;
    return `<g transform="${place}">
${name}${drawChart(chart, frame)}
<text class="tick" x="${frame.width / 2 + 17}" y="${frame.height + 8}" text-anchor="middle">${axisName(chart)}</text>
</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}">
<style>${CHART_STYLE}</style>
<rect class="paper" width="100%" height="100%" rx="8"/>
<text class="heading" x="48" y="26">${escapeHtml(title)}</text>
${keys.join('\n')}
${panels.join('\n')}
</svg>
`;
}

function axisName({ xName = 'step' }: Chart): string {
  if (xName === 'step') return 'environment steps';
  return xName === '% of the steps' ? "per cent of each task's environment steps" : xName;
}
