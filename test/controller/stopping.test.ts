// The ends of acting: after a stop, a shutdown or a deactivation the last commands are the safe ones, and then none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS, MODES, WORD } from '../../contract/loop.js';
import { COMMAND } from '../../contract/robot.js';
import { checkStopTime } from '../../contract/stopTime.js';
import { interfaceSchema } from '../../contract/terms.js';
import { threeJoints } from '../fixtures/policy.js';
import { steppedLoop } from '../fixtures/steppedLoop.js';
import { activate, lift, RATE, step } from './lift.js';

/** The first joint's commands from here to the end of the loop. */
function sentAtEnd(stepped: ReturnType<typeof steppedLoop>): number[] {
  const sent: number[] = [];
  const { publish } = stepped.link.commands;
  stepped.link.commands.publish = function () {
    sent.push(this.writable[COMMAND.vectors]);
    publish.call(this);
  };
  stepped.words[WORD.stop] = 1;
  stepped.loop.run();
  return sent;
}

test('at the end the safe command is repeated for 50 ms, at the loop’s rate', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9));
  const { loop, link, words } = stepped;
  step(stepped);
  activate(stepped);
  const { publish } = link.commands;
  const sent: { at: number; mode: string; command: number }[] = [];
  link.commands.publish = () => {
    const cell = link.commands.writable;
    sent.push({
      at: cell[COMMAND.stamp],
      mode: MODES[cell[COMMAND.mode]],
      command: cell[COMMAND.vectors],
    });
    publish.call(link.commands);
  };
  words[WORD.stop] = 1;
  loop.run();
  assert.equal(sent.length, 25);
  for (const [i, { at, mode, command }] of sent.entries()) {
    assert.deepEqual([mode, Math.round(1e3 * command)], ['damping', 500]);
    if (i > 0)
      assert.ok(Math.abs(at - sent[i - 1].at - 1 / RATE) < 1e-6, `${i}: ${at - sent[i - 1].at} s later`);
  }
});

test('the last command is the safe one, however smooth the way to it has to be', () => {
  const { task, controlRate, observation, action } = lift();
  const effort = [{ ...action[0], kind: 'effort' as const }];
  const smooth = { joint: 'lift', commandRate: 400, commandAcceleration: 4000, commandJerk: 80_000 };
  const stepped = steppedLoop(
    interfaceSchema.parse({ task, controlRate, observation, action: effort, safety: { joints: [smooth] } }),
    RATE,
    (asked) => asked.fill(1.5),
  );
  step(stepped);
  activate(stepped);
  for (let i = 0; i < 200; i++) step(stepped);
  assert.ok(Math.abs(stepped.command()[0] - 1.5) < 1e-6);
  const sent = sentAtEnd(stepped);
  assert.ok(sent.length > 10 && sent.every((command) => command === 0), `${sent}`);
});

test('at the end a velocity comes to rest within its limits before the safe command is repeated', () => {
  const { task, controlRate, observation, action } = lift();
  const stepped = steppedLoop(
    interfaceSchema.parse({
      ...{ task, controlRate, observation },
      action: [{ ...action[0], kind: 'velocity' }],
      safety: { joints: [{ joint: 'lift', commandRate: 10 }] },
    }),
    RATE,
    (asked) => asked.fill(1.5),
  );
  step(stepped);
  activate(stepped);
  for (let i = 0; i < 200; i++) step(stepped);
  const sent = [stepped.command()[0], ...sentAtEnd(stepped)];
  assert.equal(sent[0], 1.5);
  assert.ok(sent.slice(1).every((now, i) => Math.abs(now - sent[i]) <= 10 / RATE + 1e-12));
  assert.ok(sent.slice(-25).every((command) => command === 0) && sent.length < 75 + 30, `${sent.length}`);
});

test('a stop: efforts go at once, others within their limits and in time, and rearming makes no jump', () => {
  const limited = { commandRate: 4, commandAcceleration: 40 };
  const joints = [
    { joint: 'hip', commandRate: 1 },
    { joint: 'knee', ...limited },
    { joint: 'wheel', commandRate: 40, commandAcceleration: 400 },
  ];
  const task = { ...threeJoints, safety: { ...threeJoints.safety, joints } };
  const stepped = steppedLoop(task, RATE, (action) => action.set([3, 2, 20]));
  const position = [0.1, -0.5, 0];
  const tick = () => {
    stepped.sense(position.map((value) => value + 1e-9 * Math.sin(stepped.now())));
    stepped.loop.tick();
    return stepped.command();
  };
  tick();
  stepped.words[WORD.activate] = 1;
  for (let i = 0; i < 5000; i++) tick();
  let before = stepped.command();
  assert.ok(before[0] > 2.9 && before[1] > 1.9 && before[2] > 19.9);
  stepped.stop.press();
  for (let i = 0; i < RATE; i++) {
    const now = tick();
    assert.equal(now[0], 0, 'the effort, in the first tick');
    assert.ok(
      Math.abs(now[1] - before[1]) <= 4 / RATE + 1e-12 && Math.abs(now[2] - before[2]) <= 40 / RATE + 1e-12,
    );
    before = now;
  }
  assert.ok(Math.abs(before[1] + 0.5) < 1e-6 && before[2] === 0, `${before}`);
  // Rearmed in the middle of the way down, the command goes on from where it is.
  stepped.rearm();
  tick();
  stepped.words[WORD.activate] = 1;
  for (let i = 0; i < 1000; i++) tick();
  stepped.stop.press();
  for (let i = 0; i < 100; i++) before = tick();
  stepped.rearm();
  for (let i = 0; i < 100; i++) {
    const now = tick();
    assert.ok(
      Math.abs(now[1] - before[1]) <= 4 / RATE + 1e-12 && Math.abs(now[2] - before[2]) <= 40 / RATE + 1e-12,
    );
    before = now;
  }
});

