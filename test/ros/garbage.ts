// How much garbage something makes each time it is done, once its code is compiled.
import v8 from 'node:v8';

/** Bytes a round, the least of ten windows: the compiler's own work falls into some of them. */
export function garbage(round: (i: number) => void, warmUp: number, window: number): number {
  let i = 0;
  for (; i < warmUp; i++) round(i);
  let least = Infinity;
  for (let k = 0; k < 10; k++) {
    const before = v8.getHeapStatistics().used_heap_size;
    for (const end = i + window; i < end; i++) round(i);
    const grown = v8.getHeapStatistics().used_heap_size - before;
    // A heap that shrank was collected: that window says nothing.
    if (grown >= 0) least = Math.min(least, grown / window);
  }
  return least;
}
