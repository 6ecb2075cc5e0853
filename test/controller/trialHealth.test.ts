// What is held against a policy in its shadow and on trial: each rule at its edge.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS, FLAG, MODES, ROW } from '../../contract/loop.js';
import type { Manifest } from '../../contract/manifest.js';
import { objection, Shadow } from '../../controller/shadow.js';
import { BehaviourWatch, TrialHealth } from '../../controller/trialHealth.js';

const manifest = {
  controlRate: 100,
  action: [
    { kind: 'effort', joint: 'hip', limits: [-2, 2] },
    { kind: 'effort', joint: 'knee', limits: [0, 10] },
  ],
  safety: { joints: [{ joint: 'hip', commandRate: 50 }], outOfDistribution: { limit: 6, steps: 10 } },
  observationStatistics: { mean: [1], sd: [0.5] },
} as unknown as Manifest;

test('a shadow counts differences as shares of the range, what limits would change, and strange observations', () => {
  const shadow = new Shadow(manifest);
  // A quarter and a half of the ranges apart; 0.5 is as far as 50 a second reaches in a step.
  shadow.add([1], [0, 5], [0.5, 5], [1, 10]);
  // Beyond the range it is clamped; the acting policy's is not limited, nor the observation strange: 1 + 6 * 0.5.
  shadow.add([4], [2, 5], [2, 5], [2.1, 5]);
  shadow.add([4.1], [0, 0], [0, 0], [0.6, 0]);
  shadow.add([1], [0, 0], [0, 0], [Number.NaN, 0]);
  const report = shadow.report();
  assert.deepEqual(
    [report.steps, report.limited, report.limitedBefore, report.strange, report.notFinite],
    [4, 0.5, 0, 0.25, 1],
  );
  const squares = (0.25 ** 2 + 0.5 ** 2) / 2 + 0 + 0.15 ** 2 / 2;
  assert.ok(Math.abs(report.divergence - Math.sqrt(squares / 4)) < 1e-12);
  assert.match(objection(report)!, /not finite in 1 of 4 steps/);
  const fine = { steps: 100, divergence: 0.35, limited: 0.5, limitedBefore: 0.3, strange: 0.1, notFinite: 0 };
  assert.equal(objection(fine), undefined);
  assert.match(
    objection({ ...fine, divergence: 0.351 })!,
    /differ from the acting policy's by 35 % of their range/,
  );
  assert.match(objection({ ...fine, limited: 0.501 })!, /limits would change 50 % of its actions, .* 30 %/);
  assert.match(objection({ ...fine, strange: 0.11 })!, /11 % of this robot's observations/);
});

test('a policy on trial goes at a fault, a fall, three far observations on end, and half a second of limits', () => {
  const row = (mode: string, flags = 0, score = 0) => {
    const values = new Float64Array(ROW.vectors);
    values[ROW.mode] = MODES.indexOf(mode as 'policy');
    values[ROW.fault] = FAULTS.indexOf('velocity limit');
    values[ROW.flags] = flags;
    values[ROW.largestScore] = score;
    return values;
  };
  const watch = new BehaviourWatch();
  for (let i = 0; i < 10; i++) watch.add(row('policy', i === 0 ? FLAG.intervention : 0, i / 9));
  watch.add(row('hold', FLAG.intervention, 9));
  const before = watch.behaviour();
  assert.deepEqual(before, { ticks: 10, limited: 0.1, ends: 0, farthest: 1 });
  const trial = (scoreLimit?: number) => new TrialHealth(before, 100, scoreLimit);

  assert.equal(trial().add(row('damping')), 'fault: velocity limit');
  assert.match(trial().add(row('policy', FLAG.terminal))!, /the task ended/);
  // Under the policy before it fell once in ten ticks: then so often, a fifth more, and once on the way over.
  const falls = (every: number) => {
    const falling = new TrialHealth({ ...before, ends: 1 }, 1000);
    for (let i = 0; i < 100; i++) {
      const reason = falling.add(row('policy', i % every < 2 ? FLAG.terminal : 0));
      if (reason !== undefined) return reason;
    }
    return undefined;
  };
  assert.equal(falls(10), undefined);
  assert.match(falls(5)!, /the task ended: .*: \d times, oftener than before/);
  const held = trial();
  assert.equal(held.add(row('hold', FLAG.terminal)), undefined);
  assert.equal(held.ticks, 0, 'the time that a person has the robot does not count');

  const far = trial();
  const step = (score: number) => far.add(row('policy', FLAG.policyStep, score));
  // 1.5 times the farthest, and a half more: 2.
  for (const score of [2.1, 2.1, 2, 2.1, 2.1]) assert.equal(step(score), undefined);
  assert.equal(far.add(row('policy', 0, 9)), undefined, 'only steps of the policy count');
  assert.match(step(2.1)!, /observations are 2.1 deviations from those of training, before at most 1.0/);
  // Half of the way to where the loop faults is nearer: 1.4.
  const near = trial(1.8);
  const small = () => near.add(row('policy', FLAG.policyStep, 1.45));
  assert.deepEqual([small(), small()], [undefined, undefined]);
  assert.match(small()!, /1.4 deviations|1.5 deviations/);

  // 50 ticks are half a second; 30 % of them is as much more often than before as it may be.
  const limited = trial();
  let reason: string | undefined;
  for (let i = 0; i < 50; i++) reason ??= limited.add(row('policy', i < 15 ? FLAG.intervention : 0));
  assert.equal(reason, undefined);
  const more = trial();
  for (let i = 0; i < 50; i++) reason ??= more.add(row('policy', i < 16 ? FLAG.intervention : 0));
  assert.equal(reason, 'limits changed 32 % of the commands of 0.5 s, before 10 %');
});
