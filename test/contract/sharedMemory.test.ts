// The shared cells and the trace ring between real threads: never torn, never backward, losses counted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { LatestValue, TraceRing } from '../../contract/sharedMemory.js';

const MODULE = new URL('../../contract/sharedMemory.js', import.meta.url).href;
const LENGTH = 64;
const WRITES = 300_000;

/** Runs `body` in a thread, with the shared-memory module as `shared` and `data`. */
function thread(body: string, data: object): Promise<void> {
  const worker = new Worker(
    `const { workerData: data } = require('node:worker_threads'); import('${MODULE}').then((shared) => { ${body} });`,
    { eval: true, workerData: data },
  );
  return new Promise((resolve, reject) => worker.once('error', reject).once('exit', () => resolve()));
}

test('a reader of a cell sees whole values, each at least as new as the last', async () => {
  const cell = new LatestValue(LENGTH);
  const writer = thread(
    `const cell = new shared.LatestValue(${LENGTH}, data);
     for (let n = 1; n <= ${WRITES}; n++) { cell.writable.fill(n); cell.publish(); }`,
    cell.buffer,
  );
  let newest = 0;
  let changes = 0;
  for (const start = Date.now(); newest < WRITES && Date.now() - start < 30_000; ) {
    const value = cell.read();
    const first = value[0];
    for (let i = 0; i < LENGTH; i++) assert.equal(value[i], first);
    assert.ok(first >= newest);
    if (first > newest) changes++;
    newest = first;
  }
  await writer;
  assert.equal(newest, WRITES);
  assert.ok(changes > 1);
});

test('a reader of the trace gets every row that was not overwritten, whole and in order, and counts the rest', async () => {
  const ring = new TraceRing(LENGTH, 256);
  const reader = ring.reader();
  const writer = thread(
    `const ring = new shared.TraceRing(${LENGTH}, 256, data);
     for (let n = 0; n < ${WRITES}; n++) { ring.rows.fill(n, ring.offset, ring.offset + ${LENGTH}); ring.push(); }`,
    ring.buffer,
  );
  const row = new Float64Array(LENGTH);
  let rows = 0;
  for (const start = Date.now(); rows + reader.lost < WRITES && Date.now() - start < 30_000; ) {
    if (!reader.read(row)) continue;
    assert.equal(row[0], rows + reader.lost);
    for (let i = 0; i < LENGTH; i++) assert.equal(row[i], row[0]);
    rows++;
  }
  await writer;
  assert.equal(rows + reader.lost, WRITES);
  assert.ok(rows > 0);
});
