// The envelope on one measurement after another of several joints: what is at fault, joint by joint, and what is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS } from '../../contract/loop.js';
import type { Manifest } from '../../contract/manifest.js';
import { SENSOR } from '../../contract/robot.js';
import { interfaceSchema } from '../../contract/terms.js';
import { Envelope } from '../../controller/envelope.js';

const RATE = 100;
const TIMEOUT = 0.25;
/** Not the order of the limits, and the wheel is commanded without being measured. */
const JOINTS = ['knee', 'hip', 'wheel'] as const;
type Joint = (typeof JOINTS)[number];

function setUp(safety: object = {}) {
  const task = interfaceSchema.parse({
    task: 'leg',
    controlRate: 50,
    observation: [
      { kind: 'jointVelocity', joint: 'knee' },
      { kind: 'jointPosition', joint: 'hip', clip: 1 },
      { kind: 'jointPosition', joint: 'knee' },
    ],
    action: JOINTS.map((joint) => ({ kind: 'effort', joint, limits: [-1, 1] })),
    safety: {
      sensorTimeout: TIMEOUT,
      joints: [
        { joint: 'hip', position: [-1, 2], velocity: 4 },
        { joint: 'knee', position: [-3, 0.5], velocity: 8 },
      ],
      ...safety,
    },
  });
  const observationStatistics = { mean: [1, -1, 0], sd: [0.5, 2, 1], low: [0, 0, 0], high: [0, 0, 0] };
  const envelope = new Envelope({ ...task, observationStatistics } as unknown as Manifest, RATE);
  let stamp = 0;
  return {
    envelope,
    /** What a measurement is at fault for; `after` seconds later than the one before, and heard `late` seconds later. */
    check(
      position: Partial<Record<Joint, number>> = {},
      {
        velocity = {} as Partial<Record<Joint, number>>,
        after = 1 / RATE,
        late = 0,
        acts = true,
        resets = 0,
        observation = [0, 0, 0],
      } = {},
    ) {
      stamp += after;
      const cell = new Float64Array(SENSOR.vectors + 2 * JOINTS.length);
      cell[SENSOR.stamp] = stamp;
      cell[SENSOR.resets] = resets;
      for (const [j, joint] of JOINTS.entries()) {
        cell[SENSOR.vectors + j] = position[joint] ?? 0;
        cell[SENSOR.vectors + JOINTS.length + j] = velocity[joint] ?? 0;
      }
      const times = Float64Array.of(0, (stamp + late) * 1e9);
      return FAULTS[envelope.check(cell, Float32Array.from(observation), times, 1, acts)];
    },
  };
}

test('each joint has its own limits, low and high, and is within them at them', () => {
  const { check } = setUp();
  for (const position of [{ hip: -1 }, { hip: 2 }, { knee: -3 }, { knee: 0.5 }, { wheel: 1e9 }])
    assert.equal(check(position), 'none', JSON.stringify(position));
  for (const position of [{ hip: -1.01 }, { hip: 2.01 }, { knee: -3.01 }, { knee: 0.51 }])
    assert.equal(check(position), 'position limit', JSON.stringify(position));
  for (const velocity of [{ hip: 4 }, { hip: -4 }, { knee: 8 }, { wheel: -1e9 }])
    assert.equal(check({}, { velocity }), 'none', JSON.stringify(velocity));
  for (const velocity of [{ hip: 4.01 }, { hip: -4.01 }, { knee: 8.01 }])
    assert.equal(check({}, { velocity }), 'velocity limit', JSON.stringify(velocity));
});

test('what is not a number is outside every limit, and no fault where nobody measures', () => {
  const { check } = setUp();
  assert.equal(check({ wheel: Number.NaN }, { velocity: { wheel: Number.NaN } }), 'none');
  assert.equal(check({}, { velocity: { hip: Number.NaN } }), 'velocity limit');
  // The observation's clip has made it finite.
  assert.equal(check({ hip: Infinity }, { observation: [0, 1, 0] }), 'observation not finite');
  assert.equal(check({}, { observation: [0, Number.NaN, 0] }), 'observation not finite');
});

