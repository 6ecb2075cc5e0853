// Latency histograms: the precision they promise, merging, and values beyond either end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyHistogram } from '../../contract/histogram.js';

/** 100,000 values over eleven decades, in ns. */
const values = Float64Array.from(
  { length: 100_000 },
  (_, i) => 10 ** ((10.8 * ((i * 7919) % 100_000)) / 100_000),
);

test('quantiles are within a bucket of the exact ones, the maximum is exact', () => {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.record(value);
  const sorted = values.slice().sort();
  assert.equal(histogram.count, values.length);
  for (const q of [0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999]) {
    const exact = sorted[Math.ceil(q * values.length) - 1];
    const error = histogram.quantile(q) - exact;
    assert.ok(error >= 0 && error <= 1 + exact / 127, `q ${q}: ${exact} and ${error} more`);
  }
  assert.equal(histogram.quantile(1), sorted[values.length - 1]);
});

test('merged parts are the whole, also through another view of the same memory', () => {
  const [whole, even, merged] = [new LatencyHistogram(), new LatencyHistogram(), new LatencyHistogram()];
  const odd = new LatencyHistogram(new LatencyHistogram().buffer);
  values.forEach((value, i) => {
    whole.record(value);
    (i % 2 === 0 ? even : odd).record(value);
  });
  merged.merge(JSON.parse(JSON.stringify(even.sample())));
  merged.merge(new LatencyHistogram(odd.buffer).sample());
  assert.deepEqual(merged.sample(), whole.sample());
  assert.deepEqual(merged.percentiles(), whole.percentiles());
});

test('a window is what came since the last, with an exact maximum where it is new', () => {
  const [live, seen, window] = [new LatencyHistogram(), new LatencyHistogram(), new LatencyHistogram()];
  const next = (...came: number[]) => {
    for (const value of came) live.record(value);
    live.advance(seen, window);
    assert.deepEqual(seen.sample(), live.sample());
    return window.sample();
  };
  assert.deepEqual(next(3, 3, 400), { counts: [3, 2, 328, 1], max: 400 });
  assert.deepEqual(next(3, 600), { counts: [3, 1, 406, 1], max: 600 });
  assert.deepEqual(next(3), { counts: [3, 1], max: 4 });
  assert.deepEqual(next(599), { counts: [405, 1], max: 600 });
  assert.deepEqual(next(), { counts: [], max: 0 });
});

test('an empty histogram, negative and enormous values are told without nonsense', () => {
  const histogram = new LatencyHistogram();
  assert.deepEqual(Object.values(histogram.percentiles()), [0, 0, 0, 0, 0, 0]);
  histogram.record(-5);
  histogram.record(2 ** 50);
  assert.equal(histogram.count, 2);
  assert.equal(histogram.quantile(0.5), 0 + 1);
  assert.equal(histogram.quantile(1), 2 ** 50);
});
