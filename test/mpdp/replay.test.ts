// The replay buffer: keeps the newest transitions, and comes back from a checkpoint as it was, however many there are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Replay } from '../../trainer/mpdp/replay.js';
import { Random } from '../../trainer/random.js';

const transition = (i: number) => ({
  observation: Float32Array.of(i, -i),
  action: Float32Array.of(i / 2),
  reward: 3 * i,
  next: Float32Array.of(i + 1, -i - 1),
  terminal: i % 7 === 0,
});

test('what a buffer holds is put back whole, more than it has room for at first, and past its capacity', () => {
  for (const [capacity, added] of [
    [100_000, 10_000],
    [6000, 9000],
    [50, 20],
  ]) {
    const replay = new Replay(2, 1, capacity);
    for (let i = 0; i < added; i++) replay.add(transition(i));
    const size = Math.min(capacity, added);
    assert.equal(replay.size, size);
    const rows = new Float32Array(size * replay.rowLength);
    for (let i = 0; i < size; i++) rows.set(replay.row(i), i * replay.rowLength);
    const { observation, action, reward, next } = transition(added - size);
    assert.deepEqual([...replay.row(0)].slice(0, -1), [...observation, ...action, reward, ...next]);

    const restored = new Replay(2, 1, capacity);
    restored.restore(rows);
    assert.equal(restored.size, size);
    for (let i = 0; i < size; i++) assert.deepEqual(restored.row(i), replay.row(i));
    restored.add(transition(added));
    replay.add(transition(added));
    assert.deepEqual(restored.row(restored.size - 1), replay.row(replay.size - 1));
  }
});

test('a batch is drawn from the whole buffer, every transition alike', () => {
  const replay = new Replay(2, 1, 1000);
  for (let i = 0; i < 1700; i++) replay.add(transition(i));
  const batch = replay.batch(8000);
  replay.sample(batch, new Random(1));
  const drawn = new Array<number>(10).fill(0);
  for (let i = 0; i < 8000; i++) {
    const index = batch.observation.data[2 * i];
    assert.ok(index >= 700 && index < 1700, `transition ${index}`);
    drawn[Math.floor((index - 700) / 100)]++;
    const { observation, action, reward, next, terminal } = transition(index);
    assert.deepEqual([...batch.observation.data.subarray(2 * i, 2 * i + 2)], [...observation]);
    assert.deepEqual([...batch.next.data.subarray(2 * i, 2 * i + 2)], [...next]);
    assert.deepEqual(
      [batch.action.data[i], batch.reward.data[i], batch.continues.data[i]],
      [action[0], reward, terminal ? 0 : 1],
    );
  }
  // 800 each, with a standard deviation of 27.
  for (const count of drawn) assert.ok(count > 680 && count < 920, `${drawn}`);
});

test('statistics are over all observations that the buffer holds, each number by itself', () => {
  const replay = new Replay(2, 1, 3);
  for (const i of [50, 9, 1, 5]) replay.add(transition(i));
  const sd = Math.sqrt((16 + 16 + 0) / 3);
  const { mean, sd: found, low, high } = replay.observationStatistics();
  assert.deepEqual(
    [low, high],
    [
      [1, -9],
      [9, -1],
    ],
  );
  for (const [d, sign] of [1, -1].entries()) {
    assert.ok(Math.abs(mean[d] - 5 * sign) < 1e-12);
    assert.ok(Math.abs(found[d] - sd) < 1e-12);
  }
});
