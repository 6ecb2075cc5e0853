// Garbage collection in a thread that never comes back to its event loop: doing it beforehand, and counting it after.
import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collects now all that the start left behind, so that it is not collected in the middle of the work. */
export function collectGarbage(): void {
  v8.setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}

/**
 * Counts from its first look on. A collection shows as a heap that shrank since the last look, which needs no callback. (A `PerformanceObserver`
 * reports from the event loop; `v8.GCProfiler` prolongs each collection by the report that it writes.) A collection
 * that frees less than was allocated between two looks goes unseen: look often against the size of the young
 * generation, which is megabytes.
 */
export class GarbageCounter {
  count = 0;
  #used = 0;

  look(): void {
    const used = v8.getHeapStatistics().used_heap_size;
    if (used < this.#used) this.count++;
    this.#used = used;
  }
}
