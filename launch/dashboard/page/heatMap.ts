// The heat map: of each moment, how many ticks took how long, as a picture of one column a pixel.
import type uPlot from 'uplot';
import { HEAT, type TelemetryHistory } from '../../../bridge/telemetryHistory.js';
import { heatColours, onTheme } from './theme.js';

export class HeatMap {
  readonly #canvas = document.createElement('canvas');
  #colours = heatColours();
  #sums = new Float32Array(0);

  constructor() {
    onTheme(() => {
      this.#colours = heatColours();
    });
  }

  /** Draws what `plot` shows of a phase. Where a pixel holds many moments their ticks are added. */
  draw(plot: uPlot, history: TelemetryHistory, phase: number): void {
    const { ctx, bbox } = plot;
    const width = Math.max(1, Math.round(bbox.width / devicePixelRatio));
    const { min: from = 0, max: to = 1 } = plot.scales.x;
    const sums = this.#add(history, phase, width, from, to);
    const canvas = this.#canvas;
    canvas.width = width;
    canvas.height = HEAT.bins;
    const context = canvas.getContext('2d', { willReadFrequently: true })!;
    const image = context.createImageData(width, HEAT.bins);
    const colours = this.#colours;
    for (let x = 0; x < width; x++) {
      let most = 0;
      for (let bin = 0; bin < HEAT.bins; bin++) most = Math.max(most, sums[x * HEAT.bins + bin]);
      const scale = 255 / Math.log1p(most);
      for (let bin = 0; bin < HEAT.bins; bin++) {
        const count = sums[x * HEAT.bins + bin];
        if (count === 0) continue;
        // A single tick among thousands is to be seen: the logarithm, never the palest colour alone.
        const step = 3 * Math.min(255, Math.round(scale * Math.log1p(count)));
        const at = 4 * ((HEAT.bins - 1 - bin) * width + x);
        image.data[at] = colours[step];
        image.data[at + 1] = colours[step + 1];
        image.data[at + 2] = colours[step + 2];
        image.data[at + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
    const edge = (bin: number) => plot.valToPos(2 ** (bin / HEAT.perOctave), 'y', true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(canvas, bbox.left, edge(HEAT.bins), bbox.width, edge(0) - edge(HEAT.bins));
    ctx.restore();
  }

  /** Ticks by column of a pixel, then bin. A row covers the time since the one before. */
  #add(history: TelemetryHistory, phase: number, width: number, from: number, to: number): Float32Array {
    if (this.#sums.length !== width * HEAT.bins) this.#sums = new Float32Array(width * HEAT.bins);
    const sums = this.#sums.fill(0);
    const end = Math.min(history.length, history.rowAt(to) + 1);
    for (let row = Math.max(0, history.rowAt(from) - 1); row < end; row++) {
      const time = history.time(row);
      const begin = row > 0 ? Math.max(history.time(row - 1), time - 1.5) : time - 1;
      const left = Math.max(0, Math.round(((begin - from) / (to - from)) * width));
      const right = Math.min(width, Math.max(left + 1, Math.round(((time - from) / (to - from)) * width)));
      const heat = history.heat(row, phase);
      for (let bin = 0; bin < HEAT.bins; bin++) {
        if (heat[bin] === 0) continue;
        for (let x = left; x < right; x++) sums[x * HEAT.bins + bin] += heat[bin];
      }
    }
    return sums;
  }
}
