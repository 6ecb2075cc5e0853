// A page of charts that stands alone: no network, values under the pointer, all drawn before any script runs.
import { type Chart, drawChart, type Frame, plotArea, scalesOf, valueText } from './chart.js';
import { CHART_STYLE, PAGE_STYLE } from './style.js';

const NARROW: Frame = { width: 384, height: 224 };
const ROOMY: Frame = { width: 810, height: 224 };

/** Runs in the browser: moves a marker along the charts and shows the values there; charts of the same x move together. */
const HOVER_SCRIPT = `
const charts = [...document.querySelectorAll('figure:has(script)')].map((figure) => {
  const spec = JSON.parse(figure.querySelector('script').textContent);
  const plots = [...figure.querySelectorAll('svg')].map((svg) => {
    const make = (name, className) => {
      const element = document.createElementNS('http://www.w3.org/2000/svg', name);
      element.setAttribute('class', className);
      element.style.display = 'none';
      svg.append(element);
      return element;
    };
    const box = svg.dataset.plot.split(' ').map(Number);
    return { svg, box, rule: make('path', 'at'), marks: spec.series.map((s) => make('circle', 'mark c' + s.color)) };
  });
  const values = [...figure.querySelectorAll('.key b')];
  return { figure, spec, plots, output: figure.querySelector('output'), values, last: values.map((b) => b.textContent) };
});
function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle; else high = middle;
  }
  return high > low && xs[high] - x < x - xs[low] ? high : low;
}
function place(scale, value) {
  return scale.log ? Math.log(value / scale.from) / Math.log(scale.to / scale.from) : (value - scale.from) / (scale.to - scale.from);
}
function show(x, xName) {
  for (const { spec, plots, output, values, last } of charts.filter(({ spec }) => spec.xName === xName)) {
    const indices = spec.series.map((s) => (x === null || s.x.length === 0 ? -1 : nearest(s.x, x)));
    const main = spec.series.findIndex((s, i) => indices[i] >= 0);
    const step = main < 0 ? null : spec.series[main].x[indices[main]];
    output.textContent = step === null ? '' : spec.xName + ' ' + step.toLocaleString('en-US');
    values.forEach((b, i) => { b.textContent = indices[i] < 0 ? last[i] : spec.series[i].text[indices[i]]; });
    for (const { box: [left, top, width, height], rule, marks } of plots) {
      rule.style.display = step === null ? 'none' : '';
      if (step !== null) rule.setAttribute('d', 'M' + (left + width * place(spec.x, step)) + ' ' + top + 'v' + height);
      marks.forEach((mark, i) => {
        const y = indices[i] < 0 ? null : spec.series[i].y[indices[i]];
        mark.style.display = y === null ? 'none' : '';
        if (y === null) return;
        mark.setAttribute('cx', left + width * place(spec.x, spec.series[i].x[indices[i]]));
        mark.setAttribute('cy', top + height * (1 - place(spec.y, y)));
        mark.setAttribute('r', 4);
      });
    }
  }
}
for (const { spec, plots } of charts) {
  for (const { svg, box: [left, , width] } of plots) {
    const at = (event) => {
      const frame = svg.getBoundingClientRect();
      const inside = ((event.clientX - frame.left) * svg.viewBox.baseVal.width) / frame.width;
      const share = Math.min(1, Math.max(0, (inside - left) / width));
      show(spec.x.from + share * (spec.x.to - spec.x.from), spec.xName);
    };
    svg.addEventListener('pointermove', at);
    svg.addEventListener('pointerdown', at);
    svg.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse') show(null, spec.xName); });
  }
}`;

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);
}

/** A chart with its title, legend and hover data; `wide` ones take two columns where there is room. */
export function figure(chart: Chart, wide = false): string {
  const named = chart.series.filter((series) => !series.unnamed);
  const key = named.map((series) => {
    const style = series.style === 'dashed' ? ' dashed' : '';
    const value = chart.quiet ? '' : valueText(series, series.x.length - 1, chart.unit);
    return `<li><i class="c${series.color}${style}"></i>${escapeHtml(series.name)} <b>${value}</b></li>`;
  });
  const { x, y } = scalesOf(chart, NARROW);
  const axis = ({ from, to, log }: typeof x) => ({ from, to, log });
  const hover = {
    xName: chart.xName ?? 'step',
    x: axis(x),
    y: axis(y),
    series: named.map((series) => ({
      color: series.color,
      x: series.x,
      y: series.y.map((value) => (value === null ? null : Number(value.toPrecision(6)))),
      text: series.x.map((_, i) => valueText(series, i, chart.unit)),
    })),
  };
  const name = escapeHtml(`${chart.title}. ${chart.about}`);
  const svg = (frame: Frame, className: string) =>
    `<svg class="${className}" viewBox="0 0 ${frame.width} ${frame.height}" data-plot="${plotArea(frame).join(' ')}" role="img" aria-label="${name}">
${drawChart(chart, frame)}
</svg>`;
  return `<figure${wide ? ' class="wide"' : ''}>
<figcaption title="${escapeHtml(chart.about)}"><span>${escapeHtml(chart.title)}</span><output></output></figcaption>
<ul class="key">${key.join('')}</ul>
${wide ? svg(ROOMY, 'roomy') + svg(NARROW, 'narrow') : svg(NARROW, 'plot')}
<script type="application/json">${JSON.stringify(hover).replaceAll('<', '\\u003c')}</script>
</figure>`;
}

/** A table whose rows begin with their name. */
export function table(head: string[], rows: string[][]): string {
  const row = (cells: string[], tag: string) =>
    `<tr>${cells.map((cell, i) => (i === 0 ? `<th>${escapeHtml(cell)}</th>` : `<${tag}>${escapeHtml(cell)}</${tag}>`)).join('')}</tr>`;
  return `<div class="scroll"><table>${row(head, 'th')}${rows.map((cells) => row(cells, 'td')).join('')}</table></div>`;
}

/** A whole HTML document around `body`. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="farsight">
<link rel="icon" href="data:,">
<title>${escapeHtml(title)}</title>
<style>${CHART_STYLE}${PAGE_STYLE}</style>
</head>
<body>
<main>
${body}
</main>
<script>${HOVER_SCRIPT}</script>
</body>
</html>
`;
}
