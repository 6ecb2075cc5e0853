// The correction of simulated transitions, on gaps that are known.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Replay } from '../../trainer/mpdp/replay.js';
import { Random } from '../../trainer/random.js';
import { correctedData } from '../../trainer/refit/correctedData.js';
import { correctedSimulation } from '../../trainer/refit/simulationGap.js';
import { loadTask } from '../../trainer/sim/task.js';
import { Turns } from '../../trainer/turns.js';

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

test('a linear gap is found and applied to every simulated transition, to nothing else of it', async () => {
  const simulated = buffer(300, 1);
  const real = buffer(100, 1);
  const residuals = residualsOf(real, linear);
  const largest = largestOf(residuals);
  const corrected = await correctedSimulation(simulated, real, residuals, new Turns());
  assert.equal(corrected.size, 300);
  for (let i = 0; i < simulated.size; i++) {
    const expected = simulated.row(i).slice();
    expected[5] += Math.min(largest, Math.max(-largest, linear(expected)[1]));
    for (const [d, value] of corrected.row(i).entries()) assert.ok(Math.abs(value - expected[d]) < 1e-3);
  }
});

test('where residuals are noise simulation stays as it is, and no correction exceeds what was seen', async () => {
  const simulated = buffer(300, 1);
  const real = buffer(100, 1e-3);
  const noise = residualsOf(real, () => [0.1 * random.normal(), 0.1 * random.normal()]);
  const narrow = await correctedSimulation(simulated, real, noise, new Turns());
  const steepResiduals = residualsOf(real, ([first]) => [0, 50 * first]);
  const steep = await correctedSimulation(simulated, real, steepResiduals, new Turns());
  for (let i = 0; i < simulated.size; i++) {
    for (const d of [3, 4])
      assert.ok(Math.abs(narrow.row(i)[d + 1] - simulated.row(i)[d + 1]) < largestOf(noise) / 2);
    assert.ok(Math.abs(steep.row(i)[5] - simulated.row(i)[5]) <= largestOf(steepResiduals) + 1e-6);
  }
});

test("corrected transitions are rewarded, and end, where they lead now; the robot's follow", async () => {
  const pendulum = await loadTask('inverted-pendulum');
  const task = {
    ...pendulum,
    observation: pendulum.observation.slice(0, 2),
    reward: ({ next, action }: { next: { position(joint: string): number }; action: ArrayLike<number> }) =>
      next.position('hinge') + action[0],
  };
  const simulated = new Replay(2, 1, 200);
  const real: {
    observation: Float32Array;
    action: Float32Array;
    reward: number;
    next: Float32Array;
    terminal: boolean;
  }[] = [];
  for (let i = 0; i < 300; i++) {
    const observation = Float32Array.of(0.1 * random.normal(), 0.05 * random.normal());
    const action = Float32Array.of(random.uniform(-1, 1));
    const transition = {
      observation,
      action,
      reward: observation[1] + 3 * action[0],
      next: observation,
      terminal: false,
    };
    if (i < 200) simulated.add(transition);
    else real.push({ ...transition, reward: i });
  }
  const learned = new Replay(2, 1, 100);
  for (const transition of real) learned.add(transition);
  // On the robot the hinge goes 0.15 rad farther.
  const residuals = residualsOf(learned, () => [0, 0.15]);
  const data = await correctedData(task, { simulated, real, learned, residuals });
  assert.equal(data.size, 300);
  let ended = 0;
  for (let i = 0; i < 200; i++) {
    const row = data.row(i);
    const [, hinge, action, reward, , next, continues] = row;
    assert.ok(Math.abs(next - hinge - 0.15) < 1e-3);
    assert.ok(Math.abs(reward - next - 3 * action) < 1e-3, `${reward}`);
    assert.equal(continues, Math.abs(next) > 0.2 ? 0 : 1);
    if (continues === 0) ended++;
  }
  assert.ok(ended > 10 && ended < 150, `${ended} end`);
  for (let i = 0; i < 100; i++) assert.deepEqual(data.row(200 + i), learned.row(i));
});
