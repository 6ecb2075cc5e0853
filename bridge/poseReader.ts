// Where a robot's joints are, from a row of its loop's trace: the observation's positions as they were measured.
import { rowLayout } from '../contract/loop.js';
import type { ObservationTerm } from '../contract/terms.js';

export class PoseReader {
  readonly joints: string[];
  readonly #places: { at: number; scale: number; offset: number }[];

  constructor(observation: readonly ObservationTerm[]) {
    const { observation: start } = rowLayout(observation.length, 0);
    const positions = observation
      .map(({ kind, joint, scale, offset }, i) => ({ kind, joint, scale, offset, at: start + i }))
      .filter(({ kind, scale }) => kind === 'jointPosition' && scale !== 0);
    this.joints = positions.map(({ joint }) => joint);
    this.#places = positions;
  }

  /** rad or m, in the order of `joints`; null is what was not finite. What an observation clips is told clipped. */
  positions(row: Float64Array): (number | null)[] {
    return this.#places.map(({ at, scale, offset }) => {
      const value = row[at] / scale + offset;
      return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
    });
  }
}
