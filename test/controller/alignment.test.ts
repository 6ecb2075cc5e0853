// Ticks aligned to the sensors' messages, on a simulated clock: how old a message is when its tick comes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNT, countsOf, ROW } from '../../contract/loop.js';
import { SENSOR } from '../../contract/robot.js';
import { threeJoints } from '../fixtures/policy.js';
import { steppedLoop } from '../fixtures/steppedLoop.js';

const RATE = 500;
const PERIOD = 1e9 / RATE;
const micros = (ns: number) => ns / 1000;

interface Sensors {
  /** ns between two messages, and from a tick's first deadline to one. */
  interval?: number;
  phase?: number;
  /** ns from a message's stamp to its arrival. */
  delay?: (message: number) => number;
  /** Stamped when it is read. */
  byArrival?: boolean;
  align?: boolean;
}

/** Messages of a second that may come late for their tick: one in 100, and the lead takes some time to find that. */
const FEW = 12;

/**
 * Ages (µs, at the deadline) of the messages that were new to a tick in the last second of ten, but for three in a
 * hundred; what the ticks did, and how long they were kept from it by waiting (µs).
 */
function run({
  interval = PERIOD,
  phase = 0.3 * PERIOD,
  delay = () => 80_000,
  byArrival,
  align = true,
}: Sensors) {
  const stepped = steppedLoop(threeJoints, RATE, (action) => action.fill(0), {
    alignTo: align ? 'sensors' : undefined,
  });
  const { loop, link, words, row, now } = stepped;
  const begin = now() + phase;
  let arrived = 0;
  let before = 0;
  let late = 0;
  link.sensors.read = () => {
    const cell = new Float64Array(SENSOR.vectors + 6);
    while (begin + arrived * interval + delay(arrived) <= now()) {
      if (begin + arrived * interval < before) late++;
      arrived++;
    }
    before = now();
    cell[SENSOR.stamp] = (byArrival ? now() : begin + (arrived - 1) * interval) / 1e9;
    cell[SENSOR.late] = late;
    return cell;
  };
  const ages: number[] = [];
  const waits: number[] = [];
  const steps: number[] = [];
  let lateBefore = 0;
  let stamp = 0;
  let scheduled = 0;
  stepped.delay(20_000, 1000);
  for (let i = 0; i < 10 * RATE; i++) {
    if (i === 9 * RATE) lateBefore = late;
    loop.tick();
    const tick = row();
    if (i > 0) steps.push(1e9 * (tick[ROW.scheduled] - scheduled));
    if (i >= 9 * RATE) waits.push(tick[ROW.observe] / 1e3);
    if (i >= 9 * RATE && tick[ROW.sensorStamp] !== stamp)
      ages.push(1e6 * (tick[ROW.scheduled] - tick[ROW.sensorStamp]));
    stamp = tick[ROW.sensorStamp];
    scheduled = tick[ROW.scheduled];
  }
  assert.equal(countsOf(words)[COUNT.missed], 0, 'a shift is no miss');
  ages.sort((a, b) => a - b);
  const oldest = ages[Math.floor(0.97 * ages.length)];
  return { used: ages.length, youngest: ages[0], oldest, late: late - lateBefore, steps, waits };
}

test('a tick comes a little after each message, whatever the phase at the start', () => {
  const unaligned = run({ align: false });
  assert.ok(unaligned.youngest > micros(0.6 * PERIOD));
  for (const phase of [0.01, 0.3, 0.55, 0.97]) {
    const { youngest, oldest, late, steps } = run({ phase: phase * PERIOD });
    assert.ok(youngest > 50 && oldest < 150, `phase ${phase}: ${youngest} to ${oldest} µs`);
    assert.ok(late < FEW, `${late} late`);
    const furthest = Math.max(...steps.map((step) => Math.abs(step - PERIOD)));
    assert.ok(furthest <= 0.0101 * PERIOD, `no period differs by more than a hundredth: ${furthest} ns`);
  }
});

for (const [what, sensors, limit] of [
  ["another computer's clock", { interval: PERIOD * (1 - 2e-4) }, 150],
  ['twice the rate', { interval: PERIOD / 2 }, 150],
  ['a fifth of the rate', { interval: 5 * PERIOD }, 150],
  ['messages that are long on their way', { delay: () => 600_000 }, 700],
  ['twice the rate and long on their way', { interval: PERIOD / 2, delay: () => 400_000 }, 500],
] as [string, Sensors, number][]) {
  test(`it holds for ${what}`, () => {
    const { oldest, late } = run(sensors);
    assert.ok(oldest < limit, `${oldest} µs`);
    assert.ok(late < FEW, `${late} late`);
  });
}

test('it waits for the slow ones among the messages, when they are not too few', () => {
  const { oldest, late } = run({ delay: (message) => (message % 20 === 19 ? 450_000 : 80_000) });
  assert.ok(late < FEW, `${late} late`);
  assert.ok(oldest > 400 && oldest < 550, `${oldest} µs`);
});

test('a message that is late is waited for, and its tick still works on it', () => {
  const { used, oldest, youngest, waits } = run({
    delay: (message) => (message === 9.5 * RATE ? 800_000 : 80_000),
  });
  assert.ok(youngest > 50 && oldest < 150, `${youngest} to ${oldest} µs`);
  assert.equal(waits.filter((wait) => wait > 600 && wait < 850).length, 1);
  assert.equal(used, RATE);
});

test('what does not come is waited for no longer than a part of the period, and not for ever', () => {
  const lost = (message: number) => message % 100 === 99;
  const gone = run({ delay: (message) => (lost(message) ? PERIOD : 80_000) });
  const long = gone.waits.filter((wait) => wait > 500);
  assert.equal(long.length, 5);
  assert.ok(Math.max(...long) < micros(0.65 * PERIOD));
  const silent = run({ delay: (message) => (message >= 8 * RATE ? Infinity : 80_000) });
  assert.equal(silent.waits.filter((wait) => wait > 10).length, 0);
});

test('stamps that say nothing of the phase leave the grid alone', () => {
  const { steps } = run({ byArrival: true });
  assert.ok(steps.every((step) => Math.abs(step - PERIOD) < 1));
});
