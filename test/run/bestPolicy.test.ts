// Which policy a run delivers: that of its best evaluation; and what it says that this one is worth.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPolicyFile } from '../../contract/policyFile.js';
import { evaluateFile } from '../../launch/commands/eval.js';
import { startRun } from '../../trainer/run/train.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { metricsOf } from './runFiles.js';

const directory = temporaryDirectory();

test('the policy of the best evaluation is delivered, not of the last or the worst', async () => {
  // The return does not depend on the policy: an evaluation is worth what is said here when it comes.
  const worth = [2, 5, 1, 4];
  const scope = globalThis as { worth?: number };
  const task = join(directory, 'told.mjs');
  const pendulum = new URL('../../trainer/sim/tasks/inverted-pendulum.js', import.meta.url).href;
  writeFileSync(
    task,
    `import pendulum from '${pendulum}';
    export default { ...pendulum, maxEpisodeSteps: 5, reward: () => globalThis.worth ?? 0, terminated: () => false };`,
  );
  const options = { ...tinyRun, steps: 80, evaluateEvery: 20, warmupSteps: 79 };
  scope.worth = worth.shift();
  const out = join(directory, 'run');
  const result = await startRun(
    out,
    { task, preset: 'smoke', seed: 1, options },
    new CompiledEngine({ threads: 1, device: 'cpu' }),
    {
      onStep: (_, line) => {
        if (line?.evaluation) scope.worth = worth.shift();
      },
    },
  );
  assert.equal(result.environmentSteps, 80);
  assert.equal(readPolicyFile(join(out, 'policy.onnx')).manifest.provenance.environmentSteps, 40);
});

test('what it is worth comes from start states by which it was not chosen', async () => {
  const out = join(directory, 'honest');
  // No update: one policy all along, so that evaluations differ by their start states alone.
  const options = { ...tinyRun, steps: 100, evaluateEvery: 20, warmupSteps: 99, evaluationEpisodes: 5 };
  const config = { task: 'inverted-pendulum', preset: 'smoke', seed: 2, options };
  const result = await startRun(out, config, new CompiledEngine({ threads: 1, device: 'cpu' }));
  const evaluations = metricsOf(out).flatMap(({ evaluation }) => evaluation ?? []);
  const returns = evaluations.flatMap((one) => [one.returns, ...(one.again ? [one.again.returns] : [])]);
  assert.equal(new Set(returns.map((one) => one.join())).size, returns.length, 'each from its own states');
  const { provenance } = readPolicyFile(join(out, 'policy.onnx')).manifest;
  const best = evaluations.findLast(({ again }) => again)!;
  assert.equal(best.mean, Math.max(...evaluations.map(({ mean }) => mean)));
  assert.deepEqual([provenance.return, provenance.selectionReturn], [best.again!.mean, best.mean]);
  assert.deepEqual([result.return, result.selectionReturn], [best.again!.mean, best.mean]);
  const file = await evaluateFile(
    join(out, 'policy.onnx'),
    undefined,
    5,
    config.seed + provenance.environmentSteps + 2 ** 31,
  );
  assert.ok(Math.abs(file.mean - best.again!.mean) < 1e-9);

  // A return is reached when the policy's own is, not that by which it was chosen.
  assert.ok(best.mean > best.again!.mean);
  const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
  const stopAtReturn = (best.mean + best.again!.mean) / 2;
  const further = await startRun(
    join(directory, 'further'),
    { ...config, options: { ...options, stopAtReturn } },
    engine,
  );
  assert.equal(further.environmentSteps, 100);
});
