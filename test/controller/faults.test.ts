// Every fault, tick by tick: latched at once by its cause and until rearmed, and by nothing that is not its cause.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS, type Fault, WORD } from '../../contract/loop.js';
import { SENSOR } from '../../contract/robot.js';
import { type SteppedLoop, steppedLoop } from '../fixtures/steppedLoop.js';
import { activate, ask, flagsOf, late, lift, RATE, step } from './lift.js';

const safety = {
  joints: [{ joint: 'lift', position: [-1, 1], velocity: 4, jumpMargin: 1.5, stuckTimeout: 0.0199 }],
  bounds: [{ term: 'jointVelocity lift', range: [-3, 3] }],
  outOfDistribution: { limit: 2.5, steps: 1 },
  missed: { longest: 0.01, share: 1, window: 1 },
};

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

test('a policy that fails, or answers what is no number, is replaced in the same tick', () => {
  for (const [fault, fail] of [
    [
      'inference failed',
      () => {
        throw new Error('no answer');
      },
    ],
    ['policy output not finite', (action: Float32Array) => action.fill(Number.NaN)],
  ] as const) {
    let fails = false;
    const stepped = steppedLoop(lift(), RATE, (action) => (fails ? fail(action) : action.fill(0.9)));
    step(stepped);
    activate(stepped);
    fails = true;
    // The next step of the policy may be some ticks away.
    for (let i = 0; i < 5; i++) {
      step(stepped);
      const { flags, interventions } = flagsOf(stepped);
      const replaced = flags.includes('policyStep');
      assert.deepEqual(interventions, replaced ? ['policy replaced by safe command'] : []);
      const after = stepped.mode() === 'policy' ? [] : ['fault'];
      assert.deepEqual(flags, replaced ? ['policyStep', 'intervention', 'fault'] : after);
      assert.ok(Math.abs(stepped.command()[0] - (stepped.mode() === 'policy' ? 0.9 : 0.5)) < 1e-5);
    }
    assert.equal(`${stepped.mode()}: ${stepped.fault()}`, `damping: ${fault}`);
  }
});

test('a fault between two steps of the policy replaces it, once', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9));
  step(stepped);
  activate(stepped);
  step(stepped, Number.NaN);
  const { flags, interventions } = flagsOf(stepped);
  assert.deepEqual(flags, ['intervention', 'fault']);
  assert.deepEqual(interventions, ['policy replaced by safe command']);
  step(stepped);
  assert.deepEqual(flagsOf(stepped), { flags: ['fault'], interventions: [] });
});

test('a robot that stands still while nobody acts is not stuck', () => {
  const stepped = steppedLoop(lift(safety), RATE, (action) => action.fill(0.9));
  for (let i = 0; i < 50; i++) {
    stepped.sense([0.5]);
    stepped.loop.tick();
  }
  assert.equal(`${stepped.mode()}: ${stepped.fault()}`, 'hold: none');
});

test('an activation that comes with the rearming is not done', () => {
  const stepped = steppedLoop(lift(), RATE, (action) => action.fill(0.9));
  step(stepped);
  activate(stepped);
  ask(stepped, WORD.trip, FAULTS.indexOf('management lost'));
  stepped.words[WORD.activate] = 1;
  stepped.rearm();
  for (let i = 0; i < 3; i++) {
    step(stepped);
    assert.equal(stepped.mode(), 'hold');
  }
});
