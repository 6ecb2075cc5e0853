// A loop that acts: the policy's rate, no jump between holding and acting, and what each tick tells of itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countsOf, FLAG, MODES, ROW, reportOf, rowLayout, statusOf, WORD } from '../../contract/loop.js';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { threeJoints } from '../fixtures/policy.js';
import { steppedLoop } from '../fixtures/steppedLoop.js';
import { activate, flagsOf, late, lift, RATE, step } from './lift.js';

test('a policy keeps its rate in time, however many ticks are missed', () => {
  for (const controlRate of [25, 100]) {
    const stepped = steppedLoop(
      { ...lift({ missed: { longest: 1, share: 1 }, sensorTimeout: 1 }), controlRate },
      RATE,
      (action) => action.fill(0.9),
    );
    step(stepped);
    activate(stepped);
    const every = 1e9 / controlRate;
    let last = -Infinity;
    for (let i = 0; i < 1000; i++) {
      late(stepped, (i * 7) % 5 === 0 ? 0 : ((i * 13) % 4) * (1e9 / RATE), () => step(stepped));
      if ((stepped.row()[ROW.flags] & FLAG.policyStep) === 0) continue;
      const scheduled = stepped.row()[ROW.scheduled] * 1e9;
      assert.ok(scheduled - last >= every * (1 - 1e-6), `a step after ${(scheduled - last) / 1e6} ms`);
      assert.ok(last === -Infinity || scheduled - last < every + 5e9 / RATE, 'none is left out');
      last = scheduled;
    }
  }
});

test('from hold to the policy and back the command blends, and after an emergency stop it begins where the robot is', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(1.5), { blendTime: 0.1 });
  const { words, loop, sense, command } = stepped;
  const tick = (position: number) => {
    sense([position]);
    loop.tick();
    return command()[0];
  };
  const near = (value: number, expected: number) =>
    assert.ok(Math.abs(value - expected) < 1e-9, `${value}, not ${expected}`);
  tick(0.5);
  words[WORD.activate] = 1;
  for (let i = 1; i <= 60; i++) near(tick(0.5), 0.5 + Math.min(1, i / 50));
  words[WORD.activate] = 0;
  // Holding is holding where the robot was then: its own drive lagged behind the command.
  for (let i = 1; i <= 60; i++) near(tick(i === 1 ? 1.4 : 1.3), 1.5 - 0.1 * Math.min(1, i / 50));
  // Half way in, and out again.
  words[WORD.activate] = 1;
  let last = 0;
  for (let i = 1; i <= 25; i++) last = tick(1.4);
  near(last, 1.45);
  words[WORD.activate] = 0;
  near(tick(1.4), 1.449);

  stepped.stop.press();
  near(tick(1.4), 1.4);
  tick(-0.7);
  stepped.rearm();
  near(tick(-0.7), -0.7);
  words[WORD.activate] = 1;
  near(tick(-0.71), -0.7 + 2.2 / 50);
});

test('a slower policy: linear interpolation goes from action to action, arrives with the next, never goes beyond', () => {
  let steps = 0;
  const actions = [1, -1, -1, 0.5, 1.5];
  const act = (action: Float32Array) => action.fill(actions[steps++ % actions.length]);
  const stepped = steppedLoop(lift(), RATE, act, { interpolation: 'linear' });
  stepped.sense([0]);
  stepped.loop.tick();
  stepped.words[WORD.activate] = 1;
  const layout = rowLayout(2, 1);
  for (let i = 0; i < 50; i++) {
    stepped.sense([0]);
    stepped.loop.tick();
    const row = stepped.row();
    const k = Math.floor(i / 5);
    const from = k === 0 ? 0 : actions[(k - 1) % actions.length];
    const to = actions[k % actions.length];
    assert.equal((row[ROW.flags] & FLAG.policyStep) !== 0, i % 5 === 0);
    assert.equal(row[layout.action], to, 'the recorded action is the policy’s');
    assert.ok(
      Math.abs(row[layout.command] - (from + ((to - from) * ((i % 5) + 1)) / 5)) < 1e-12,
      `tick ${i}`,
    );
  }
});

