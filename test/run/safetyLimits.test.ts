// Limits derived from training: exact on small data, wide enough for all of it, and never in the way of what a task states.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandLimits } from '../../contract/commandLimits.js';
import type { Manifest } from '../../contract/manifest.js';
import { interfaceSchema, safetySchema } from '../../contract/terms.js';
import type { Episode } from '../../trainer/mpdp/evaluate.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { deriveSafety } from '../../trainer/run/safetyLimits.js';
import type { Task } from '../../trainer/sim/task.js';

const RATE = 64;
const position = (joint: string) => ({ kind: 'jointPosition', joint });
const velocity = (joint: string) => ({ kind: 'jointVelocity', joint });

function taskOf(changes: object = {}, jointRanges: Record<string, [number, number]> = {}): Task {
  const parsed = interfaceSchema.parse({
    task: 'synthetic',
    controlRate: RATE,
    observation: [position('arm'), velocity('arm')],
    action: [{ kind: 'effort', joint: 'arm', limits: [-1, 1] }],
    safety: {},
    ...changes,
  });
  return {
    ...parsed,
    name: parsed.task,
    jointRanges: new Map(Object.entries(jointRanges)),
  } as unknown as Task;
}

/** Consecutive transitions through each of the trajectories `[steps][n]`. */
function replayOf(trajectories: readonly (readonly number[][])[]): Replay {
  const replay = new Replay(trajectories[0][0].length, 1, 10_000);
  for (const trajectory of trajectories) {
    for (let i = 1; i < trajectory.length; i++) {
      replay.add({
        observation: Float32Array.from(trajectory[i - 1]),
        action: Float32Array.of(0),
        reward: 0,
        next: Float32Array.from(trajectory[i]),
        terminal: false,
      });
    }
  }
  return replay;
}

const episode = (observations: readonly number[][], actions: readonly number[] = []): Episode => ({
  observations: observations.map((one) => Float32Array.from(one)),
  actions: actions.map((one) => Float32Array.of(one)),
});

interface Seen {
  trained?: number[][][];
  shown?: Episode[];
  sd?: number;
  parent?: Manifest;
}

function derive(
  task: Task,
  { trained = [[task.observation.map(() => 0)]], shown = [], sd = 1, parent }: Seen,
) {
  const statistics = { mean: task.observation.map(() => 0), sd: task.observation.map(() => sd) };
  const derived = deriveSafety(task, { replay: replayOf(trained), evaluated: shown, statistics }, parent);
  safetySchema.parse(derived.safety);
  return derived;
}

const limitsOf = (task: Task, seen: Seen, joint = 'arm') =>
  derive(task, seen).safety.joints.find((entry) => entry.joint === joint);

/** A joint that goes from one place to another at 1/64 a step: 1 rad/s. */
const way = (from: number, to: number, speed = 1): number[][] => {
  const steps = Math.abs(to - from) * RATE;
  return Array.from({ length: steps + 1 }, (_, i) => [from + (Math.sign(to - from) * i) / RATE, speed]);
};

test('a joint with a range: that, a twentieth and twice what was seen beyond; twice the speed, four times for a jump', () => {
  // 1/16 beyond a soft limit.
  assert.deepEqual(limitsOf(taskOf({}, { arm: [-1, 1] }), { trained: [way(0, 1.0625, 1.5)] }), {
    joint: 'arm',
    velocity: 3,
    position: [-1.1, 1.1 + 2 * 0.0625],
    jumpMargin: 2,
    jumpAllowance: 0.005 * 1.0625,
    stuckTimeout: 1,
  });
});

test('a joint without a range: what was seen in training and evaluation, half as wide again at each end', () => {
  const seen = { trained: [way(-0.5, 0.5), way(0.25, 0)], shown: [episode(way(0.5, 1.5))] };
  assert.deepEqual(limitsOf(taskOf(), seen)?.position, [-1.5, 2.5]);
  assert.deepEqual(
    limitsOf(taskOf(), {
      trained: [
        [
          [3, 0],
          [3, 0],
        ],
      ],
    })?.position,
    [2.99, 3.01],
  );
});

