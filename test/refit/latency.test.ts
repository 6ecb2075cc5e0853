// How late commands take effect, found in recordings of a plant whose delay is known, and planned with.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Transitions } from '../../contract/transitions.js';
import { delayWeights } from '../../trainer/mpdp/delayWeights.js';
import { Random } from '../../trainer/random.js';
import { estimateLatency, inForceOn, stretchOf } from '../../trainer/refit/latency.js';

const PERIOD = 0.02;

/**
 * Position and velocity of a mass that is driven by a policy with some noise, whose commands act `delay` periods late,
 * with `strength`; it starts again every 60 steps.
 */
function recorded(delay: number, strength: number, steps = 600): Transitions {
  const random = new Random(1);
  const weights = delayWeights(delay);
  const rows: { s: number[]; a: number; next: number[]; follows: boolean }[] = [];
  let s = [0, 0];
  let sent: number[] = [];
  for (let i = 0; i < steps; i++) {
    const starts = i % 60 === 0;
    if (starts) {
      s = [random.normal(), random.normal()];
      sent = weights.map(() => 0);
    }
    const a = -0.5 * s[0] - 0.4 * s[1] + 0.3 * random.normal();
    sent = [a, ...sent];
    const force = strength * weights.reduce((sum, weight, k) => sum + weight * sent[k], 0);
    const next = [s[0] + 0.1 * s[1], 0.98 * s[1] + 0.2 * force + 0.005 * random.normal()];
    rows.push({ s, a, next, follows: !starts });
    s = next;
  }
  return {
    count: steps,
    observation: Float32Array.from(rows.flatMap((row) => row.s)),
    action: Float32Array.from(rows, (row) => row.a),
    nextObservation: Float32Array.from(rows.flatMap((row) => row.next)),
    terminal: new Float32Array(steps),
    follows: Uint8Array.from(rows, (row) => Number(row.follows)),
    sensorAge: new Float32Array(steps).fill(0.003),
  };
}

/** Of a model that knows the healthy plant: strength 1, no friction. */
async function residuals({
  count,
  observation,
  action,
  nextObservation,
}: Transitions): Promise<Float64Array> {
  const left = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    const [x, v] = observation.subarray(2 * i, 2 * i + 2);
    left[2 * i] = nextObservation[2 * i] - (x + 0.1 * v);
    left[2 * i + 1] = nextObservation[2 * i + 1] - (v + 0.2 * action[i]);
  }
  return left;
}

for (const delay of [0, 0.35, 1, 1.6, 2.5]) {
  test(`${delay} periods late, on a robot that is weaker than the model`, async () => {
    const latency = await estimateLatency(recorded(delay, 0.75), PERIOD, residuals);
    assert.ok(latency);
    const [low, high] = latency.interval;
    assert.ok(Math.abs(latency.seconds - delay * PERIOD) < 0.05 * PERIOD, `${latency.seconds / PERIOD}`);
    assert.ok(low <= latency.seconds && latency.seconds <= high && high - low < 0.3 * PERIOD);
    assert.equal(latency.applied, delay > 0);
    assert.ok(Math.abs(latency.sensorAge - 0.003) < 1e-6);
    const least = latency.scores.reduce((a, b) => (b.error < a.error ? b : a));
    assert.ok(Math.abs(least.seconds - delay * PERIOD) <= 0.05 * PERIOD + 1e-9);
    assert.deepEqual(
      latency.scores,
      latency.scores.toSorted((a, b) => a.seconds - b.seconds),
    );
  });
}

test('commands that do nothing have no latency that a refit would plan with', async () => {
  const latency = await estimateLatency(recorded(1, 0), PERIOD, async (rows) => {
    const left = await residuals(rows);
    for (let i = 0; i < rows.count; i++) left[2 * i + 1] += 0.2 * rows.action[i];
    return left;
  });
  assert.equal(latency?.applied, false);
  assert.equal(await estimateLatency(stretchOf(recorded(1, 1), 0, 40), PERIOD, residuals), undefined);
});

test('what was in force is mixed of what was sent, never across a break', () => {
  const all = recorded(0, 1, 130);
  const shifted = inForceOn(all, delayWeights(1.25));
  assert.deepEqual(delayWeights(1.25), [0, 0.75, 0.25]);
  // Three episodes lose two steps each.
  assert.equal(shifted.count, 130 - 3 * 2);
  const mixture = (i: number) => Math.fround(0.75 * all.action[i - 1] + 0.25 * all.action[i - 2]);
  assert.ok(Math.abs(shifted.action[0] - mixture(2)) < 1e-6);
  assert.ok(Math.abs(shifted.action[58] - mixture(62)) < 1e-6);
  assert.deepEqual([...shifted.observation.subarray(116, 118)], [...all.observation.subarray(124, 126)]);
  // What a stretch does not hold is not looked for.
  assert.equal(inForceOn(stretchOf(all, 30, 50), [0, 1]).count, 19);
  assert.deepEqual([shifted.follows[57], shifted.follows[58], shifted.follows[59]], [1, 0, 1]);
});
