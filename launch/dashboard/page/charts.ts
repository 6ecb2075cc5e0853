// One robot's telemetry over time: percentile bands, heat map, phases against the period, lanes; all of the same stretch.
import uPlot from 'uplot';
import { QUANTILES, type Quantile, quantileIndex, VALUE } from '../../../bridge/telemetryHistory.js';
import { PHASES } from '../../../contract/loop.js';
import { soon } from './frames.js';
import { HeatMap } from './heatMap.js';
import { drawLanes, type Happenings, LANES } from './lanes.js';
import { colour, phaseColour } from './theme.js';
import type { TimeView } from './timeView.js';

/** Telemetry that is this much later than it was due leaves a hole, s. */
const HOLE = 2.5;
/** Pixels left of every chart, for its axis. */
const AXIS = 88;
const HEIGHTS = { bands: 170, heat: 125, phases: 145, lanes: 150 };
type Name = keyof typeof HEIGHTS;

/** What the charts are of. */
export interface Shown extends Happenings {
  /** Index in PHASES. */
  phase: number;
  /** Of the phases against the period. */
  quantile: Quantile;
}

export class Charts {
  readonly #shown: Shown;
  readonly #view: TimeView;
  readonly #onCursor: (row: number | undefined) => void;
  readonly #plots = new Map<Name, uPlot>();
  readonly #heat = new HeatMap();
  /** Of the history, -1 for a hole: what the points of all charts are. */
  #rows: number[] = [];
  #times: number[] = [];
  #range: [number, number] = [1, 1000];
  #cursorRow: number | undefined;

