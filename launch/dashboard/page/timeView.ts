// The stretch of time that all charts show: it follows the newest telemetry, or stands where the reader zoomed to.

/** Seconds, of the buttons. */
export const SPANS = [60, 300, 900, 3600] as const;
const SHORTEST = 5;
const LONGEST = 3600;
/** Pixels that a finger moves before it pans, and not taps. */
const SLOP = 6;

export class TimeView {
  from = 0;
  to = 1;
  /** Seconds that it shows while it follows; undefined while it stands. */
  span: number | undefined = 300;
  readonly #changed: () => void;
  #newest = 1;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** Tells the time of the newest telemetry, s. */
  follow(newest: number): void {
    this.#newest = newest;
    if (this.span === undefined) return;
    this.to = newest;
    this.from = newest - this.span;
  }

  /** Goes along with the newest telemetry from now on. */
  live(span: number): void {
    this.span = span;
    this.follow(this.#newest);
    this.#changed();
  }

  show(from: number, to: number): void {
    const length = Math.min(LONGEST, Math.max(SHORTEST, to - from));
    const middle = (from + to) / 2;
    this.to = Math.min(this.#newest, middle + length / 2);
    this.from = this.to - length;
    this.span = undefined;
    this.#changed();
  }

  /** Shows `factor` times as long; `at` stays where it is. What follows goes on following. */
  zoom(factor: number, at?: number): void {
    const length = Math.min(LONGEST, Math.max(SHORTEST, factor * (this.to - this.from)));
    if (this.span !== undefined && at === undefined) {
      this.live(length);
      return;
    }
    const centre = at ?? (this.from + this.to) / 2;
    const share = (centre - this.from) / (this.to - this.from);
    this.show(centre - share * length, centre + (1 - share) * length);
  }

  /** Moves by a share of what is shown. */
  pan(share: number): void {
    const by = share * (this.to - this.from);
    this.show(this.from + by, this.to + by);
  }

  /** Fingers and wheels on `area`: one finger moves, two zoom, the wheel with Control does too. */
  listen(area: HTMLElement): void {
    const fingers = new Map<number, number>();
    const timeAt = (x: number) => {
      const { left, width } = area.getBoundingClientRect();
      return this.from + ((x - left) / width) * (this.to - this.from);
    };
    let begun: { middle: number; distance: number; from: number; to: number } | undefined;
    const begin = () => {
      const [a, b = a] = [...fingers.values()];
      begun = { middle: (a + b) / 2, distance: Math.abs(a - b), from: this.from, to: this.to };
    };
    area.addEventListener('pointerdown', ({ pointerType, pointerId, clientX }) => {
      if (pointerType !== 'touch') return;
      fingers.set(pointerId, clientX);
      begin();
    });
    area.addEventListener('pointermove', ({ pointerId, clientX }) => {
      if (!fingers.has(pointerId) || !begun) return;
      fingers.set(pointerId, clientX);
      const [a, b = a] = [...fingers.values()];
      const moved = (a + b) / 2 - begun.middle;
      if (fingers.size === 1 && Math.abs(moved) < SLOP) return;
      const { width, left } = area.getBoundingClientRect();
      const length = begun.to - begun.from;
      const factor = fingers.size > 1 ? begun.distance / Math.max(1, Math.abs(a - b)) : 1;
      const centre = begun.from + ((begun.middle - left) / width) * length;
      const from = centre - (centre - begun.from) * factor - (moved / width) * length * factor;
      this.show(from, from + length * factor);
    });
    for (const type of ['pointerup', 'pointercancel', 'pointerleave'] as const) {
      area.addEventListener(type, ({ pointerId }) => {
        if (fingers.delete(pointerId) && fingers.size > 0) begin();
      });
    }
    area.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey) return;
        event.preventDefault();
        this.zoom(Math.exp(event.deltaY / 200), timeAt(event.clientX));
      },
      { passive: false },
    );
  }
}
