// The loop's ways to be safe, tick by tick: every fault at once and until rearmed, no jump between holding and acting.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  countsOf,
  FAULTS,
  type Fault,
  FLAG,
  MODES,
  ROW,
  reportOf,
  rowLayout,
  statusOf,
  WORD,
} from '../../contract/loop.js';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { checkStopTime } from '../../contract/stopTime.js';
import { interfaceSchema } from '../../contract/terms.js';
import { threeJoints } from '../fixtures/policy.js';
import { type SteppedLoop, steppedLoop } from '../fixtures/steppedLoop.js';

const RATE = 500;

function lift(safety: object = {}) {
  return interfaceSchema.parse({
    task: 'lift',
    controlRate: 100,
    observation: [
      { kind: 'jointPosition', joint: 'lift' },
      { kind: 'jointVelocity', joint: 'lift' },
    ],
    action: [{ kind: 'position', joint: 'lift', limits: [-2, 2] }],
    safety,
  });
}

/** One tick with a measurement that moves by as little as a real one. */
function step(stepped: SteppedLoop, position = 0.5, velocity = 0): void {
  stepped.sense([position + 1e-6 * Math.sin(stepped.now())], [velocity]);
  stepped.loop.tick();
}

/** Ticks until the policy acts. */
function activate(stepped: SteppedLoop, position?: number): void {
  stepped.words[WORD.activate] = 1;
  for (let i = 0; i < 3; i++) step(stepped, position);
  assert.equal(stepped.mode(), 'policy');
}

const safety = {
  joints: [{ joint: 'lift', position: [-1, 1], velocity: 4, jumpMargin: 1.5, stuckTimeout: 0.0199 }],
  bounds: [{ term: 'jointVelocity lift', range: [-3, 3] }],
  outOfDistribution: { limit: 2.5, steps: 1 },
  missed: { longest: 0.01, share: 1, window: 1 },
};
/** Ticks once with the loop late by `late` ns. */
function late(stepped: SteppedLoop, late: number, act: () => void): void {
  stepped.delay(late, 0);
  act();
  stepped.delay(0, 0);
}
function ask(stepped: SteppedLoop, word: number, value: number): void {
  stepped.words[word] = value;
  step(stepped);
}

/** What makes each fault, in the tick after which it must be latched. */
const causes: Partial<Record<Fault, [mode: string, cause: (stepped: SteppedLoop) => void]>> = {
  'observation not finite': ['fault', (stepped) => step(stepped, Number.NaN)],
  'sensor stale': ['fault', (stepped) => late(stepped, 2e8, () => stepped.loop.tick())],
  'sensor stamp went backward': [
    'fault',
    ({ loop, link, sense }) => {
      sense([0.5]);
      link.sensors.read()[SENSOR.stamp] -= 0.01;
      loop.tick();
    },
  ],
  'position limit': ['damping', (stepped) => step(stepped, 1.1)],
  'velocity limit': ['damping', (stepped) => step(stepped, 0.5, 4.1)],
  'missed ticks': ['damping', (stepped) => late(stepped, 1.1e7, () => step(stepped))],
  'emergency stop': [
    'damping',
    (stepped) => {
      stepped.stop.press();
      step(stepped);
    },
  ],
  'management lost': ['damping', (stepped) => ask(stepped, WORD.trip, FAULTS.indexOf('management lost'))],
  unknown: ['damping', (stepped) => ask(stepped, WORD.trip, 99)],
  'sensor jump': ['fault', (stepped) => step(stepped, 0.513)],
  'sensor stuck': [
    'fault',
    ({ loop, sense, mode }) => {
      for (let i = 0; i < 11; i++) {
        assert.equal(mode(), 'policy');
        sense([0.5]);
        loop.tick();
      }
    },
  ],
  'workspace limit': ['damping', (stepped) => step(stepped, 0.5, 3.1)],
  'out of distribution': [
    'damping',
    (stepped) => {
      // The next step of the policy may be some ticks away.
      for (let i = 0; i < 5; i++) step(stepped, 0.5, 2.6);
    },
  ],
};
for (const [fault, [mode, cause]] of Object.entries(causes)) {
  test(`${fault}: ${mode} at once, until rearmed`, () => {
    const stepped = steppedLoop(lift(safety), RATE, (action) => action.fill(0.9));
    step(stepped);
    activate(stepped);
    cause(stepped);
    const { words } = stepped;
    assert.equal(`${stepped.mode()}: ${stepped.fault()}`, `${mode}: ${fault}`);
    for (let i = 0; i < 20; i++) {
      words[WORD.activate] = 1;
      words[WORD.trip] = FAULTS.indexOf('heartbeat lost');
      step(stepped);
      assert.equal(stepped.fault(), fault, 'the first cause stays');
    }
    stepped.rearm();
    step(stepped, -0.3);
    assert.equal(stepped.mode(), 'hold');
    assert.ok(Math.abs(stepped.command()[0] + 0.3) < 1e-5, 'the command begins anew where the robot is');
    for (let i = 0; i < 20; i++) step(stepped, -0.3);
    assert.equal(stepped.mode(), 'hold');
    activate(stepped, -0.3);
  });
}

