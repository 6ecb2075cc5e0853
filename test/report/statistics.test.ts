// What a comparison counts: runs that never reach the goal, runs of different lengths, tasks on one scale.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { comparisonCsv, medianStepsTo, readComparison } from '../../trainer/report/comparison.js';
import { sampleLines, writeRun } from './sampleRun.js';

const directory = mkdtempSync(join(tmpdir(), 'farsight-statistics-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function newRun(seed: number, steps: number, config: object): string {
  const run = mkdtempSync(join(directory, 'run-'));
  writeRun(run, sampleLines({ seed, steps, halfway: 1400, horizonMax: 5 }), { seed, ...config });
  return run;
}

test('runs that never reach the goal count as slower than all others; one run has no interval', () => {
  const run = (at: number) => ({ seed: '', steps: [100, at], returns: [], scores: [0, at < 1000 ? 1 : 0.2] });
  const { value, interval } = medianStepsTo([run(300), run(500), run(2000)], 0.5);
  assert.equal(value, 500);
  assert.deepEqual(interval, [300, Number.POSITIVE_INFINITY]);
  assert.deepEqual(medianStepsTo([run(2000)], 0.5), { value: Number.POSITIVE_INFINITY, interval: null });
});

test('runs are compared where the shortest ends, unless it stopped by itself', () => {
  const compared = (options: object) => [
    { label: 'a', directory: newRun(1, 5000, {}) },
    { label: 'a', directory: newRun(2, 3000, { options }) },
  ];
  assert.equal(readComparison(compared({})).tasks[0].steps, 3000);
  assert.equal(readComparison(compared({ stopAtReturn: 900 })).tasks[0].steps, 5000);
  assert.throws(() => readComparison(compared({}), { steps: 4000 }), /last evaluated after 3000; .* at 3000/);
});

test('several tasks share the scale of their anchors, and one without is named', () => {
  const compared = (task: string) => [
    { label: 'a', directory: newRun(1, 3000, { task: 'hopper' }) },
    { label: 'a', directory: newRun(1, 3000, { task }) },
  ];
  assert.throws(
    () => readComparison(compared('./mine.mjs')),
    /'\.\/mine\.mjs'.*--scale \.\/mine\.mjs=0:1000/,
  );
  const anchors = { hopper: [0, 1000], './mine.mjs': [0, 500] } satisfies Record<string, [number, number]>;
  const csv = comparisonCsv(readComparison(compared('./mine.mjs'), { anchors }));
  const score = (task: string) =>
    Number(
      csv
        .split('\n')
        .find((line) => line.startsWith(`score,${task},`))!
        .split(',')[6],
    );
  assert.equal(score('./mine.mjs'), 2 * score('hopper'));
});
