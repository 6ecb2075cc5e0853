// The online planner that benchmarks compare π₀ with finds the action that a known model rewards.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCrossEntropyPlanner, PETS_OPTIONS } from '../../trainer/mpdp/crossEntropy.js';
import { makeAgent, makeNetworks } from '../../trainer/mpdp/networks.js';
import { resolveOptions } from '../../trainer/mpdp/options.js';
import { Random } from '../../trainer/random.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';

for (const sign of [1, -1]) {
  test(`a model that rewards ${sign > 0 ? 'large' : 'small'} actions gets them`, async () => {
    const options = resolveOptions('smoke', ['modelHidden=[1]', 'ensembleSize=2', 'elites=2']);
    const agent = makeAgent(makeNetworks(1, 1, options), options, new Random(1));
    // Reward swish(±10 a) for every member, almost without noise; the state stays where it is.
    agent.ensemble.assign({
      'model.w0': Float32Array.of(0, 10 * sign, 0, 10 * sign),
      'model.w1': Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0),
      'model.b1': Float32Array.of(0, 0, -20, -20, 0, 0, -20, -20),
    });
    const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
    const settings = { ...PETS_OPTIONS, candidates: 100, elites: 10, horizon: 3 };
    const plan = await makeCrossEntropyPlanner(engine, agent, settings, new Random(2));
    const [action] = await plan(new Float32Array(1));
    assert.ok(sign * action > 0.8, `${action}`);
  });
}
