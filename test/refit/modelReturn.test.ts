// The return of a policy in the model, against plain double arithmetic: whole episodes, each through one member.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Options } from '../../trainer/mpdp/options.js';
import { Random } from '../../trainer/random.js';
import { makeModelReturn, spreadOf } from '../../trainer/refit/modelReturn.js';
import { losesInModel } from '../../trainer/refit/refitGate.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { act, numbersOf, predict } from '../mpdp/plainNetworks.js';
import { scatteredAgent, tinyOptions } from '../mpdp/tiny.js';

const [N, M, EPISODES, MOST] = [3, 2, 4, 25];
const options: Options = { ...tinyOptions, modelNoise: false };
const terminated = (observation: ArrayLike<number>) => observation[0] > 1;

test('mean actions, every member by itself, up to a terminal state or the time limit', async () => {
  const agent = scatteredAgent(N, M, options, 3);
  // Slow enough to stay within reach of all sorts of ends.
  for (const name of ['model.targetMean', 'model.targetSd'])
    for (let d = 1; d <= N; d++) agent.scales[name].data[d] *= 0.2;
  const random = new Random(5);
  const starts = Array.from({ length: EPISODES }, () => random.fillNormal(new Float32Array(N)));
  const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
  const task = { maxEpisodeSteps: MOST, terminated };
  const evaluate = await makeModelReturn(engine, agent, options, task, EPISODES);
  const { mean, sd, byMember } = await evaluate(starts, 1);

  const [policy, scales] = [numbersOf(agent.policies[0].arrays), numbersOf(agent.scales)];
  const ensemble = numbersOf(agent.ensemble.arrays);
  const lengths = new Set<number>();
  const expected = agent.elites.map((member) => {
    let sum = 0;
    for (const start of starts) {
      let s = Array.from(start);
      let steps = 0;
      do {
        const { action } = act(agent.networks, policy, scales, s, [0, 0]);
        const [reward, ...change] = predict(agent.networks, ensemble, scales, s, action)[member].mean.map(
          (value, d) => value * scales['model.targetSd'][d] + scales['model.targetMean'][d],
        );
        sum += reward / EPISODES;
        s = s.map((value, d) => value + change[d]);
        steps++;
      } while (!terminated(s) && steps < MOST);
      lengths.add(steps);
    }
    return sum;
  });
  assert.ok(lengths.has(MOST) && lengths.size > 2, `episodes of ${[...lengths]} steps`);
  for (const [k, value] of expected.entries())
    assert.ok(Math.abs(byMember[k] - value) < 1e-3 * (1 + Math.abs(value)), `${byMember[k]} is not ${value}`);
  assert.ok(Math.abs(mean - (expected[0] + expected[1]) / 2) < 1e-2);
  assert.ok(Math.abs(sd - Math.abs(expected[0] - expected[1]) / Math.SQRT2) < 1e-2);
  assert.deepEqual(await evaluate(starts, 1), { mean, sd, byMember });
});

test('the gate closes on a loss that the members agree on, and not on one that they do not', () => {
  const through = (...byMember: number[]) => ({ ...spreadOf(byMember), byMember });
  const before = through(100, 200, 300);
  assert.equal(losesInModel(before, before), false);
  assert.equal(losesInModel(before, through(91, 191, 291)), false);
  assert.equal(losesInModel(before, through(85, 185, 285)), true);
  assert.equal(losesInModel(before, through(130, 185, 240)), false);
  assert.equal(losesInModel(before, through(100, 160, 240)), true);
  assert.equal(losesInModel(through(-100, -100), through(-120, -120)), true);
});
