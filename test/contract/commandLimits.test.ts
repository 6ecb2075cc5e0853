// The limits of commands: all at once on every tick, no overshoot, no change of what is within them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandLimits, interventionBit } from '../../contract/commandLimits.js';
import { FarsightError } from '../../contract/errors.js';
import { interfaceSchema } from '../../contract/terms.js';
import { generator } from '../fixtures/generator.js';

const RATE = 100;

function arm(kind: 'position' | 'velocity' | 'effort', joint: object, limits = [-2, 3]) {
  const { observation, action, safety } = interfaceSchema.parse({
    task: 'arm',
    controlRate: RATE,
    observation: [
      { kind: 'jointPosition', joint: 'elbow' },
      { kind: 'jointVelocity', joint: 'elbow' },
    ],
    action: [{ kind, joint: 'elbow', limits }],
    safety: { joints: [{ joint: 'elbow', ...joint }] },
  });
  return new CommandLimits({ observation, action, safety }, RATE);
}

/** Two positions, commanded in another order than they are measured in. */
function pair() {
  const { observation, action, safety } = interfaceSchema.parse({
    task: 'leg',
    controlRate: RATE,
    observation: ['knee', 'hip'].map((joint) => ({ kind: 'jointPosition', joint })),
    action: ['hip', 'knee'].map((joint) => ({ kind: 'position', joint, limits: [-5, 5] })),
    safety: {
      joints: [
        { joint: 'knee', position: [-1.5, 1] },
        { joint: 'hip', position: [-3, 4] },
      ],
    },
  });
  return new CommandLimits({ observation, action, safety }, RATE);
}

test('range, rate, acceleration and jerk hold together on every tick, whatever is wanted and measured', () => {
  const next = generator(7);
  let slowed = 0;
  for (let round = 0; round < 300; round++) {
    const kind = (['position', 'velocity', 'effort'] as const)[round % 3];
    const rate = next() < 0.2 ? undefined : 10 ** (3 * next());
    const acceleration = 10 ** (1 + 4 * next());
    const jerk = next() < 0.5 ? undefined : acceleration * 10 ** (0.5 + 2 * next());
    const limits = arm(kind, {
      position: [-1.5, 2.5],
      commandRate: rate,
      commandAcceleration: acceleration,
      commandJerk: jerk,
      approachGain: next() < 0.5 ? undefined : 10 * next() + 0.1,
      effort: next() < 0.5 ? undefined : { limit: 5, stiffness: 20, damping: 1 },
    });
    const [low, high] = kind === 'position' ? [-1.5, 2.5] : [-2, 3];
    const most = (rate ?? Infinity) / RATE;
    const bend = acceleration / RATE ** 2;
    let before = limits.command[0];
    const twist = (jerk ?? Infinity) / RATE ** 3;
    let change = 0;
    let bent = 0;
    let target = 0;
    for (let tick = 0; tick < 500; tick++) {
      if (next() < 0.1) target = (next() - 0.5) * (next() < 0.2 ? 1e6 : 8);
      const wanted = next() < 0.3 ? (next() - 0.5) * 10 : target;
      limits.measure(
        Float64Array.of(next() < 0.05 ? Number.NaN : (next() - 0.5) * 6, (next() - 0.5) * 10),
        0,
      );
      if (next() < 0.005) {
        limits.restart();
        before = limits.command[0];
        change = 0;
        bent = 0;
      }
      limits.limit(Float64Array.of(wanted));
      const value = limits.command[0];
      const by = value - before;
      assert.ok(value >= low && value <= high, `${round}.${tick}: ${value} leaves the range`);
      assert.ok(Math.abs(by) <= most + 1e-9, `${round}.${tick}: changes by ${by}, allowed ${most}`);
      assert.ok(
        Math.abs(by - change) <= bend + 1e-9,
        `${round}.${tick}: the change changes from ${change} to ${by}, allowed ${bend}`,
      );
      assert.ok(
        Math.abs(by - change - bent) <= twist + 1e-9,
        `${round}.${tick}: that changes from ${bent} to ${by - change}, allowed ${twist}`,
      );
      if (Math.abs(by) < most && Math.abs(wanted - value) > 0.1) slowed++;
      bent = by - change;
      change = by;
      before = value;
    }
  }
  assert.ok(slowed > 10_000, 'the acceleration limit mattered');
});