test('missed ticks mean the same at every rate: a run, or a share of the newest second', () => {
  const missed = { longest: 0.05, share: 0.5, window: 1 };
  for (const rate of [100, 500, 1000]) {
    const period = 1e9 / rate;
    const run = (pattern: (tick: number) => number, seconds: number) => {
      const stepped = steppedLoop(lift({ missed, sensorTimeout: 1 }), rate, (action) => action.fill(0.9));
      step(stepped);
      activate(stepped);
      const begin = stepped.now();
      for (let i = 0; stepped.now() < begin + seconds * 1e9 && stepped.mode() === 'policy'; i++) {
        late(stepped, pattern(i) * period, () => step(stepped));
      }
      return stepped.mode() === 'policy' ? undefined : (stepped.now() - begin) / 1e9;
    };
    assert.equal(
      run((tick) => (tick === 0 ? 0.03 * rate : 0), 1),
      undefined,
      'a short run',
    );
    assert.ok(run((tick) => (tick === 0 ? 0.05 * rate : 0), 1)! < 0.1, 'a long one');
    assert.equal(
      run((tick) => (tick % 3 === 0 ? 1 : 0), 3),
      undefined,
      'one in four',
    );
    const seconds = run((tick) => (tick % 4 < 3 ? 2 : 0), 3)!;
    assert.ok(seconds > 0.5 && seconds < 1, `most of them: stopped after ${seconds} s`);
  }
});

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

test('limits that change the command step after step are a fault', () => {
  let wanted = 0.5;
  const stepped = steppedLoop(lift({ limiting: { share: 0.6, steps: 10 } }), RATE, (action) => {
    action.fill(wanted);
  });
  step(stepped);
  activate(stepped);
  for (let i = 0; i < 500; i++) {
    wanted = i % 20 < 10 ? 5 : 0.5;
    step(stepped);
  }
  assert.equal(stepped.mode(), 'policy');
  wanted = 5;
  for (let i = 0; i < 50; i++) step(stepped);
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'damping: limited too long');
});

test('what was limited before the policy was last activated does not count', () => {
  const stepped = steppedLoop(lift({ limiting: { share: 0.6, steps: 10 } }), RATE, (action) =>
    action.fill(5),
  );
  step(stepped);
  for (let activation = 0; activation < 4; activation++) {
    activate(stepped);
    for (let i = 0; i < 20; i++) step(stepped);
    assert.equal(stepped.mode(), 'policy');
    ask(stepped, WORD.activate, 0);
    assert.equal(stepped.mode(), 'hold');
  }
});

test('what is at a limit is within it', () => {
  for (const [position, velocity] of [
    [-1, 0],
    [1, 0],
    [0.5, 3],
    [0.5, -3],
  ]) {
    const limited = { ...safety, joints: [{ joint: 'lift', position: [-1, 1], velocity: 3 }] };
    const stepped = steppedLoop(lift({ ...limited, outOfDistribution: undefined }), RATE, (action) =>
      action.fill(0.9),
    );
    for (let i = 0; i < 5; i++) {
      stepped.sense([position], [velocity]);
      stepped.loop.tick();
      stepped.words[WORD.activate] = 1;
    }
    assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'policy: none', `at ${position}, ${velocity}`);
  }
});

test('so many strange observations in a row are a fault; those before an activation do not count', () => {
  const stepped = steppedLoop(lift({ outOfDistribution: { limit: 2.5, steps: 3 } }), RATE, (action) =>
    action.fill(0.9),
  );
  step(stepped);
  // The policy makes a step every five ticks, the first one when it begins.
  const strange = (steps: number) => {
    for (let i = 0; i < 5 * steps; i++) step(stepped, 0.5, 2.6);
  };
  for (let activation = 0; activation < 3; activation++) {
    ask(stepped, WORD.activate, 0);
    step(stepped, 0.5, 2.6);
    stepped.words[WORD.activate] = 1;
    strange(2);
    assert.equal(stepped.mode(), 'policy');
  }
  for (let i = 0; i < 5; i++) step(stepped);
  strange(2);
  assert.equal(stepped.mode(), 'policy', 'one in between is in order: not in a row');
  strange(1);
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'damping: out of distribution');
});

