// The lanes of the time line: the mode, missed ticks and interventions by moment, faults and policies where they came.
import type uPlot from 'uplot';
import type { Happened } from '../../../bridge/pageMessages.js';
import { type TelemetryHistory, VALUE } from '../../../bridge/telemetryHistory.js';
import { INTERVENTIONS, MODES, type Mode } from '../../../contract/loop.js';
import { colour } from './theme.js';

const SHORT: Record<(typeof INTERVENTIONS)[number], string> = {
  'effort or range limit': 'effort, range',
  'rate limit': 'rate',
  'policy replaced by safe command': 'safe command',
  'acceleration limit': 'acceleration',
};

/** `value` is the index of a count among a row's values. */
export const LANES: { name: string; value?: number }[] = [
  { name: 'mode' },
  { name: 'missed', value: VALUE.missed },
  ...INTERVENTIONS.map((name, i) => ({ name: SHORT[name], value: VALUE.interventions + i })),
];

export function modeColour(mode: Mode): string {
  if (mode === 'policy') return colour('accent');
  if (mode === 'damping') return colour('warm');
  if (mode === 'fault') return colour('bad');
  return mode === 'hold' ? colour('good') : colour('quiet');
}

/** What the lanes are of. */
export interface Happenings {
  history: TelemetryHistory;
  events: readonly Happened[];
  /** s since 1970: where a replay is. */
  replayed?: number;
}

/** Draws what `plot` shows: its y counts lanes from the top. */
export function drawLanes(plot: uPlot, { history, events, replayed }: Happenings): void {
  const { ctx, bbox } = plot;
  const { min: from = 0, max: to = 1 } = plot.scales.x;
  const x = (time: number) => plot.valToPos(time, 'x', true);
  const lane = bbox.height / LANES.length;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const end = Math.min(history.length, history.rowAt(to) + 1);
  for (let row = Math.max(0, history.rowAt(from) - 1); row < end; row++) {
    const time = history.time(row);
    const left = x(row > 0 ? Math.max(history.time(row - 1), time - 1.5) : time - 1);
    const width = Math.max(ratio, x(time) - left);
    for (const [i, { value }] of LANES.entries()) {
      const bottom = bbox.top + (i + 1) * lane - 3 * ratio;
      if (value === undefined) {
        ctx.fillStyle = modeColour(MODES[history.value(row, VALUE.mode)]);
        ctx.fillRect(left, bottom - 0.55 * lane, width + 0.5, 0.55 * lane);
        continue;
      }
      const count = history.value(row, value);
      if (count === 0) continue;
      // One of a thousand ticks is to be seen beside all of them.
      const share = Math.min(
        1,
        0.25 + (0.75 * Math.log1p(count)) / Math.log1p(history.value(row, VALUE.ticks) || 1),
      );
      ctx.fillStyle = i === 1 ? colour('bad') : colour('warm');
      ctx.fillRect(
        left,
        bottom - share * (lane - 6 * ratio),
        Math.max(2 * ratio, width),
        share * (lane - 6 * ratio),
      );
    }
  }
  for (const { time, event } of events) {
    if (time < from || time > to) continue;
    if (event.kind === 'fault') mark(ctx, x(time), bbox, colour('bad'), '◆');
    else if (event.kind === 'policy loaded') mark(ctx, x(time), bbox, colour('quiet'), '▲');
  }
  if (replayed !== undefined) mark(ctx, x(replayed), bbox, colour('text'), '▼');
  ctx.restore();
}

function mark(
  ctx: CanvasRenderingContext2D,
  x: number,
  { top, height }: uPlot.BBox,
  stroke: string,
  sign: string,
): void {
  const ratio = devicePixelRatio;
  ctx.strokeStyle = stroke;
  ctx.fillStyle = stroke;
  ctx.lineWidth = 1.5 * ratio;
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, top + height);
  ctx.stroke();
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'top';
  ctx.fillText(sign, x, top);
}