test('a workspace has two ends, and is of the term that it names', () => {
  const { check } = setUp({ joints: [], bounds: [{ term: 'jointVelocity knee', range: [-2, 3] }] });
  const at = (knee: number) => check({ knee: 9, hip: 9 }, { velocity: { knee, hip: 9 } });
  assert.deepEqual([-2, 3, -2.01, 3.01].map(at), ['none', 'none', 'workspace limit', 'workspace limit']);
});

test('a measurement is stale after its timeout, and none twice is no step back', () => {
  const { check } = setUp();
  assert.equal(check(), 'none');
  assert.equal(check({}, { after: 0, late: TIMEOUT - 1e-9 }), 'none');
  assert.equal(check({}, { after: 0, late: TIMEOUT + 1e-6 }), 'sensor stale');
  assert.equal(check({}, { after: 0 }), 'none');
  assert.equal(check({}, { after: -1e-6 }), 'sensor stamp went backward');
});

test('a joint jumps when it moves further than its speed and its allowance let it, wherever it begins', () => {
  const { check, envelope } = setUp({
    joints: [{ joint: 'hip', velocity: 4, jumpMargin: 2, jumpAllowance: 0.5 }],
  });
  // 8 rad/s in 10 ms, and the allowance: 0.58 rad.
  assert.equal(check({ hip: 5, knee: 5 }), 'none', 'before it is nowhere');
  assert.equal(check({ hip: 5.579 }), 'none');
  assert.equal(check({ hip: 6.16 }), 'sensor jump');
  assert.equal(check({ hip: 6.16 - 1.37 }, { after: 0.11 }), 'none', 'what it may in 110 ms');
  assert.equal(check({ hip: 20 }, { resets: 1 }), 'none', 'a new start');
  envelope.restart();
  assert.equal(check({ hip: -20 }, { resets: 1 }), 'none', 'taken over anew');
});

test('a joint that says the same for too long is stuck while the policy acts, which it must have done as long', () => {
  const { check } = setUp({ joints: [{ joint: 'hip', stuckTimeout: 0.0499 }] });
  const still = (count: number, acts: boolean) =>
    Array.from({ length: count }, () => check({ hip: 1, knee: Math.random() }, { acts }));
  const fine = (faults: string[]) => assert.ok(faults.every((fault) => fault === 'none'));
  fine(still(20, false));
  fine(still(5, true));
  assert.deepEqual(still(1, true), ['sensor stuck']);
  assert.equal(check({ hip: 1.001 }), 'none', 'it moves again');
  // A tick without a new message does not make it younger.
  for (let i = 0; i < 4; i++) for (const after of [0.01, 0]) fine([check({ hip: 1.001 }, { after })]);
  assert.equal(check({ hip: 1.001 }), 'sensor stuck');
  assert.equal(check({ hip: 1.002 }), 'none');
  fine(still(5, true));
  fine(still(20, false));
  // The policy begins with the measurement that is there already.
  assert.equal(check({ hip: 1 }, { after: 0 }), 'none');
  fine(still(4, true));
  assert.deepEqual(still(1, true), ['sensor stuck']);
});

test('an observation is scored by the mean and the deviation of training', () => {
  const { check, envelope } = setUp({ outOfDistribution: { limit: 3, steps: 1 } });
  const scored = (observation: number[]) => {
    check({}, { observation });
    return [...envelope.score, FAULTS[envelope.checkStep(false)]];
  };
  assert.deepEqual(scored([2, -1, 1]), [2, 1, 'none']);
  assert.deepEqual(scored([1, 3, 0]), [2, 2 / 3, 'none']);
  assert.deepEqual(scored([-0.5, -1, 0]), [3, 1, 'none'], 'at the limit');
  assert.deepEqual(scored([-0.6, -1, 0]).at(-1), 'out of distribution');
});