test('a target that steps is reached without overshoot, and held', () => {
  for (const [acceleration, rate] of [
    [2, undefined],
    [50, 3],
    [50, undefined],
    [4000, undefined],
    [1e6, 5],
  ]) {
    const limits = arm('position', { commandAcceleration: acceleration, commandRate: rate });
    for (const goal of [2.9, -1.9, -1.89, 0.3, 3, -2]) {
      const from = limits.command[0];
      const sign = Math.sign(goal - from);
      let arrived = -1;
      for (let tick = 0; tick < 2000; tick++) {
        const before = limits.command[0];
        limits.limit(Float64Array.of(goal));
        const value = limits.command[0];
        assert.ok(sign * (goal - value) >= -1e-9, `beyond ${goal} at ${value}`);
        assert.ok(sign * (value - before) >= -1e-9, `back from ${before} to ${value} on the way to ${goal}`);
        if (arrived < 0 && Math.abs(value - goal) < 1e-9) arrived = tick;
      }
      // A plan that accelerates to the middle and brakes from there takes 2 sqrt(distance / acceleration).
      const distance = Math.abs(goal - from);
      const least = 2 * Math.sqrt(distance / acceleration!) + distance / (rate ?? Infinity);
      assert.ok(
        arrived >= 0 && arrived / RATE < 1.2 * least + 0.05,
        `${goal} after ${arrived} ticks, ${least} s`,
      );
    }
  }
});

test('what is within the limits passes unchanged', () => {
  const limits = arm('position', { commandRate: 5, commandAcceleration: 30 });
  for (let tick = 0; tick < 1000; tick++) {
    const wanted = 1.5 * (1 - Math.cos((3 * tick) / RATE)) - 0.001;
    const limited = limits.limit(Float64Array.of(wanted));
    if (tick > 20) {
      assert.equal(limited, 0);
      assert.ok(Math.abs(limits.command[0] - wanted) < 1e-12);
    }
  }
});

test('taken over anew, a command is at rest where it was put, whatever was wanted before', () => {
  const limits = arm('position', { commandRate: 5, commandAcceleration: 30, commandJerk: 600 });
  for (let tick = 0; tick < 7; tick++) limits.limit(Float64Array.of(3));
  limits.startAt(Float64Array.of(-1));
  for (let tick = 0; tick < 20; tick++) {
    assert.equal(limits.limit(Float64Array.of(-1)), 0);
    assert.equal(limits.command[0], -1);
  }
});

test('commands near a joint limit slow down, for as long as it is near, on both sides', () => {
  const near = arm('velocity', { position: [-1, 1.5], approachGain: 2 });
  for (const [position, most] of [
    [1.4, 0.2],
    [-0.9, -0.2],
  ]) {
    near.measure(Float64Array.of(position, 0), 0);
    for (let tick = 0; tick < 3; tick++) {
      assert.equal(near.limit(Float64Array.of(10 * most)), interventionBit('rate limit'));
      assert.ok(Math.abs(near.command[0] - most) < 1e-12, `${near.command[0]}`);
    }
    assert.equal(
      near.limit(Float64Array.of(-1.5 * Math.sign(most))),
      0,
      'away from the limit nothing is limited',
    );
  }

  const step = arm('position', { position: [-1, 1], approachGain: 2 });
  step.measure(Float64Array.of(0.9, 0), 0);
  step.restart();
  for (let tick = 1; tick < 4; tick++) {
    step.limit(Float64Array.of(3));
    assert.ok(Math.abs(step.command[0] - (0.9 + (tick * 2 * 0.1) / RATE)) < 1e-12, `${step.command[0]}`);
  }
});