test('a robot that was put back to a start state has not jumped', () => {
  const stepped = steppedLoop(lift(safety), RATE, (action) => action.fill(0.9));
  step(stepped);
  activate(stepped);
  stepped.sense([-0.5], [0], 1);
  stepped.loop.tick();
  assert.equal(stepped.mode(), 'policy');
  stepped.sense([0.5], [0], 1);
  stepped.loop.tick();
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'fault: sensor jump');
});

test('what moves between two messages is judged by a period of the loop at least', () => {
  const stepped = steppedLoop(lift(safety), RATE, (action) => action.fill(0.9));
  step(stepped);
  activate(stepped);
  // At most 4 rad/s times the margin of 1.5: 12 mrad in a period of 2 ms, however close the stamps are.
  const { loop, link, sense } = stepped;
  const move = (position: number, after: number) => {
    const before = link.sensors.read()[SENSOR.stamp];
    sense([position]);
    link.sensors.read()[SENSOR.stamp] = before + after;
    loop.tick();
  };
  move(0.511, 1e-6);
  assert.equal(stepped.mode(), 'policy');
  move(0.5235, 1e-6);
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'fault: sensor jump');
});

test('a stamp of the future is of another clock, and as good as stale', () => {
  const stepped = steppedLoop(lift(safety), RATE, (action) => action.fill(0.9));
  step(stepped);
  activate(stepped);
  stepped.sense([0.5]);
  stepped.link.sensors.read()[SENSOR.stamp] += 0.2;
  stepped.loop.tick();
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'fault: sensor stale');
});

test('a heartbeat: the policy waits for the first, and its loss is a fault', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9), { heartbeatTimeout: 20 });
  const { words } = stepped;
  for (let i = 0; i < 50; i++) {
    words[WORD.activate] = 1;
    step(stepped);
    assert.equal(stepped.mode(), 'hold');
    assert.equal(words[WORD.activate], 0, 'what is refused is not done later');
  }
  for (let i = 0; i < 60; i++) {
    if (i % 9 === 0) words[WORD.heartbeat]++;
    if (i === 0) words[WORD.activate] = 1;
    step(stepped);
    assert.equal(stepped.mode(), 'policy');
  }
  // The last beat was 5 ticks ago: 10 of the 20 ms are left.
  for (let i = 0; i < 5; i++) step(stepped);
  assert.equal(stepped.mode(), 'policy');
  step(stepped);
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'damping: heartbeat lost');
  stepped.rearm();
  for (let i = 0; i < 11; i++) step(stepped);
  assert.equal(stepped.mode(), 'hold');
  step(stepped);
  assert.equal(stepped.fault(), 'heartbeat lost');
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

test('a loop that starts with a latched fault damps from its first tick, sensors or not', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0), {
    initialFault: FAULTS.indexOf('emergency stop'),
  });
  const { words, loop } = stepped;
  words[WORD.activate] = 1;
  loop.tick();
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'damping: emergency stop');
  for (let i = 0; i < 5; i++) step(stepped);
  assert.equal(stepped.mode(), 'damping');
  stepped.rearm();
  step(stepped);
  assert.equal(stepped.mode(), 'hold');
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
  const sent: number[] = [];
  const { publish } = stepped.link.commands;
  stepped.link.commands.publish = function () {
    sent.push(this.writable[COMMAND.vectors]);
    publish.call(this);
  };
  stepped.words[WORD.stop] = 1;
  stepped.loop.run();
  assert.ok(sent.length > 10 && sent.every((command) => command === 0), `${sent}`);
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

test('a guard: no policy before its first sign of life, a fault after its last', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9), { guarded: true });
  const { words, stop } = stepped;
  for (let i = 0; i < 20; i++) {
    words[WORD.activate] = 1;
    step(stepped);
    assert.equal(stepped.mode(), 'hold');
  }
  stop.beat();
  step(stepped);
  words[WORD.activate] = 1;
  for (let i = 0; i < 2 * RATE; i++) {
    if (i % 100 === 0) stop.beat();
    step(stepped);
    assert.equal(stepped.mode(), 'policy');
  }
  for (let i = 0; i < RATE; i++) step(stepped);
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'damping: heartbeat lost');
});

test('a stop that can no longer be heard stops a policy that acts, and only that', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9));
  step(stepped);
  stepped.stop.lost = true;
  for (let i = 0; i < 20; i++) step(stepped);
  assert.equal(stepped.mode(), 'hold');
  stepped.stop.lost = false;
  activate(stepped);
  stepped.stop.lost = true;
  step(stepped);
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'damping: heartbeat lost');
});