test('a task whose commands do not come to rest in time is refused, or stops at once by its own wish', () => {
  const { task, controlRate, observation, action } = lift();
  const check = (kind: 'effort' | 'velocity' | 'position', joint: object) =>
    checkStopTime(
      interfaceSchema.parse({
        task,
        controlRate,
        observation,
        action: [{ ...action[0], kind, limits: [-3, 3] }],
        safety: { joints: [{ joint: 'lift', ...joint }] },
      }),
      RATE,
    );
  check('effort', { commandRate: 1 });
  check('position', { commandRate: 1 });
  check('velocity', { commandRate: 3.1 });
  check('velocity', { commandRate: 1, stop: 'immediate' });
  const slow =
    /joint 'lift' 3\.0 s from a (effort|velocity) of -3 to 0, longer than the 1 s .* set its stop to 'immediate'/;
  assert.throws(() => check('velocity', { commandRate: 1 }), slow);
  assert.throws(() => check('effort', { commandRate: 1, stop: 'limited' }), slow);
  assert.throws(() => check('velocity', { commandRate: 6, commandAcceleration: 8 }), /longer than the 1 s/);
});

test('a controller that is not in charge is silent: before its activation, and a second after its last safe command', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9), {
    whenInactive: 'silent',
    blendTime: 0.1,
  });
  const { words, link } = stepped;
  let sent = 0;
  const { publish } = link.commands;
  link.commands.publish = function () {
    sent++;
    publish.call(this);
  };
  const ticks = (count: number) => {
    sent = 0;
    for (let i = 0; i < count; i++) step(stepped);
    return sent;
  };
  assert.equal(ticks(100), 0);
  stepped.stop.press();
  assert.equal(ticks(100), 0, 'a stop of a robot that is not ours');
  stepped.rearm();
  assert.equal(ticks(100), 0);
  words[WORD.activate] = 1;
  assert.equal(ticks(100), 100);
  words[WORD.activate] = 0;
  const leaving = ticks(2 * RATE);
  assert.ok(leaving >= RATE && leaving <= 1.2 * RATE, `${leaving} commands after deactivation`);
  assert.equal(ticks(100), 0);
  words[WORD.activate] = 1;
  step(stepped, -0.3);
  assert.ok(Math.abs(stepped.command()[0] - (-0.3 + 1.2 / 50)) < 1e-4, 'it begins where the robot is');
  ticks(100);
  stepped.stop.press();
  assert.ok(Math.abs(ticks(2 * RATE) - RATE) <= 2, 'the safe command for a second');
  words[WORD.stop] = 1;
  sent = 0;
  stepped.loop.run();
  assert.equal(sent, 0);
});

test('a loop on standby writes nothing', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9));
  stepped.words[WORD.standby] = 1;
  stepped.link.commands.publish = () => assert.fail('it wrote');
  for (let i = 0; i < 20; i++) step(stepped);
});

test('a loop ticks until it is told to stop, or fails; either way the safe command is the last', () => {
  for (const end of ['told', 'failed']) {
    let steps = 0;
    const stepped = steppedLoop(lift(), RATE, (action) => {
      action.fill(0.9);
      steps++;
      if (steps === 10 && end === 'told') stepped.words[WORD.stop] = 1;
    });
    const { loop, link, words } = stepped;
    step(stepped);
    activate(stepped);
    const { read } = link.sensors;
    link.sensors.read = () => {
      if (steps === 10 && end === 'failed') throw new Error('the wire');
      stepped.sense([0.5 + 1e-6 * Math.sin(stepped.now())]);
      return read.call(link.sensors);
    };
    if (end === 'told') loop.run();
    else assert.throws(() => loop.run(), /the wire/);
    link.sensors.read = read;
    assert.deepEqual([steps, words[WORD.stop]], [10, end === 'told' ? 1 : 0]);
    const cell = link.commands.read();
    assert.equal(MODES[cell[COMMAND.mode]], 'damping');
    assert.ok(Math.abs(cell[COMMAND.vectors] - 0.5) < 1e-5);
  }
});

test('a controller that holds says nothing before it has heard the robot, but when it is latched', () => {
  const written = (initialFault?: number) => {
    const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9), { initialFault });
    let count = 0;
    stepped.link.commands.publish = () => count++;
    for (let i = 0; i < 5; i++) stepped.loop.tick();
    const before = count;
    for (let i = 0; i < 5; i++) step(stepped);
    return [before, count - before];
  };
  assert.deepEqual(written(), [0, 5]);
  assert.deepEqual(written(FAULTS.indexOf('emergency stop')), [5, 5]);
});