test('an effort bounds how far a commanded position is from the measured one', () => {
  const effort = { limit: 10, stiffness: 100, damping: 5 };
  const drive = arm('position', { effort });
  drive.measure(Float64Array.of(1, 0.4), 0);
  assert.equal(drive.limit(Float64Array.of(2)), interventionBit('effort or range limit'));
  // 100 (q - 1) - 5 · 0.4 = ±10
  assert.ok(Math.abs(drive.command[0] - 1.12) < 1e-12);
  assert.equal(drive.limit(Float64Array.of(-2)), interventionBit('effort or range limit'));
  assert.ok(Math.abs(drive.command[0] - 0.92) < 1e-12);
  drive.measure(Float64Array.of(1, Number.NaN), 0);
  drive.limit(Float64Array.of(2));
  assert.ok(Math.abs(drive.command[0] - 1.12) < 1e-12, 'a speed that is not finite leaves the last one');
  const speed = arm('velocity', { effort });
  assert.equal(speed.limit(Float64Array.of(2)), 0);
});

test("each joint's effort is bounded by its own speed", () => {
  const joints = ['knee', 'hip'];
  const effort = { limit: 10, stiffness: 100, damping: 5 };
  const { observation, action, safety } = interfaceSchema.parse({
    task: 'leg',
    controlRate: RATE,
    observation: joints.map((joint) => ({ kind: 'jointPosition', joint })),
    action: joints.map((joint) => ({ kind: 'position', joint, limits: [-5, 5] })),
    safety: { joints: joints.map((joint) => ({ joint, effort })) },
  });
  const leg = new CommandLimits({ observation, action, safety }, RATE);
  leg.measure(Float64Array.of(0, 0, 0.4, -0.8), 0);
  leg.limit(Float64Array.of(2, 2));
  // 100 q - 5 v = 10
  for (const [i, most] of [0.12, 0.06].entries()) assert.ok(Math.abs(leg.command[i] - most) < 1e-12);
});

test('an effort has no limits of a position or a speed', () => {
  const limits = arm('effort', { position: [-0.1, 0.1], velocity: 0.5, approachGain: 1 });
  assert.equal(limits.limit(Float64Array.of(3)), 0);
  assert.deepEqual([...limits.command], [3]);
});

test('a rate alone holds up and down', () => {
  const limits = arm('effort', { commandRate: 50 });
  for (const goal of [3, -2]) {
    let before = limits.command[0];
    while (before !== goal) {
      const limited = limits.limit(Float64Array.of(goal));
      const [value] = limits.command;
      const by = Math.sign(goal) * Math.min(50 / RATE, Math.abs(goal - before));
      assert.ok(Math.abs(value - before - by) < 1e-12, `from ${before} to ${value}`);
      assert.equal(limited, value === goal ? 0 : interventionBit('rate limit'));
      before = value;
    }
  }
});

test('what is not finite is refused as a whole, and changes nothing', () => {
  const limits = pair();
  limits.limit(Float64Array.of(0.5, 0.25));
  for (const wanted of [
    [Number.NaN, 1],
    [1, Number.NaN],
    [Infinity, 1],
  ]) {
    assert.equal(limits.limit(Float64Array.from(wanted)), -1);
    assert.deepEqual([...limits.command], [0.5, 0.25]);
  }
});

test('each command has the limits and the measurement of its own joint', () => {
  const limits = pair();
  // Positions of knee, hip, then their speeds.
  limits.measure(Float64Array.of(-1, 2, 0, 0), 0);
  assert.deepEqual([...limits.safe], [2, -1]);
  limits.measure(Float64Array.of(Number.NaN, 3, 0, 0), 0);
  assert.deepEqual([...limits.safe], [3, -1], 'one that is not finite leaves the last one');
  assert.equal(limits.limit(Float64Array.of(9, -9)), interventionBit('effort or range limit'));
  assert.deepEqual([...limits.command], [4, -1.5]);
  assert.deepEqual(
    [...limits.limited],
    [interventionBit('effort or range limit'), interventionBit('effort or range limit')],
  );
  limits.limit(Float64Array.of(9, -1));
  assert.deepEqual([...limits.limited], [interventionBit('effort or range limit'), 0]);
});

test('an acceleration that never crosses the range is refused as a slip', () => {
  assert.throws(() => arm('effort', { commandAcceleration: 1e-12 }), FarsightError);
});

test('a jerk limit without an acceleration limit, or one that comes seconds late, is refused', () => {
  assert.throws(() => arm('position', { commandJerk: 10 }), /commandJerk needs a commandAcceleration/);
  assert.throws(() => arm('position', { commandAcceleration: 100, commandJerk: 10 }), /10\.0 s late/);
});
