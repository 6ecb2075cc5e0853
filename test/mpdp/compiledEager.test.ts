// The compiled engine against eager TensorFlow.js: the same updates from the same state and noise end alike.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mpdp } from '../../trainer/mpdp/mpdp.js';
import type { Options } from '../../trainer/mpdp/options.js';
import { loadTask } from '../../trainer/sim/task.js';
import type { Parameters } from '../../trainer/tensor/array.js';
import { CompiledEngine, EagerEngine, type Engine } from '../../trainer/tensor/engine.js';
import { tf } from '../../trainer/tensor/tf.js';
import { beyondOptions, tinyOptions } from './tiny.js';

const UPDATES = 50;
const base: Options = { ...tinyOptions, layerNorm: true, normalizeObservations: true, warmupSteps: 61 };
const kinds: Record<string, Options> = {
  'as the paper has it': base,
  'beyond the paper': { ...base, ...beyondOptions },
};

/** A run just before its first update, which then trains its model and makes `UPDATES` updates. */
async function trained(engine: Engine, options: Options) {
  const run = await Mpdp.create(await loadTask('inverted-pendulum'), options, 5, engine);
  for (let i = 0; i < 60; i++) await run.step();
  const { policies, critic, target, ensemble } = run.agent;
  const networks: Record<string, Parameters> = { critic, target, ensemble };
  if (options.entropyCoefficient === 'learned') networks.temperature = run.agent.temperature;
  for (const [t, policy] of policies.entries()) networks[`policy ${t}`] = policy;
  const before = Object.entries(networks).map(([name, { flat }]) => [name, flat.data.slice()] as const);
  await run.trainModel();
  for (let i = 0; i < UPDATES; i++) await run.update();
  run.dispose();
  return { run, networks, before: Object.fromEntries(before) };
}

for (const [kind, options] of Object.entries(kinds))
  test(`${options.modelUpdatesMax} updates of the model and ${UPDATES} of critic, policies and targets: ${kind}`, async () => {
    tf.setBackend('cpu');
    const eager = await trained(new EagerEngine(), options);
    const compiled = await trained(new CompiledEngine({ threads: 1, device: 'cpu' }), options);
    assert.equal(compiled.run.position.modelFit?.updates, options.modelUpdatesMax);
    assert.deepEqual(compiled.run.agent.elites, eager.run.agent.elites);
    for (const [name, { flat }] of Object.entries(eager.networks)) {
      const start = eager.before[name];
      assert.deepEqual(compiled.before[name], start);
      let [moved, apart] = [0, 0];
      for (const [i, value] of flat.data.entries()) {
        moved += (value - start[i]) ** 2;
        apart += (compiled.networks[name].flat.data[i] - value) ** 2;
      }
      assert.ok(moved > 0, `${name} did not move`);
      // Relative to the way that it went, not to where it is.
      const share = Math.sqrt(apart / moved);
      assert.ok(share < 1e-3, `${name}: ${share} of its way apart`);
    }
  });
