// What must be heard for the policy to act: the control process's heartbeat, the guard, the topic of the emergency stop.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WORD } from '../../contract/loop.js';
import { steppedLoop } from '../fixtures/steppedLoop.js';
import { activate, lift, RATE, step } from './lift.js';

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