test('a joint of which no position is observed, and one without velocity, get what a robot measures anyway', () => {
  const task = taskOf({ observation: [position('arm'), velocity('base')] }, { base: [-1, 1] });
  const trained = [way(0, 1, 2)];
  assert.deepEqual(limitsOf(task, { trained }, 'base'), { joint: 'base', velocity: 4 });
  assert.deepEqual(limitsOf(task, { trained }), { joint: 'arm', position: [-0.5, 1.5], stuckTimeout: 1 });
});

test('a sensor may stand still three times as long as it did; a joint that rests, for ever', () => {
  const stuck = (...seen: number[][][]) => limitsOf(taskOf(), { trained: seen })?.stuckTimeout;
  assert.equal(stuck(way(0, 1)), 1);
  const resting = (seconds: number) => [
    ...way(0, 0.5),
    ...Array.from({ length: seconds * RATE }, () => [0.5, 0]),
  ];
  assert.equal(stuck(resting(1)), 3);
  assert.equal(stuck(resting(4)), undefined);
  // Still at the end of one episode and at the beginning of another is not still between them.
  assert.equal(stuck(resting(1), resting(1)), 3);
  const shown = limitsOf(taskOf(), { trained: [way(0, 1)], shown: [episode(resting(1))] });
  assert.equal(shown?.stuckTimeout, 3, 'without the noise of exploration it may rest');
});

test('scale, offset and clip: limits are of what is measured; where that was cut off, positions tell the speed', () => {
  const scaled = taskOf({ observation: [{ ...position('arm'), scale: 2, offset: 1 }] });
  assert.deepEqual(limitsOf(scaled, { trained: [way(-2, 2)] })?.position, [-1, 3]);
  const clipped = [position('arm'), { ...velocity('arm'), clip: 0.25 }];
  assert.equal(limitsOf(taskOf({ observation: clipped }), { trained: [way(0, 1, 0.25)] })?.velocity, 2);
  const blind = taskOf({ observation: clipped.slice(1) });
  assert.equal(limitsOf(blind, { trained: [[[0.125], [0.25]]] }), undefined);
  const near = taskOf({ observation: [{ ...position('arm'), clip: 0.5 }, velocity('arm')] });
  assert.equal(limitsOf(near, { trained: [way(0, 0.5)] })?.position, undefined);
});

test('no command that was possible in training is limited by what is derived', () => {
  for (const kind of ['position', 'velocity']) {
    const task = taskOf({ action: [{ kind, joint: 'arm', limits: [-5, 7] }] }, { arm: [-1, 1] });
    const { safety } = derive(task, { trained: [way(0, 0.5, 0.5)] });
    const [own, derived] = [task.safety, safety].map(
      (one) => new CommandLimits({ ...task, safety: one }, RATE),
    );
    for (const wanted of [-5, 7, 0]) {
      assert.equal(derived.limit(Float64Array.of(wanted)), own.limit(Float64Array.of(wanted)));
      assert.deepEqual(derived.command, own.command);
    }
  }
});

test('what the task states stays, field by field; a bound stands for a position; 1e9 switches off', () => {
  const stated = {
    joints: [{ joint: 'arm', velocity: 6, stuckTimeout: 1e9, commandRate: 50 }],
    outOfDistribution: { limit: 3, steps: 4 },
    sensorTimeout: 0.2,
    blendTime: 1,
  };
  const trained = [way(0, 1)];
  const { safety, derivedLimits } = derive(taskOf({ safety: stated }), { trained });
  assert.deepEqual(safety, {
    ...safetySchema.parse(stated),
    joints: [{ ...stated.joints[0], position: [-0.5, 1.5], jumpMargin: 1, jumpAllowance: 0.005 }],
    limiting: { share: 0.8, steps: 64 },
  });
  assert.deepEqual(derivedLimits, ['arm position', 'arm jumpMargin', 'arm jumpAllowance', 'limiting']);

  const jump = { joints: [{ joint: 'arm', velocity: 6, jumpMargin: 3 }] };
  assert.equal(limitsOf(taskOf({ safety: jump }), { trained })?.jumpAllowance, undefined);

  const bounds = [
    { term: 'jointPosition arm', range: [-2, 2] },
    { term: 'jointVelocity arm', range: [-9, 8] },
  ];
  const bounded = limitsOf(taskOf({ safety: { bounds } }), { trained });
  assert.deepEqual([bounded?.position, bounded?.velocity], [undefined, 9]);
});

