// The loop's tick against a million hostile observations, policy outputs, stamps and operators: nothing unsafe leaves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNT, countsOf, FAULTS, type Fault, INTERVENTIONS, MODES, WORD } from '../../contract/loop.js';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { generator } from '../fixtures/generator.js';
import { threeJoints } from '../fixtures/policy.js';
import { steppedLoop } from '../fixtures/steppedLoop.js';

const RATE = 500;
const PERIOD = 1e9 / RATE;
const SEED = 20_260_101;

const task: typeof threeJoints = {
  ...threeJoints,
  safety: {
    ...threeJoints.safety,
    joints: [
      { joint: 'hip', position: [-1.5, 1.5], velocity: 15, commandRate: 50, jumpMargin: 4 },
      { joint: 'knee', position: [-1.2, 2.5], commandRate: 4, commandAcceleration: 60, approachGain: 20 },
      { joint: 'wheel', velocity: 12, commandAcceleration: 2000, stuckTimeout: 0.1 },
    ],
    bounds: [{ term: 'jointVelocity wheel', range: [-11, 11] }],
    outOfDistribution: { limit: 4.95, steps: 3 },
    limiting: { share: 0.9, steps: 150 },
    blendTime: 0.02,
  },
};

const HOSTILE = [
  Number.NaN,
  Infinity,
  -Infinity,
  5e-324,
  -5e-324,
  1e-40,
  1e300,
  -1e300,
  3.5e38,
  Number.MAX_VALUE,
  -0,
  1e9,
];

/** Faults that others ask for. */
const ASKED = (['management lost', 'second publisher', 'commands not sent'] as const).map((fault) =>
  FAULTS.indexOf(fault),
);

/** What the manifest allows each command to be, from its text alone. */
const ALLOWED = [
  { low: -3, high: 3, step: 50 / RATE, bend: Infinity },
  { low: -1.2, high: 2, step: 4 / RATE, bend: 60 / RATE ** 2 },
  { low: -12, high: 12, step: Infinity, bend: 2000 / RATE ** 2 },
];

