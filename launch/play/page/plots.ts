// Plots beside the robot: one strip a number, the newest seconds of it, drawn on a canvas for each kind.

const ROW = 26;
const NAME = 118;
const VALUE = 58;

/** One number over time. */
class Track {
  readonly values: Float32Array;
  low = Infinity;
  high = -Infinity;

  constructor(length: number) {
    this.values = new Float32Array(length).fill(Number.NaN);
  }

  put(place: number, value: number): void {
    this.values[place] = value;
    if (!Number.isFinite(value)) return;
    this.low = Math.min(this.low, value);
    this.high = Math.max(this.high, value);
  }
}

export interface StripsOptions {
  /** Steps that are shown, the newest. */
  length: number;
  names: readonly string[];
  /** Names of the page's custom properties, one a line. */
  colours: readonly string[];
  /** The strips' own, where they have one. */
  ranges?: readonly (readonly [number, number] | undefined)[];
  /** Height of a strip, pixels. */
  row?: number;
}

/** Strips of one kind on one canvas; each has as many lines as `tracks`. */
export class Strips {
  readonly #canvas: HTMLCanvasElement;
  readonly #names: readonly string[];
  readonly #colours: readonly string[];
  readonly #ranges: readonly (readonly [number, number] | undefined)[];
  readonly #tracks: Track[][];
  readonly #row: number;
  readonly #length: number;
  #place = 0;

  constructor(canvas: HTMLCanvasElement, { length, names, colours, ranges = [], row = ROW }: StripsOptions) {
    this.#canvas = canvas;
    this.#names = names;
    this.#colours = colours;
    this.#ranges = ranges;
    this.#row = row;
    this.#length = length;
    this.#tracks = names.map(() => colours.map(() => new Track(length)));
  }

  /** A step's numbers, one list a line. */
  add(...lines: ArrayLike<number>[]): void {
    for (const [i, tracks] of this.#tracks.entries())
      for (const [k, track] of tracks.entries()) track.put(this.#place, lines[k][i]);
    this.#place = (this.#place + 1) % this.#length;
  }

  clear(): void {
    for (const track of this.#tracks.flat()) {
      track.values.fill(Number.NaN);
      [track.low, track.high] = [Infinity, -Infinity];
    }
    this.#place = 0;
  }

  draw(): void {
    const canvas = this.#canvas;
    const ratio = Math.min(2, window.devicePixelRatio);
    const width = canvas.clientWidth;
    const height = this.#names.length * this.#row;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.height = `${height}px`;
    }
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name);
    // Thin lines are drawn faster by the main processor than by a graphics processor that is none.
    const context = canvas.getContext('2d', { willReadFrequently: true })!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = '11px system-ui, sans-serif';
    context.textBaseline = 'middle';
    const single = this.#row > ROW;
    const left = single ? 0 : NAME;
    const right = width - (single ? 0 : VALUE);
    for (const [i, tracks] of this.#tracks.entries()) {
      const top = i * this.#row + 3;
      const bottom = (i + 1) * this.#row - 3;
      const low = this.#ranges[i]?.[0] ?? Math.min(...tracks.map((track) => track.low));
      const high = this.#ranges[i]?.[1] ?? Math.max(...tracks.map((track) => track.high));
      const room = high > low ? high - low : 1;
      const y = (value: number) =>
        bottom - ((Math.min(high, Math.max(low, value)) - low) / room) * (bottom - top);
      context.strokeStyle = colour('--edge');
      context.lineWidth = 1;
      context.beginPath();
      const base = low < 0 && high > 0 ? y(0) : bottom;
      context.moveTo(left, base);
      context.lineTo(right, base);
      context.stroke();
      // The first one, which the number belongs to, on top.
      for (let k = tracks.length - 1; k >= 0; k--)
        this.#line(context, tracks[k], colour(this.#colours[k]), left, right, y);
      if (single) continue;
      const newest = tracks[0].values[(this.#place + this.#length - 1) % this.#length];
      context.fillStyle = colour('--quiet');
      context.textAlign = 'left';
      context.fillText(this.#names[i], 0, (top + bottom) / 2, NAME - 8);
      context.fillStyle = colour('--text');
      context.textAlign = 'right';
      context.fillText(shown(newest), width, (top + bottom) / 2);
    }
  }

  #line(
    context: CanvasRenderingContext2D,
    { values }: Track,
    colour: string,
    left: number,
    right: number,
    y: (value: number) => number,
  ): void {
    context.strokeStyle = colour;
    context.lineWidth = 1.3;
    context.beginPath();
    let open = false;
    for (let i = 0; i < this.#length; i++) {
      const value = values[(this.#place + i) % this.#length];
      if (!Number.isFinite(value)) {
        open = false;
        continue;
      }
      const x = left + ((i + 1) / this.#length) * (right - left);
      if (open) context.lineTo(x, y(value));
      else context.moveTo(x, y(value));
      open = true;
    }
    context.stroke();
  }
}

/** A number in a strip's width. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : '∞';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits).replace('-', '−');
}