test('out of distribution: twice what one observation in a thousand exceeds, of training or evaluation', () => {
  const scores = (highest: number) => Array.from({ length: 2049 }, (_, i) => [(i * highest) / 2048, 0]);
  // The 2046th of 2049, twice over, in deviations of a half.
  const most = (2 * 2 * 2 * 2045) / 2048;
  const limit = (seen: Seen) => derive(taskOf(), { ...seen, sd: 0.5 }).safety.outOfDistribution;
  assert.deepEqual(limit({ trained: [scores(2)] }), { limit: most, steps: 13 });
  assert.deepEqual(limit({ trained: [scores(1)] }), { limit: 6, steps: 13 });
  const evaluation = limit({ trained: [scores(1)], shown: [episode(scores(2))] });
  assert.deepEqual(evaluation, { limit: most, steps: 13 });
});

test('limited too long: most of a second, unless evaluation is limited that much itself', () => {
  const places = way(0, 2);
  const limiting = (actions: number[], safety: object = {}) =>
    derive(taskOf({ safety }), { shown: [episode(places, actions)] }).safety.limiting;
  const toggling = places.slice(1).map((_, i) => (i % 2 === 0 ? 1 : -1));
  // At the actuator's limits, and no limit of the change: nothing is limited.
  assert.deepEqual(limiting(toggling), { share: 0.8, steps: 64 });
  // A change that is over before the next step of 1/64 s is no limited step; one that takes longer is.
  assert.deepEqual(limiting(toggling, { joints: [{ joint: 'arm', commandRate: 1024 }] }), {
    share: 0.8,
    steps: 64,
  });
  const rate = { joints: [{ joint: 'arm', commandRate: 48 }] };
  assert.equal(limiting(toggling, rate), undefined);
  const seldom = toggling.map((_, i) => (i % 32 < 16 ? 1 : -1));
  assert.deepEqual(limiting(seldom, rate), { share: 0.8, steps: 64 });
  const often = toggling.map((action, i) => (i % 64 < 48 ? action : toggling[47]));
  assert.deepEqual(limiting(often, rate), { share: (1 + 49 / 64) / 2, steps: 64 });
});

test('of a policy refined from another, no derived limit is tighter, and what the other lacks stays away', () => {
  const task = taskOf({}, { arm: [-1, 1] });
  const manifestOf = (derived: object) => derived as Manifest;
  const wide = derive(task, { trained: [way(-2, 1, 3)], sd: 0.125 });
  const narrow = { trained: [way(0, 0.5)] };
  assert.deepEqual(derive(task, { ...narrow, parent: manifestOf(wide) }), wide);
  const old = { ...wide, derivedLimits: undefined };
  assert.deepEqual(derive(task, { ...narrow, parent: manifestOf(old) }), derive(task, narrow));

  const [{ stuckTimeout: _, ...rest }] = wide.safety.joints;
  const resting = { ...wide, safety: { ...wide.safety, joints: [rest] } };
  assert.deepEqual(derive(task, { ...narrow, parent: manifestOf(resting) }).safety.joints, [rest]);
  const changed = taskOf({ safety: { joints: [{ joint: 'arm', velocity: 5 }] } }, { arm: [-1, 1] });
  assert.equal(derive(changed, { ...narrow, parent: manifestOf(wide) }).safety.joints[0].velocity, 5);
});

test('numbers that are none do not become limits', () => {
  const { safety } = derive(taskOf(), { trained: [[...way(0, 1), [Number.NaN, Infinity]]] });
  assert.deepEqual(safety.joints[0].position, [-0.5, 1.5]);
  assert.equal(safety.joints[0].velocity, 2);
  assert.deepEqual(safety.outOfDistribution, { limit: 6, steps: 13 });
});
