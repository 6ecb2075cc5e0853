// A refit's parts that go through all transitions: a stop is heard on the way, long before they are done.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Transitions } from '../../contract/transitions.js';
import { Replay, type Transition } from '../../trainer/mpdp/replay.js';
import { Random } from '../../trainer/random.js';
import { correctedData } from '../../trainer/refit/correctedData.js';
import { estimateLatency } from '../../trainer/refit/latency.js';
import { rewardTransitions } from '../../trainer/refit/realTransitions.js';
import { loadTask } from '../../trainer/sim/task.js';

const COUNT = 20_000;
const task = await loadTask('ant');
const [n, m] = [task.observation.length, task.action.length];
const random = new Random(1);
const noise = (width: number) => random.fillNormal(new Float32Array(COUNT * width));
const recorded: Transitions = {
  count: COUNT,
  observation: noise(n),
  action: noise(m).map((value) => Math.tanh(value)),
  nextObservation: noise(n),
  terminal: new Float32Array(COUNT),
  follows: new Uint8Array(COUNT).fill(1, 1),
  sensorAge: new Float32Array(COUNT),
};
const transitions = Array.from({ length: COUNT }, (_, i): Transition => {
  const share = (all: Float32Array, width: number) => all.subarray(i * width, (i + 1) * width);
  const [observation, next] = [share(recorded.observation, n), share(recorded.nextObservation, n)];
  return { observation, action: share(recorded.action, m), reward: 0, next, terminal: false };
});
const replay = new Replay(n, m, COUNT);
for (const transition of transitions) replay.add(transition);
// A gap that is linear, so that simulation is corrected.
const residuals = Float64Array.from({ length: COUNT * n }, (_, i) => recorded.action[Math.floor(i / n) * m]);

const parts: Record<string, (stop: AbortSignal) => Promise<unknown>> = {
  'the latency': (stop) =>
    estimateLatency(recorded, 0.05, async (rows) => Float64Array.from(rows.nextObservation), { stop }),
  'the corrected data': (stop) =>
    correctedData(task, { simulated: replay, real: transitions, learned: replay, residuals }, { stop }),
  'the rewards': (stop) => rewardTransitions(recorded, task, stop),
};
for (const [name, work] of Object.entries(parts)) {
  test(`a stop is heard in ${name}`, async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 60);
    await assert.rejects(work(stop.signal), /^Error: enough$/);
  });
}
