// The count of garbage collections by the heap's size, against the engine's own profiler.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import v8 from 'node:v8';
import { GarbageCounter } from '../../controller/garbage.js';

test('every collection is counted', () => {
  const profiler = new v8.GCProfiler();
  const counter = new GarbageCounter();
  counter.look();
  profiler.start();
  const kept: object[] = [];
  for (let i = 0; i < 20_000; i++) {
    for (let k = 0; k < 32; k++) kept[k] = { i, values: [i, k] };
    counter.look();
  }
  const { statistics } = profiler.stop() as unknown as { statistics: unknown[] };
  assert.ok(statistics.length > 0);
  assert.equal(counter.count, statistics.length);
});
