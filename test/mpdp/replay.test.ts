// The replay buffer: keeps the newest transitions, and comes back from a checkpoint as it was, however many there are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Replay } from '../../trainer/mpdp/replay.js';

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
