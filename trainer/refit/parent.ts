// The run that a refit begins from: its policy file, the networks of that file, and what it returns in simulation.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { FarsightError } from '../../contract/errors.js';
import { INPUT, OUTPUT, type PolicyFile, readPolicyFile } from '../../contract/policyFile.js';
import { interfaceDifference } from '../../contract/terms.js';
import { type EvaluationHooks, evaluate } from '../mpdp/evaluate.js';
import type { Mpdp } from '../mpdp/mpdp.js';
import { bringBack } from '../mpdp/networks.js';
import { readMetrics } from '../report/metrics.js';
import type { RunConfig } from '../run/runConfig.js';
import { type Task, taskInterface } from '../sim/task.js';
import { World } from '../sim/world.js';
import { EPISODES, EVALUATION_SEED } from './refitGate.js';

/** Throws a `FarsightError` when the run has no policy file, or one of another interface than the task's. */
export function readParent(from: string, { options }: RunConfig, task: Task): PolicyFile {
  const path = join(from, 'policy.onnx');
  if (!existsSync(path)) {
    const why = existsSync(join(from, 'policy.rejected.onnx'))
      ? `its refit was rejected; refit the run before it, or train this one on: farsight train --resume --out '${from}' --steps ${stepsDone(from) + options.evaluateEvery}`
      : 'go on with train --resume until its first evaluation';
    throw new FarsightError(`--from '${from}' has no policy.onnx: ${why}`);
  }
  const parent = readPolicyFile(path, task.name);
  const difference = interfaceDifference(parent.manifest, taskInterface(task));
  if (difference)
    throw new FarsightError(`policy '${path}': ${difference}; was the task changed since the export?`);
  return parent;
}

/** Environment steps of a run so far. */
function stepsDone(run: string): number {
  return readMetrics(join(run, 'metrics.jsonl')).at(-1)?.environmentSteps ?? 0;
}

/**
 * Goes back from the run's last checkpoint to the networks of its best evaluation: those of the policy file that the
 * new policy names as its parent, and is compared with.
 */
export function startFromParent(
  { agent, best, position }: Mpdp,
  { manifest }: PolicyFile,
  from: string,
): void {
  const { environmentSteps } = manifest.provenance;
  if (!best || position.bestAt !== environmentSteps) {
    throw new FarsightError(
      `'${from}': policy.onnx is of step ${environmentSteps}, the best policy of its checkpoint of step ${position.bestAt}: go on with train --resume, or bring the file back`,
    );
  }
  bringBack(agent, 'policies', best);
}

/** Mean return in simulation of a policy file as it is. */
export async function returnOfFile(
  { bytes }: PolicyFile,
  task: Task,
  hooks: EvaluationHooks = {},
): Promise<number> {
  const world = await World.create(task);
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  try {
    const act = async (observation: Float32Array) => {
      const input = new Tensor('float32', observation, [1, observation.length]);
      return (await session.run({ [INPUT]: input }))[OUTPUT].data as Float32Array;
    };
    return (await evaluate(world, act, EPISODES, EVALUATION_SEED, hooks)).mean;
  } finally {
    await session.release();
    world.dispose();
  }
}
