// The engine's own work in a thread that never comes back to its event loop: done beforehand, and counted after.
import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collects now all that the start left behind, so that it is not collected in the middle of the work. */
export function collectGarbage(): void {
  v8.setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}

/**
 * Waits until the engine has compiled what it chose to, and puts that in place. Its helper threads have no real-time
 * priority: code that a loaded machine finishes later is put in place in the middle of a tick, which then waits for
 * locks that those threads hold (5 to 40 ms were seen). Does nothing in an engine without the intrinsic.
 */
export function finishCompilation(): void {
  try {
    v8.setFlagsFromString('--allow-natives-syntax');
    const finish = new Function('%FinalizeOptimization()');
    v8.setFlagsFromString('--no-allow-natives-syntax');
    finish();
  } catch {
    v8.setFlagsFromString('--no-allow-natives-syntax');
  }
}

/**
 * Counts from its first look on. A collection shows as a heap that shrank since the last look, which needs no
 * callback. (A `PerformanceObserver` reports from the event loop; `v8.GCProfiler` prolongs each collection by the report that it writes.) A collection
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
