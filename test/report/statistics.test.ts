// The statistics of comparisons beside rliable's numbers, which test/peers/compare_rliable.py wrote.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { comparisonCsv, medianStepsTo, readComparison } from '../../trainer/report/comparison.js';
import {
  bootstrap,
  interquartileMean,
  performanceProfile,
  probabilityOfImprovement,
} from '../../trainer/report/statistics.js';
import { sampleLines, writeRun } from './sampleRun.js';

type Numbers = [value: number, low: number, high: number];
interface Peer {
  /** By task. */
  scores: number[][];
  interquartileMean: Numbers;
  thresholds: number[];
  /** Values, low ends, high ends. */
  profile: [number[], number[], number[]];
  improvement: Record<string, Numbers>;
}

const fixture = new URL('../../../test/report/fixtures/rliable.json', import.meta.url);
const peers: Record<string, Peer> = JSON.parse(readFileSync(fixture, 'utf8'));
const directory = mkdtempSync(join(tmpdir(), 'farsight-statistics-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function newRun(seed: number, steps: number, config: object): string {
  const run = mkdtempSync(join(directory, 'run-'));
  writeRun(run, sampleLines({ seed, steps, halfway: 1400, horizonMax: 5 }), { seed, ...config });
  return run;
}

function close(ours: number, theirs: number, within: number, what: string) {
  assert.ok(Math.abs(ours - theirs) <= within, `${what}: ${ours}, rliable ${theirs}`);
}

test("interquartile mean, profile and probability of improvement are rliable's, intervals within resampling", () => {
  for (const [label, peer] of Object.entries(peers)) {
    const [mean] = bootstrap(peer.scores, (again) => [interquartileMean(again.flat())]);
    const [value, low, high] = peer.interquartileMean;
    close(mean.value, value, 1e-12, label);
    close(mean.interval![0], low, 0.1 * (high - low), `${label}, low`);
    close(mean.interval![1], high, 0.1 * (high - low), `${label}, high`);
    assert.deepEqual(performanceProfile(peer.scores.flat(), peer.thresholds), peer.profile[0]);
    for (const [other, [better]] of Object.entries(peer.improvement))
      close(probabilityOfImprovement(peer.scores, peers[other].scores), better, 1e-12, `${label}, ${other}`);
  }
});

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
