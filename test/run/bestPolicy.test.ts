// Which policy a run delivers: that of its best evaluation.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPolicyFile } from '../../contract/policyFile.js';
import { startRun } from '../../trainer/run/train.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';

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
