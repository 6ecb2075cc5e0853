// Commands that take effect late: the critic's targets, where plans start, and rollouts, against plain double arithmetic.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeArrivals } from '../../trainer/mpdp/commandDelay.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { makePolicyRollout } from '../../trainer/mpdp/policyRollout.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { makeTargetValue } from '../../trainer/mpdp/targetValue.js';
import { makeTransitionTargets } from '../../trainer/mpdp/transitionTargets.js';
import { Random } from '../../trainer/random.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { act, normals, numbersOf, predict, softValue } from './plainNetworks.js';
import { scatteredAgent, tinyOptions } from './tiny.js';

const [N, M, ROWS] = [3, 2, 8];
const options: Options = { ...tinyOptions, batchSize: ROWS, commandDelay: 1.25, modelNoise: false };
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
const agent = scatteredAgent(N, M, options, 5);
const { networks } = agent;
const [policy, scales] = [numbersOf(agent.policies[0].arrays), numbersOf(agent.scales)];
const mean = (s: number[]) => act(networks, policy, scales, s, [0, 0]).action;
const late = ([, last, before]: number[][]) => last.map((value, i) => 0.75 * value + 0.25 * before[i]);
const close = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-4 * (1 + Math.abs(expected)), `${actual}, not ${expected}`);

test('what is pending at a next observation is what π₀ gave at the one before', async () => {
  const random = new Random(2);
  const replay = new Replay(N, M, 20);
  for (let i = 0; i < 20; i++) {
    const [observation, next] = [0, 1].map(() => random.fillNormal(new Float32Array(N)));
    const action = random.fillNormal(new Float32Array(M));
    replay.add({ observation, action, reward: i, next, terminal: i % 3 === 0 });
  }
  const batch = replay.batch(ROWS);
  replay.sample(batch, random);
  const arrivals = await makeArrivals(engine, agent, ROWS);
  const states = (await arrivals(batch)).slice();
  const targets = makeTransitionTargets(options, await makeTargetValue(engine, agent, options), arrivals);
  const drawn = new Random(9);
  const { value } = await targets(batch, new Random(9));
  const target = numbersOf(agent.target.arrays);
  let going = 0;
  for (let row = 0; row < ROWS; row++) {
    const part = ({ data }: { data: Float32Array }, size: number) =>
      Array.from(data.subarray(row * size, (row + 1) * size));
    const [observation, next] = [part(batch.observation, N), part(batch.next, N)];
    const continues = batch.continues.data[row] === 1;
    const pending = mean(observation);
    const expected = [...(continues ? next : observation), ...pending, ...pending];
    for (const [i, number] of expected.entries()) close(states[row * (N + 2 * M) + i], number);
    const critic = { critic: target, prefix: 'target', scales } as const;
    const following = softValue(networks, { policy, ...critic }, next, normals(M, drawn), {
      late: (a) => late([a, pending, pending]),
    });
    close(value.data[row], batch.reward.data[row] + (continues ? options.discount * following : 0));
    if (continues) going++;
  }
  assert.ok(going > 0 && going < ROWS);
});

test('a rollout moves by the commands of before', async () => {
  const STEPS = 4;
  const rollOut = await makePolicyRollout(engine, agent, options, ROWS, STEPS);
  const from = new Random(3).fillNormal(new Float32Array(ROWS * (N + 2 * M)));
  const { states, rewards, actions } = await rollOut(from, new Random(1), false);
  const ensemble = numbersOf(agent.ensemble.arrays);
  for (let row = 0; row < ROWS; row++) {
    const all = Array.from(from.subarray(row * (N + 2 * M), (row + 1) * (N + 2 * M)));
    let s = all.slice(0, N);
    let pending = [all.slice(N, N + M), all.slice(N + M)];
    const member = agent.elites[Math.floor((row * agent.elites.length) / ROWS)];
    for (let k = 0; k < STEPS; k++) {
      const own = mean(s);
      const command = late([own, ...pending]);
      for (const [i, value] of command.entries()) close(actions[k][row * M + i], value);
      const [reward, ...change] = predict(networks, ensemble, scales, s, command)[member].mean.map(
        (value, d) => value * scales['model.targetSd'][d] + scales['model.targetMean'][d],
      );
      s = s.map((value, d) => value + change[d]);
      pending = [own, pending[0]];
      close(rewards[k][row], reward);
      const expected = [...s, ...pending.flat()];
      for (const [i, value] of expected.entries()) close(states[k][row * (N + 2 * M) + i], value);
    }
  }
});