test('a tick tells of an episode’s end, and of a new start, as the robot does', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9));
  const flags = (terminal: number, resets: number) => {
    stepped.sense([0.5], [0], resets);
    stepped.link.sensors.read()[SENSOR.terminal] = terminal;
    stepped.loop.tick();
    return stepped.row()[ROW.flags] & (FLAG.terminal | FLAG.reset);
  };
  assert.deepEqual([flags(0, 0), flags(1, 0), flags(0, 1), flags(0, 1)], [0, FLAG.terminal, FLAG.reset, 0]);
});

test('a command carries the time at which its limits were done, in seconds, and the mode', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9));
  step(stepped);
  activate(stepped);
  const begin = stepped.now();
  step(stepped);
  const cell = stepped.link.commands.read();
  assert.ok(cell[COMMAND.stamp] > begin / 1e9 && cell[COMMAND.stamp] <= stepped.now() / 1e9);
  assert.equal(MODES[cell[COMMAND.mode]], 'policy');
});

test('a tick tells how far its observation is from training', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0));
  stepped.sense([0.5], [-2]);
  stepped.loop.tick();
  const row = stepped.row();
  assert.deepEqual([row[ROW.largestScore], row[ROW.meanScore]], [2, 1.25]);
  assert.equal(stepped.words[WORD.score], 2000);
  stepped.sense([0.5], [-0.25]);
  stepped.loop.tick();
  assert.deepEqual([stepped.row()[ROW.largestScore], stepped.row()[ROW.meanScore]], [0.5, 0.375]);
});

test('interventions are counted for each joint', () => {
  // The hip is pushed to its range and too fast, the knee too fast; the wheel is asked for nothing.
  const stepped = steppedLoop(threeJoints, RATE, (action) => action.set([9, 1, 0]));
  const { view } = stepped;
  const position = (i: number) => [0.1, 0, 0].map((value) => value + 1e-6 * Math.sin(i));
  for (let i = 0; i < 20; i++) {
    stepped.words[WORD.activate] = 1;
    stepped.sense(position(i));
    stepped.loop.tick();
  }
  const { interventions, interventionsByJoint } = reportOf(view);
  const ticks = interventions['rate limit'];
  assert.ok(ticks > 10);
  assert.deepEqual(interventionsByJoint, {
    hip: { 'effort or range limit': ticks, 'rate limit': ticks },
    knee: { 'rate limit': ticks },
  });
});

test('counts go on where 32 bits end', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(9));
  step(stepped);
  activate(stepped);
  const counts = countsOf(stepped.words);
  counts.fill(2 ** 31);
  for (let i = 0; i < 10; i++) step(stepped);
  late(stepped, 2e6, () => step(stepped));
  const { ticks, missed, interventions } = statusOf(stepped.view);
  assert.equal(ticks, 2 ** 31 + 11);
  assert.equal(missed, 2 ** 31 + 1);
  assert.equal(interventions['effort or range limit'], 2 ** 31 + 11);
});

test('a tick tells of the ticks that were missed before it, asleep or at work', () => {
  const stepped = steppedLoop(lift({ missed: { longest: 1, share: 1 } }), RATE, (action) => action.fill(0.9));
  const period = 1e9 / RATE;
  step(stepped);
  activate(stepped);
  const told = () => {
    const row = stepped.row();
    return [row[ROW.tick], row[ROW.missed], flagsOf(stepped).flags.includes('gap')];
  };
  const [tick] = told() as [number];
  late(stepped, 3.5 * period, () => step(stepped));
  assert.deepEqual(told(), [tick + 4, 3, true]);
  step(stepped);
  assert.deepEqual(told(), [tick + 5, 0, false]);
  // Four or five stamps in a tick: it takes more than two periods.
  stepped.delay(0, 0.55 * period);
  step(stepped);
  stepped.delay(0, 0);
  assert.deepEqual(told(), [tick + 6, 0, false]);
  step(stepped);
  assert.deepEqual(told(), [tick + 9, 2, true]);
  step(stepped);
  assert.deepEqual(told(), [tick + 10, 0, false]);
  const { missed, longestMiss } = statusOf(stepped.view);
  assert.deepEqual([missed, longestMiss], [5, 3]);
});

test('a new start of the robot is a step of the policy at once', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9));
  step(stepped);
  activate(stepped);
  const steps = (resets: number) => {
    stepped.sense([0.5], [0], resets);
    stepped.loop.tick();
    return flagsOf(stepped).flags.includes('policyStep');
  };
  while (!steps(0));
  assert.deepEqual([1, 1, 1, 1, 1, 1].map(steps), [true, false, false, false, false, true]);
});
