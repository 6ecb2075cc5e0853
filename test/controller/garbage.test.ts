// No garbage in a tick; and the count of collections by the heap's size, against the engine's own profiler.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import v8 from 'node:v8';
import { WORD } from '../../contract/loop.js';
import { GarbageCounter } from '../../controller/garbage.js';
import { threeJoints } from '../fixtures/policy.js';
import { steppedLoop } from '../fixtures/steppedLoop.js';

test('a tick with every limit and monitor in force allocates next to nothing', () => {
  const safety = {
    joints: [
      {
        joint: 'hip',
        position: [-1.5, 1.5] as [number, number],
        velocity: 15,
        commandRate: 50,
        jumpMargin: 4,
      },
      {
        joint: 'knee',
        position: [-1.2, 2.5] as [number, number],
        commandRate: 4,
        commandAcceleration: 60,
        approachGain: 20,
        effort: { limit: 5, stiffness: 10, damping: 1 },
      },
      { joint: 'wheel', velocity: 12, commandAcceleration: 2000, stuckTimeout: 1 },
    ],
    bounds: [{ term: 'jointVelocity wheel', range: [-11, 11] as [number, number] }],
    outOfDistribution: { limit: 1e3, steps: 3 },
    limiting: { share: 1, steps: 150 },
    blendTime: 0.02,
    sensorTimeout: 0.1,
    missed: { longest: 0.02, share: 1, window: 1 },
  };
  let phase = 0;
  const act = (action: Float32Array) => {
    phase = (phase + 1) % 100;
    action.fill(phase < 50 ? 3 : -3);
  };
  const options = { interpolation: 'linear', alignTo: 'sensors', heartbeatTimeout: 50 } as const;
  const { loop, words, sense, mode } = steppedLoop({ ...threeJoints, safety }, 500, act, options);
  const still = [0, 0, 0];
  const places = Array.from({ length: 100 }, (_, i) => [0.1 * Math.sin(i), 0.1 * Math.cos(i), i / 100]);
  const ticks = (count: number) => {
    for (let i = 0; i < count; i++) {
      words[WORD.heartbeat]++;
      sense(places[i % 100], still);
      loop.tick();
    }
  };
  ticks(1);
  words[WORD.activate] = 1;
  ticks(50_000);
  assert.equal(mode(), 'policy');
  // The engine's own compiling allocates now and then, a collection frees: the quietest of some rounds tells.
  const bytes = Array.from({ length: 10 }, () => {
    const before = v8.getHeapStatistics().used_heap_size;
    ticks(2000);
    return Math.abs(v8.getHeapStatistics().used_heap_size - before);
  });
  // One number in a box is left: an observation term's scale or offset, where one is whole and another is not.
  assert.ok(Math.min(...bytes) < 2000 * 24, `${bytes} bytes in 2000 ticks each`);
});

test('every collection is counted', () => {
  const profiler = new v8.GCProfiler();
  const counter = new GarbageCounter();
  counter.look();
  profiler.start();
  const kept: object[] = [];
  for (let i = 0; i < 20_000; i++) {
    for (let k = 0; k < 32; k++) kept[k] = { i, values: [i, k] };
    counter.look();
  }
  const { statistics } = profiler.stop() as unknown as { statistics: unknown[] };
  assert.ok(statistics.length > 0);
  assert.equal(counter.count, statistics.length);
});
