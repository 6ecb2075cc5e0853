// The table of limits: every limit there is, with its unit, and a mark on those that were derived.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { safetySchema } from '../../contract/terms.js';
import { limitsTable } from '../../launch/limitsTable.js';

const safety = safetySchema.parse({
  joints: [
    { joint: 'slider', position: [-0.98, 0.98], velocity: 6, stuckTimeout: 1e9 },
    { joint: 'hinge', position: [-1.72787, 1.72787], jumpAllowance: 0.00347307 },
    { joint: 'lift', effort: { limit: 20, stiffness: 100, damping: 5 }, stop: 'limited' },
  ],
  bounds: [{ term: 'jointPosition hinge', range: [-1, 1e9] }],
  outOfDistribution: { limit: 10.18919, steps: 5 },
  limiting: { share: 0.8, steps: 25 },
  blendTime: 0.5,
});

test('limits by joint and of the robot, derived ones marked', () => {
  const derivedLimits = ['hinge position', 'hinge jumpAllowance', 'outOfDistribution'];
  assert.deepEqual(limitsTable({ safety, derivedLimits }), [
    'joint   position       velocity    stuckTimeout  jumpAllowance  effort                            stop',
    '        rad, m         rad/s, m/s  s             rad, m',
    'slider  -0.98 … 0.98   6           ∞             -              -                                 -',
    'hinge   -1.73 … 1.73*  -           -             0.00347*       -                                 -',
    'lift    -              -           -             -              limit 20 stiffness 100 damping 5  limited',
    '',
    'bounds             jointPosition hinge -1 … ∞',
    'sensorTimeout      0.1 s',
    'missed             ticks for 0.1 s on end, or 30 % of 1 s',
    'blendTime          0.5 s',
    'outOfDistribution  10.2 standard deviations, for 5 steps of the policy*',
    'limiting           80 % of 25 steps of the policy',
    '',
    '* derived from training at the export; the task states the rest, or leaves its default',
  ]);
});

test('a file from before limits were derived: what it holds, without a word on where it is from', () => {
  assert.deepEqual(limitsTable({ safety: safetySchema.parse({}) }), [
    'sensorTimeout  0.1 s',
    'missed         ticks for 0.1 s on end, or 30 % of 1 s',
  ]);
});
