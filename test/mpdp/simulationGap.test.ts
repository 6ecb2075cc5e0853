// The correction of simulated transitions, on gaps that are known.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Replay } from '../../trainer/mpdp/replay.js';
import { correctedSimulation } from '../../trainer/mpdp/simulationGap.js';
import { Random } from '../../trainer/random.js';

const random = new Random(1);
/** A buffer whose observations have standard deviation `spread`, and in which nothing moves. */
function buffer(count: number, spread: number): Replay {
  const replay = new Replay(2, 1, count);
  for (let i = 0; i < count; i++) {
    const observation = Float32Array.from([spread * random.normal(), spread * random.normal()]);
    const action = Float32Array.from([random.uniform(-1, 1)]);
    replay.add({ observation, action, reward: i, next: observation, terminal: i % 7 === 0 });
  }
  return replay;
}
const residualsOf = (replay: Replay, gap: (row: Float32Array) => number[]) =>
  Float64Array.from(Array.from({ length: replay.size }, (_, i) => gap(replay.row(i))).flat());
const largestOf = (values: Float64Array) =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const linear = ([first, second, action]: Float32Array) => [0, 0.5 * first - 0.2 * second + 2 * action + 0.3];

test('a linear gap is found and applied to every simulated transition, to nothing else of it', () => {
  const simulated = buffer(300, 1);
  const real = buffer(100, 1);
  const residuals = residualsOf(real, linear);
  const largest = largestOf(residuals);
  const corrected = correctedSimulation(simulated, real, residuals);
  assert.equal(corrected.size, 300);
  for (let i = 0; i < simulated.size; i++) {
    const expected = simulated.row(i).slice();
    expected[5] += Math.min(largest, Math.max(-largest, linear(expected)[1]));
    for (const [d, value] of corrected.row(i).entries()) assert.ok(Math.abs(value - expected[d]) < 1e-3);
  }
});

test('where residuals are noise simulation stays as it is, and no correction exceeds what was seen', () => {
  const simulated = buffer(300, 1);
  const real = buffer(100, 1e-3);
  const noise = residualsOf(real, () => [0.1 * random.normal(), 0.1 * random.normal()]);
  const narrow = correctedSimulation(simulated, real, noise);
  const steepResiduals = residualsOf(real, ([first]) => [0, 50 * first]);
  const steep = correctedSimulation(simulated, real, steepResiduals);
  for (let i = 0; i < simulated.size; i++) {
    for (const d of [3, 4])
      assert.ok(Math.abs(narrow.row(i)[d + 1] - simulated.row(i)[d + 1]) < largestOf(noise) / 2);
    assert.ok(Math.abs(steep.row(i)[5] - simulated.row(i)[5]) <= largestOf(steepResiduals) + 1e-6);
  }
});
