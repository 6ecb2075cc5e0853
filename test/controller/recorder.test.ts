// The recorder's thread against a real disk and a real kill -9.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readTransitions } from '../../contract/recordedRows.js';
import { startRecorder } from '../../controller/recorder.js';
import { policy, RATE, task, tickSource } from './recordedTicks.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-recorder-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('a killed process costs at most the last second', async () => {
  const directory = join(folder, 'killed');
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./recorderProcess.js', import.meta.url)), directory],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = once(child, 'exit');
  let pushed = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    pushed = Number(line);
    if (pushed >= 2 * RATE) child.kill('SIGKILL');
  }
  assert.deepEqual(await exited, [null, 'SIGKILL']);
  const { transitions, skipped, files } = await readTransitions(directory, task);
  assert.ok(transitions.count >= pushed - RATE, `${transitions.count} of ${pushed} ticks were readable`);
  assert.ok(transitions.nextObservation.every((value, i) => value === i + 1));
  assert.deepEqual(skipped, { gap: 0, intervention: 0, fault: 0, reset: 0 });
  assert.equal(files[0].policy, policy.sha256);
});

test('segments rotate by size, sort by time and join again; the counts agree with the reader', async () => {
  const directory = join(folder, 'segments');
  const { trace, push } = tickSource(4096);
  const segment = { bytes: 1, seconds: 600 };
  const recorder = await startRecorder({ directory, policy, rateHz: RATE, trace, segment });
  push(100);
  while (readdirSync(directory).length < 2) {
    push(1);
    await pause(50);
  }
  const total = push(100);
  const result = await recorder.stop();
  assert.equal(result.rows, total);
  assert.equal(result.lost, 0);
  assert.ok(result.files.length >= 2);
  assert.deepEqual(result.files, [...result.files].sort());
  const read = await readTransitions(result.path, task);
  assert.equal(read.transitions.count, total - 1);
  assert.equal(result.transitions, total - 1);
  assert.ok(read.files.every((file) => file.complete));
});

test('a segment that somebody deletes takes no more rows: another begins', async () => {
  const directory = join(folder, 'deleted');
  const { trace, push } = tickSource(4096);
  const recorder = await startRecorder({ directory, policy, rateHz: RATE, trace });
  push(100);
  await pause(1500);
  for (const name of readdirSync(directory)) rmSync(join(directory, name));
  push(100);
  await recorder.stop();
  assert.equal((await readTransitions(directory, task)).transitions.count, 99);
});

test('rows that were overwritten before they were read are counted and leave a gap', async () => {
  const directory = join(folder, 'lost');
  const { trace, push } = tickSource(64);
  const recorder = await startRecorder({ directory, policy, rateHz: RATE, trace });
  push(40);
  while ((await readTransitions(directory, task)).files[0].rows < 40) await pause(50);
  const total = push(1000);
  const result = await recorder.stop();
  assert.ok(result.lost > 0);
  assert.equal(result.rows + result.lost, total);
  const { transitions, skipped } = await readTransitions(directory, task);
  // Two, when the recorder read in the middle.
  assert.ok(skipped.gap >= 1);
  assert.equal(transitions.count, result.rows - 1 - skipped.gap);
  assert.equal(result.transitions, transitions.count);
});

test('a directory that cannot be written to is an error at the start, and at the end when it went away', async () => {
  const { trace, push } = tickSource(4096);
  const options = { policy, rateHz: RATE, trace, segment: { bytes: 1, seconds: 600 } };
  const file = join(folder, 'file');
  writeFileSync(file, '');
  await assert.rejects(startRecorder({ ...options, directory: file }), {
    name: 'FarsightError',
    message: /^--record '.*file' cannot be written: '.*file' is there and is no directory; try another/,
  });
  const directory = join(folder, 'gone');
  const recorder = await startRecorder({ ...options, directory });
  rmSync(directory, { recursive: true });
  push(10);
  await assert.rejects(recorder.stop(), {
    name: 'FarsightError',
    message: /^--record '.*gone' cannot be written: .*; 10 rows are lost$/,
  });
});
