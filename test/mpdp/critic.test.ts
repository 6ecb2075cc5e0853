// The critic's update against plain double arithmetic: the target, the error, its gradient, and the delayed copy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCriticUpdate } from '../../trainer/mpdp/critic.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { makeTargetValue } from '../../trainer/mpdp/targetValue.js';
import { makeTransitionTargets } from '../../trainer/mpdp/transitionTargets.js';
import { Random } from '../../trainer/random.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { normals, numbersOf, qValues, softValue } from './plainNetworks.js';
import { scatteredAgent, tinyOptions } from './tiny.js';

const N = 3;
const M = 2;
const options: Options = {
  ...tinyOptions,
  batchSize: 12,
  discount: 0.9,
  entropyCoefficient: 0.3,
  targetRate: 0.1,
};

test('one update is the textbook one', async () => {
  const agent = scatteredAgent(N, M, options, 5);
  const { networks, critic, target } = agent;
  const random = new Random(9);
  const vector = (size: number) => random.fillNormal(new Float32Array(size));
  const replay = new Replay(N, M, 40);
  for (let i = 0; i < 30; i++) {
    const action = vector(M).map(Math.tanh);
    replay.add({ observation: vector(N), action, reward: i / 10, next: vector(N), terminal: i % 3 === 0 });
  }
  const batch = replay.batch(options.batchSize);
  replay.sample(batch, random);
  const continues = [...batch.continues.data];
  assert.ok(continues.includes(0) && continues.includes(1));

  const noise = new Random(7);
  const [policy, scales] = [numbersOf(agent.policies[0].arrays), numbersOf(agent.scales)];
  const online = numbersOf(critic.arrays);
  const delayed = { critic: numbersOf(target.arrays), prefix: 'target', scales } as const;
  const row = (array: Float32Array, i: number, size: number) =>
    Array.from(array.subarray(i * size, (i + 1) * size));
  const y = continues.map((goesOn, i) => {
    const next = row(batch.next.data, i, N);
    const z = normals(M, noise);
    const value = softValue(networks, { policy, ...delayed }, next, z);
    return batch.reward.data[i] + options.discount * goesOn * value;
  });
  const lower = y.map((_, i) => {
    const [first, second] = qValues(networks, delayed, row(batch.next.data, i, N), [0, 0]);
    return first < second;
  });
  assert.ok(lower.includes(true) && lower.includes(false), 'the same network is always the lower one');
  const q = () =>
    y.map((_, i) =>
      qValues(
        networks,
        { critic: online, prefix: 'critic', scales },
        row(batch.observation.data, i, N),
        row(batch.action.data, i, M),
      ),
    );
  const loss = () => q().reduce((sum, [a, b], i) => sum + ((a - y[i]) ** 2 + (b - y[i]) ** 2) / y.length, 0);
  const unit = scales['value.width'][0] ** 2;
  const expected = {
    loss: loss(),
    q:
      q()
        .flat()
        .reduce((a, b) => a + b) /
      (2 * y.length),
  };
  const slopes = Object.entries(online).flatMap(([name, numbers]) =>
    Array.from(numbers, (value, i) => {
      const at = (x: number) => {
        numbers[i] = x;
        return loss();
      };
      const slope = (at(value + 1e-5) - at(value - 1e-5)) / 2e-5 / unit;
      numbers[i] = value;
      return [name, i, slope] as const;
    }),
  );

  const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
  const targets = makeTransitionTargets(options, await makeTargetValue(engine, agent, options));
  const update = await makeCriticUpdate(engine, agent, options);
  const actual = await update(await targets(batch, new Random(7)));
  for (const name of ['loss', 'q'] as const)
    assert.ok(
      Math.abs(actual[name] - expected[name]) < 1e-5 * Math.abs(expected[name]),
      `${name} ${actual[name]}`,
    );
  const scale = Math.max(...slopes.map(([, , slope]) => Math.abs(slope)));
  for (const [name, i, slope] of slopes) {
    const gradient = critic.gradients[`gradient ${name}`].data[i];
    assert.ok(Math.abs(gradient - slope) < 1e-5 * scale, `${name}[${i}]: ${gradient}, not ${slope}`);
  }
  for (const [name, before] of Object.entries(delayed.critic)) {
    const now = critic.arrays[name.replace('target', 'critic')].data;
    for (const [i, value] of before.entries()) {
      const wanted = value + options.targetRate * (now[i] - value);
      assert.ok(Math.abs(target.arrays[name].data[i] - wanted) < 1e-6, `${name}[${i}]`);
    }
  }
});