  /** `onCursor` hears the row that the pointer is at, undefined when it is nowhere. */
  constructor(shown: Shown, view: TimeView, onCursor: (row: number | undefined) => void) {
    this.#shown = shown;
    this.#view = view;
    this.#onCursor = onCursor;
    this.#make('bands', {
      scales: { y: { distr: 3, range: () => this.#range } },
      axes: [timeAxis(false), logAxis(microseconds)],
      series: [{}, ...[...QUANTILES].reverse().map((name) => bandSeries(name))],
      bands: [0.1, 0.2, 0.3, 0.45].map((alpha, i) => ({
        series: [i + 1, i + 2],
        fill: () => transparent(colour('accent'), alpha),
      })),
      hooks: { draw: [(plot) => this.#drawPeriod(plot)] },
    });
    this.#make('heat', {
      scales: { y: { distr: 3, range: () => this.#range } },
      axes: [timeAxis(false), logAxis(microseconds)],
      series: [{}, { show: false }],
      hooks: {
        drawAxes: [
          (plot) => {
            const { history, phase } = this.#shown;
            this.#heat.draw(plot, history, phase);
            this.#drawPeriod(plot);
          },
        ],
      },
    });
    this.#make('phases', {
      scales: { y: { distr: 3, range: (_, low, high) => shareRange(low, high) } },
      axes: [timeAxis(false), logAxis((tick) => `${tick} %`)],
      series: [
        {},
        ...PHASES.map((_, i) => lineSeries(() => phaseColour(i), i === PHASES.length - 1 ? 2 : 1.2)),
      ],
      hooks: { draw: [(plot) => drawLevel(plot, 100)] },
    });
    this.#make('lanes', {
      scales: { y: { dir: -1, range: () => [0, LANES.length] } },
      axes: [
        timeAxis(true),
        {
          ...valueAxis(),
          grid: { show: false },
          ticks: { show: false },
          splits: () => LANES.map((_, i) => i + 0.5),
          values: () => LANES.map(({ name }) => name),
        },
      ],
      series: [{}, { show: false }],
      hooks: { draw: [(plot) => drawLanes(plot, this.#shown)] },
    });
  }

  /** Draws all of it anew, soon. */
  update(): void {
    soon('rows', () => {
      this.#takeRows();
      for (const name of this.#plots.keys()) soon(name, () => this.#draw(name));
    });
  }

  /** Draws what marks moments anew, soon. */
  redrawLanes(): void {
    soon('marks', () => this.#plots.get('lanes')!.redraw(false));
  }

  /** The row that the pointer is at. */
  get cursorRow(): number | undefined {
    return this.#cursorRow;
  }

  /** What a chart shows now, s since 1970, for those who test it. */
  scale(name: Name): [from?: number, to?: number] {
    const { min, max } = this.#plots.get(name)!.scales.x;
    return [min, max];
  }

  #make(name: Name, options: Pick<uPlot.Options, 'scales' | 'axes' | 'series' | 'bands' | 'hooks'>): void {
    const host = document.getElementById(name)!;
    const plot = drawnByMainProcessor(
      () =>
        new uPlot(
          {
            width: Math.max(50, host.clientWidth),
            height: HEIGHTS[name],
            legend: { show: false },
            padding: [6, 8, 0, 0],
            ...options,
            scales: {
              x: { time: true, range: () => [this.#view.from, this.#view.to] },
              ...options.scales,
            },
            cursor: {
              sync: { key: 'time', setSeries: false },
              drag: { x: true, y: false, setScale: false },
              points: { show: false },
              y: false,
            },
            hooks: {
              ...options.hooks,
              setCursor: [
                ({ cursor }) => {
                  const { idx, left } = cursor;
                  const row = idx == null || left == null || left < 0 ? undefined : this.#rows[idx];
                  this.#cursorRow = row === -1 ? undefined : row;
                  this.#onCursor(this.#cursorRow);
                },
              ],
              setSelect: [
                ({ select }) => {
                  if (select.width < 4) return;
                  const [from, to] = [select.left, select.left + select.width].map((at) =>
                    plot.posToVal(at, 'x'),
                  );
                  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
                  this.#view.show(from, to);
                },
              ],
            },
          },
          [[], ...options.series.slice(1).map(() => [])] as unknown as uPlot.AlignedData,
          host,
        ),
    );
    // Twice is what takes a zoom back: all of the hour, live.
    plot.over.addEventListener('dblclick', () => this.#view.live(3600));
    this.#view.listen(plot.over);
    new ResizeObserver(() => {
      if (host.clientWidth > 0 && host.clientWidth !== plot.width)
        soon(`${name} size`, () => plot.setSize({ width: host.clientWidth, height: HEIGHTS[name] }));
    }).observe(host);
    this.#plots.set(name, plot);
  }

  /** The rows that are seen, one more on each side, and the range of their latencies. */
  #takeRows(): void {
    const { history, phase } = this.#shown;
    const from = Math.max(0, history.rowAt(this.#view.from) - 1);
    const end = Math.min(history.length, history.rowAt(this.#view.to) + 1);
    this.#rows = [];
    this.#times = [];
    let [low, high] = [Infinity, 0];
    const lowest = quantileIndex(phase, 'p50');
    const highest = quantileIndex(phase, 'max');
    for (let row = from; row < end; row++) {
      const time = history.time(row);
      const last = this.#times.at(-1);
      const due = HOLE + history.value(row, VALUE.seconds);
      if (last !== undefined && time - last > due) {
        this.#rows.push(-1);
        this.#times.push(last + 0.001);
      }
      this.#rows.push(row);
      this.#times.push(time);
      if (history.value(row, VALUE.ticks) === 0) continue;
      low = Math.min(low, history.value(row, lowest));
      high = Math.max(high, history.value(row, highest), history.value(row, VALUE.period));
    }
    if (high > 0) this.#range = [Math.max(0.1, low / 1.5), high * 1.5];
  }

  #draw(name: Name): void {
    const plot = this.#plots.get(name)!;
    plot.setData([this.#times, ...this.#series(name)] as uPlot.AlignedData);
  }

  #series(name: Name): (number | null)[][] {
    const { history, phase, quantile } = this.#shown;
    const each = (value: (row: number) => number) =>
      this.#rows.map((row) => (row < 0 ? null : value(row) || null));
    if (name === 'bands')
      return [...QUANTILES]
        .reverse()
        .map((one) => each((row) => history.value(row, quantileIndex(phase, one))));
    if (name === 'phases')
      return PHASES.map((_, i) => {
        const index = quantileIndex(i, quantile);
        // A phase that a tick does not have, as inference after a fault, took no time.
        return each((row) => (100 * history.value(row, index)) / history.value(row, VALUE.period));
      });
    return [this.#times.map(() => null)];
  }

  #drawPeriod(plot: uPlot): void {
    const { history } = this.#shown;
    if (history.length > 0) drawLevel(plot, history.value(history.length - 1, VALUE.period));
  }
}

/**
 * What `make` makes, with canvases that the main processor draws: thousands of thin lines take a graphics processor long, and
 * one that is none a second. uPlot has no setting for it.
 */
function drawnByMainProcessor<T>(make: () => T): T {
  const { prototype } = HTMLCanvasElement;
  const { getContext } = prototype;
  prototype.getContext = function (this: HTMLCanvasElement, kind: string) {
    return getContext.call(this, kind, { willReadFrequently: true });
  } as typeof getContext;
  try {
    return make();
  } finally {
    prototype.getContext = getContext;
  }
}

function timeAxis(labelled: boolean): uPlot.Axis {
  return {
    ...axis(),
    space: 42,
    size: labelled ? 34 : 4,
    values: labelled ? TIMES : (_, ticks) => ticks.map(() => ''),
  };
}
/** By the distance of two ticks, s: what each tick says, and what is said where the day or the minute changes. */
const TIMES: uPlot.Axis.Values = [
  [3600, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, null, null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{YYYY}-{MM}-{DD}', null, null, null, null, null, 1],
  [0.001, ':{ss}.{fff}', '\n{YYYY}-{MM}-{DD} {HH}:{mm}', null, null, null, null, null, 1],
];

/** At 1, 10, 100 …, and between them where there are few of these. */
function logAxis(shown: (value: number) => string): uPlot.Axis {
  return {
    ...valueAxis(),
    splits: ({ scales: { y } }) => {
      const [low, high] = [y.min ?? 1, y.max ?? 1000];
      const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
      const steps = high / low < 100 ? [1, 2, 5] : high / low < 3000 ? [1, 3] : [1];
      const ticks = Array.from({ length: last - first + 1 }, (_, i) =>
        steps.map((step) => Number((step * 10 ** (first + i)).toPrecision(2))),
      ).flat();
      return ticks.filter((tick) => tick >= low && tick <= high);
    },
    values: (_, ticks) => ticks.map(shown),
    filter: (_, ticks) => ticks,
  };
}

function valueAxis(): uPlot.Axis {
  return { ...axis(), size: AXIS };
}

function axis(): uPlot.Axis {
  return {
    stroke: () => colour('quiet'),
    font: '11px system-ui, sans-serif',
    grid: { stroke: () => transparent(colour('edge'), 0.7), width: 1 },
    ticks: { show: false },
  };
}

function bandSeries(name: Quantile): uPlot.Series {
  const isMedian = name === 'p50';
  return lineSeries(
    () => (isMedian ? colour('accent') : transparent(colour('accent'), 0.5)),
    isMedian ? 2 : 0.8,
  );
}

function lineSeries(stroke: () => string, width: number): uPlot.Series {
  return { stroke, width, points: { show: false }, spanGaps: false };
}

/** A line across, such as the period. */
function drawLevel(plot: uPlot, value: number): void {
  const { ctx, bbox } = plot;
  const y = Math.round(plot.valToPos(value, 'y', true));
  if (y < bbox.top || y > bbox.top + bbox.height) return;
  ctx.save();
  ctx.strokeStyle = colour('bad');
  ctx.lineWidth = uPlot.pxRatio;
  ctx.setLineDash([6 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

/** The period is always among what is seen. */
function shareRange(low: number | null, high: number | null): [number, number] {
  return [Math.max(0.002, (low ?? 1) / 1.5), Math.max(150, 1.5 * (high ?? 0))];
}

function microseconds(value: number): string {
  if (value >= 1e6) return `${value / 1e6} s`;
  if (value >= 1000) return `${value / 1000} ms`;
  return `${value} µs`;
}

/** `#rrggbb` with a share of it. */
export function transparent(hex: string, alpha: number): string {
  return `${hex}${Math.round(255 * alpha)
    .toString(16)
    .padStart(2, '0')}`;
}
