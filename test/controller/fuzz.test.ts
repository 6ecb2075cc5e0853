// The loop's tick against a million hostile observations, policy outputs, stamps and operators: nothing unsafe leaves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyHistogram } from '../../contract/histogram.js';
import { MODES, PHASES, type PhaseHistograms, rowLayout, WORD } from '../../contract/loop.js';
import type { Manifest } from '../../contract/manifest.js';
import { COMMAND, robotLink, SENSOR } from '../../contract/robot.js';
import { TraceRing } from '../../contract/sharedMemory.js';
import { Loop } from '../../controller/loop.js';
import type { Clock } from '../../controller/realtime.js';
import { threeJoints } from '../fixtures/policy.js';

const RATE = 500;
const PERIOD = 1e9 / RATE;
const OBSERVATIONS = threeJoints.observation.length;
const SEED = 20_260_101;

/** Uniform in [0, 1): mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z ^= z + Math.imul(z ^ (z >>> 7), 61 | z);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

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

/** What the manifest allows each command to be, from its text alone. */
const ALLOWED = [
  { low: -3, high: 3, step: 50 / RATE },
  { low: -1.2, high: 2, step: 4 / RATE },
  { low: -12, high: 12, step: Infinity },
];

function harness() {
  const next = random(SEED);
  const chance = (p: number) => next() < p;
  let now = 1e12;
  let lateness = 0;
  let work = 0;
  const clock: Clock = {
    stamp(times, index) {
      now += work;
      times[index] = now;
    },
    sleepUntil(times, index) {
      now = Math.max(now, times[index]) + lateness;
    },
  };
  const link = robotLink(3, 3);
  const words = new Int32Array(new SharedArrayBuffer(WORD.length * 4));
  const policy = {
    observation: new Float32Array(OBSERVATIONS),
    action: new Float32Array(3),
    runs: 0,
    throws: false,
    run() {
      policy.runs++;
      if (policy.throws) throw new Error('inference failed on purpose');
      for (let i = 0; i < 3; i++) {
        policy.action[i] = chance(0.0005)
          ? HOSTILE[Math.floor(next() * HOSTILE.length)]
          : (next() - 0.5) * (chance(0.1) ? 1000 : 20);
      }
    },
  };
  const loop = new Loop({
    manifest: threeJoints as Manifest,
    rateHz: RATE,
    policyEvery: 5,
    policy,
    clock,
    link,
    words,
    histograms: Object.fromEntries(PHASES.map((phase) => [phase, new LatencyHistogram()])) as PhaseHistograms,
    trace: new TraceRing(rowLayout(OBSERVATIONS, 3).length, 64),
  });
  loop.start();
  return {
    chance,
    next,
    link,
    words,
    policy,
    loop,
    now: () => now,
    delay(late: number, perStamp: number) {
      lateness = late;
      work = perStamp;
    },
  };
}

test('a million hostile ticks: what leaves is finite and within limits, faults latch at once', () => {
  const { chance, next, link, words, policy, loop, now, delay } = harness();
  const previous = new Float64Array(3);
  const seen = new Map<string, number>();
  const heldPosition = [0, 0, 0];
  const heldSpeed = [0, 0, 0];
  let previousMode = 'inactive';
  let newest = 0;
  let lastStamp = 0;
  for (let tick = 0; tick < 1_000_000; tick++) {
    delay(chance(0.001) ? next() * 200 * PERIOD : next() * 0.2 * PERIOD, next() * 1e4);
    policy.throws = chance(0.0002);

    // The measurement: a random walk that is now and then hostile, beyond a limit, old, backward or missing.
    const sensors = link.sensors.writable;
    if (!chance(0.01)) {
      for (let j = 0; j < 3; j++) {
        heldPosition[j] = Math.max(-1.1, Math.min(1.1, heldPosition[j] + (next() - 0.5) * 0.2));
        heldSpeed[j] = (next() - 0.5) * 20;
        sensors[SENSOR.vectors + j] = heldPosition[j];
        sensors[SENSOR.vectors + 3 + j] = heldSpeed[j];
      }
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
    const stopped = chance(0.0005);
    if (stopped) words[WORD.emergencyStop] = 1;
    if (chance(0.2)) words[WORD.activate] = 1;
    else if (chance(0.001)) words[WORD.activate] = 0;

    const misses = words[WORD.missed];
    loop.tick();
    const mode = MODES[words[WORD.mode]];
    const command = link.commands.read();
    seen.set(`${mode}: ${words[WORD.fault]}`, (seen.get(`${mode}: ${words[WORD.fault]}`) ?? 0) + 1);

    // What the robot may not do, restated from the manifest: none of these may leave the loop in hold or policy.
    if (rearm && (previousMode === 'damping' || previousMode === 'fault')) lastStamp = 0;
    const [hip, knee, wheel, hipSpeed, , wheelSpeed] = measured.subarray(SENSOR.vectors);
    const stamp = measured[SENSOR.stamp];
    const bad =
      stopped ||
      ![hip, knee, wheel, hipSpeed, wheelSpeed].every(Number.isFinite) ||
      !Number.isFinite(Math.fround(hip)) ||
      Math.abs(hip) > 1.5 ||
      knee < -1.2 ||
      knee > 2.5 ||
      Math.abs(hipSpeed) > 15 ||
      Math.abs(wheelSpeed) > 12 ||
      !(stamp >= lastStamp) ||
      !(Math.abs(now() / 1e9 - stamp) <= 0.1 + 1e-3) ||
      words[WORD.missed] - misses >= threeJoints.safety.missedTicks;
    if (stamp > lastStamp) lastStamp = stamp;
    if (bad) assert.match(mode, /^(damping|fault)$/, `tick ${tick}: ${measured}`);
    if (mode === 'policy') {
      assert.ok(policy.action.every(Number.isFinite), `tick ${tick} acts on ${policy.action}`);
    }
    if ((previousMode === 'damping' || previousMode === 'fault') && !rearm) {
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
    const takenOver = rearm && (previousMode === 'damping' || previousMode === 'fault');
    for (let i = 0; i < 3; i++) {
      const value = command[COMMAND.vectors + i];
      const { low, high, step } = ALLOWED[i];
      assert.ok(value >= low && value <= high, `tick ${tick}: command ${i} is ${value}`);
      if (tick > 0 && !takenOver) {
        assert.ok(Math.abs(value - previous[i]) <= step + 1e-12, `tick ${tick}: ${i} jumps to ${value}`);
      }
      previous[i] = value;
    }
    previousMode = mode;
  }
  const modes = [...seen.keys()].map((key) => key.split(':')[0]);
  for (const mode of ['hold', 'policy', 'damping', 'fault'])
    assert.ok(modes.includes(mode), `${mode} never came`);
  // Every fault but 'none' was the first cause at least once, and most ticks let the policy act.
  const causes = new Set([...seen.keys()].map((key) => Number(key.split(': ')[1])));
  assert.deepEqual(
    [...causes].sort((a, b) => a - b),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  assert.ok((seen.get('policy: 0') ?? 0) > 500_000, JSON.stringify([...seen]));
  for (const kind of [0, 1, 2]) assert.ok(words[WORD.interventions + kind] > 0);
});