test('a million hostile ticks: what leaves is finite and within limits, faults latch at once', () => {
  const next = generator(SEED);
  const chance = (p: number) => next() < p;
  let policyThrows = false;
  const act = (action: Float32Array) => {
    if (policyThrows) throw new Error('inference failed on purpose');
    for (let i = 0; i < 3; i++) {
      action[i] = chance(0.0005)
        ? HOSTILE[Math.floor(next() * HOSTILE.length)]
        : (next() - 0.5) * (chance(0.1) ? 1000 : 20);
    }
  };
  const { loop, link, words, stop, policy, now, delay } = steppedLoop(task, RATE, act, {
    heartbeatTimeout: 50,
  });
  const counts = countsOf(words);
  const previous = new Float64Array(3);
  const change = new Float64Array(3);
  /** Ticks for which the wheel's sensor still stands, the hip stays fast, and no heart beats. */
  let stuck = 0;
  let fast = 0;
  let silent = 0;
  let beat = now();
  /** Stamp since which the wheel stands while the policy acts. */
  let wheelSince: { stamp: number; wheel: number } | undefined;
  /** What the loop knows of the hip at the last stamp; undefined after it was taken over. */
  let known: { stamp: number; hip: number; resets: number } | undefined;
  const seen = new Map<string, number>();
  const heldPosition = [0, 0, 0];
  const heldSpeed = [0, 0, 0];
  let previousMode = 'inactive';
  let newest = 0;
  let lastStamp = 0;
  for (let tick = 0; tick < 1_000_000; tick++) {
    delay(chance(0.001) ? next() * 200 * PERIOD : next() * 0.2 * PERIOD, next() * 1e4);
    policyThrows = chance(0.0002);

    stuck = chance(0.001) ? 80 : stuck - 1;
    fast = chance(0.0005) ? 40 : fast - 1;
    silent = chance(0.0003) ? 40 : silent - 1;

    // The measurement: a random walk that is now and then hostile, beyond a limit, old, backward or missing.
    const sensors = link.sensors.writable;
    if (!chance(0.01)) {
      for (let j = 0; j < 3; j++) {
        const step = j === 2 && stuck > 0 ? 0 : (next() - 0.5) * 0.2;
        heldPosition[j] = Math.max(-1.1, Math.min(1.1, heldPosition[j] + step));
        heldSpeed[j] = j === 0 && fast > 0 ? 9.99 : (next() - 0.5) * 20;
        sensors[SENSOR.vectors + j] = heldPosition[j];
        sensors[SENSOR.vectors + 3 + j] = heldSpeed[j];
      }
      if (chance(0.0005)) sensors[SENSOR.vectors] = -heldPosition[0];
      if (chance(0.0005)) sensors[SENSOR.vectors + 5] = 11.5;
      if (chance(0.001)) {
        sensors[SENSOR.vectors + Math.floor(next() * 6)] = HOSTILE[Math.floor(next() * HOSTILE.length)];
      }
      sensors[SENSOR.stamp] = now() / 1e9 - (chance(0.001) ? next() : 0);
      if (chance(0.0005)) sensors[SENSOR.stamp] = HOSTILE[Math.floor(next() * HOSTILE.length)];
      sensors[SENSOR.resets] = Math.floor(tick / 1000);
      link.sensors.publish();
    }
    const measured = link.sensors.read();
    const rearm = chance(0.1);
    if (rearm) words[WORD.rearm]++;
    if (rearm && chance(0.9)) stop.release();
    const stopped = chance(0.0005);
    if (stopped) stop.press();
    const tripped = chance(0.0003);
    if (tripped) words[WORD.trip] = [...ASKED, -7][Math.floor(next() * (ASKED.length + 1))];
    if (silent <= 0) words[WORD.heartbeat]++;
    if (chance(0.2)) words[WORD.activate] = 1;
    else if (chance(0.001)) words[WORD.activate] = 0;

    const misses = counts[COUNT.missed];
    loop.tick();
    const mode = MODES[words[WORD.mode]];
    const command = link.commands.read();
    seen.set(`${mode}: ${words[WORD.fault]}`, (seen.get(`${mode}: ${words[WORD.fault]}`) ?? 0) + 1);

    // What the robot may not do, restated from the manifest: none of these may leave the loop in hold or policy.
    const takenOver = rearm && !stop.set && (previousMode === 'damping' || previousMode === 'fault');
    if (takenOver) {
      lastStamp = 0;
      known = undefined;
    }
    if (silent <= 0 || takenOver) beat = now();
    const [hip, knee, wheel, hipSpeed, , wheelSpeed] = measured.subarray(SENSOR.vectors);
    const stamp = measured[SENSOR.stamp];
    const resets = measured[SENSOR.resets];
    const isNewer = stamp > (known?.stamp ?? 0);
    if (previousMode !== 'policy') wheelSince = undefined;
    else if (isNewer && (wheel !== wheelSince?.wheel || known?.resets !== resets))
      wheelSince = { stamp, wheel };
    const jumped =
      known?.resets === resets &&
      isNewer &&
      Math.abs(hip - known.hip) > 60 * Math.max(stamp - known.stamp, 1 / RATE) + 1e-9;
    const bad =
      stop.set ||
      tripped ||
      jumped ||
      now() - beat > 50e6 + 1e5 ||
      (isNewer && wheelSince !== undefined && stamp - wheelSince.stamp > 0.1 + 1e-9) ||
      ![hip, knee, wheel, hipSpeed, wheelSpeed].every(Number.isFinite) ||
      !Number.isFinite(Math.fround(hip)) ||
      Math.abs(hip) > 1.5 ||
      knee < -1.2 ||
      knee > 2.5 ||
      Math.abs(hipSpeed) > 15 ||
      Math.abs(wheelSpeed) > 11 ||
      !(stamp >= lastStamp) ||
      !(Math.abs(now() / 1e9 - stamp) <= 0.1 + 1e-3) ||
      counts[COUNT.missed] - misses >= 10;
    if (stamp > lastStamp) lastStamp = stamp;
    if (isNewer) known = { stamp, hip, resets };
    if (bad) assert.match(mode, /^(damping|fault)$/, `tick ${tick}: ${measured}`);
    if (mode === 'policy') {
      assert.ok(policy.action.every(Number.isFinite), `tick ${tick} acts on ${policy.action}`);
    }
    if ((previousMode === 'damping' || previousMode === 'fault') && !takenOver) {
      assert.match(
        mode,
        previousMode === 'fault' ? /^fault$/ : /^(damping|fault)$/,
        `tick ${tick} unlatched`,
      );
    }
    if (previousMode === 'damping' || previousMode === 'fault') assert.notEqual(mode, 'policy');

    assert.equal(MODES[command[COMMAND.mode]], mode);
    assert.ok(command[COMMAND.stamp] > newest);
    newest = command[COMMAND.stamp];
    for (let i = 0; i < 3; i++) {
      const value = command[COMMAND.vectors + i];
      const { low, high, step, bend } = ALLOWED[i];
      assert.ok(value >= low && value <= high, `tick ${tick}: command ${i} is ${value}`);
      // Only an effort that is stopped goes to its safe command at once.
      const atOnce = i === 0 && value === 0 && (mode === 'damping' || mode === 'fault');
      const by = tick > 0 && !atOnce ? value - previous[i] : Number.NaN;
      assert.ok(!(Math.abs(by) > step + 1e-12), `tick ${tick}: ${i} jumps to ${value}`);
      assert.ok(!(Math.abs(by - change[i]) > bend + 1e-12), `tick ${tick}: ${i} jerks to ${value}`);
      change[i] = atOnce ? 0 : by;
      previous[i] = value;
    }
    previousMode = mode;
  }
  const modes = [...seen.keys()].map((key) => key.split(':')[0]);
  for (const mode of ['hold', 'policy', 'damping', 'fault'])
    assert.ok(modes.includes(mode), `${mode} never came`);
  // Every fault was the first cause at least once, and most ticks let the policy act.
  const causes = new Set([...seen.keys()].map((key): Fault => FAULTS[Number(key.split(': ')[1])]));
  assert.deepEqual(
    FAULTS.filter((fault) => !causes.has(fault)),
    [],
  );
  assert.ok((seen.get('policy: 0') ?? 0) > 500_000, JSON.stringify([...seen]));
  INTERVENTIONS.forEach((name, i) => {
    assert.ok(counts[COUNT.interventions + i] > 0, name);
  });
});
