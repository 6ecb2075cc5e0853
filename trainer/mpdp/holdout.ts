// Which transitions judge the model and never train it: a few, and at every training the same ones.
import type { Replay } from './replay.js';

/**
 * About `share` of the transitions judge the model and never train it. Observation and action of a transition decide:
 * it is on the same side at every fit, whatever else the buffer holds, so that no member has learned from it before.
 */
export function split(replay: Replay, share: number): { heldOut: Int32Array; training: Int32Array } {
  const size = replay.observationSize + replay.actionSize;
  const lots = Float64Array.from({ length: replay.size }, (_, i) => lot(replay.row(i).subarray(0, size)));
  // Of two transitions or more, one judges and one trains at least.
  const sorted = lots.toSorted();
  const bound = Math.min(Math.max(share, sorted[0]), sorted[sorted.length - 2]);
  const indices = Int32Array.from(lots.keys());
  return {
    heldOut: indices.filter((i) => lots[i] <= bound),
    training: indices.filter((i) => lots[i] > bound),
  };
}

/** A number in [0, 1) that follows from the bits of `values` alone (FNV-1a, mixed as in MurmurHash3). */
function lot(values: Float32Array): number {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let hash = 0x811c9dc5;
  for (const word of words) {
    for (let shift = 0; shift < 32; shift += 8) {
      hash = Math.imul(hash ^ ((word >>> shift) & 0xff), 0x01000193);
    }
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
