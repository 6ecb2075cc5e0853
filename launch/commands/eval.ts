// farsight eval: the return of a policy file in simulation, from nothing but the file.
import { FarsightError } from '../../contract/errors.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { interfaceDifference } from '../../contract/terms.js';
import { command, execute, parse } from '../command.js';
import { policyTask } from '../policyTask.js';
import { startProgress } from '../progress.js';
import { stoppable } from '../signals.js';

export interface EvaluationResult {
  task: string;
  episodes: number;
  mean: number;
  sd: number;
  returns: number[];
}

interface EvalFlags {
  task?: string;
  episodes: number;
  seed: number;
  json?: boolean;
}

export function evalCommand() {
  return command(
    'eval',
    'measure the return of a policy file in simulation, deterministic action',
    'farsight eval runs/hopper/policy.onnx --task hopper --episodes 10 --seed 100',
  )
    .argument('<policy>', 'the policy file')
    .option(
      '--task <name|path>',
      "the task (default: the run's own, or the one that the file's manifest names)",
    )
    .option('--episodes <number>', 'whole episodes', parse.positiveInteger, 10)
    .option('--seed <number>', 'of the start states', parse.seed, 100)
    .action((path: string, flags: EvalFlags) =>
      execute(
        flags.json,
        () =>
          stoppable('this step', (stop) => evaluateFile(path, flags.task, flags.episodes, flags.seed, stop)),
        ({ task, mean, sd, returns }) => {
          console.log(
            `${task}: return ${mean.toFixed(1)} ± ${sd.toFixed(1)} over ${returns.length} episodes`,
          );
          console.log(returns.map((value) => value.toFixed(1)).join('  '));
        },
      ),
    );
}

/** Runs `episodes` episodes of the policy in the file `path`. */
export async function evaluateFile(
  path: string,
  taskName: string | undefined,
  episodes: number,
  seed: number,
  stop?: AbortSignal,
): Promise<EvaluationResult> {
  const { loadTask, taskInterface } = await import('../../trainer/sim/task.js');
  const { World } = await import('../../trainer/sim/world.js');
  const { evaluate } = await import('../../trainer/mpdp/evaluate.js');
  const { Policy } = await import('../../controller/policy.js');
  const given = taskName === undefined ? undefined : await loadTask(taskName);
  const { manifest, bytes } = readPolicyFile(path, given?.name);
  const task = given ?? (await loadTask(await policyTask(path, manifest)));
  const difference = interfaceDifference(manifest, taskInterface(task));
  if (difference)
    throw new FarsightError(`policy '${path}': ${difference}; was the task changed since the export?`);
  const policy = new Policy(path, bytes, manifest);
  const world = await World.create(task);
  const progress = startProgress({ title: 'evaluate', total: episodes, unit: 'episodes' });
  try {
    const act = (observation: Float32Array) => {
      policy.observation.set(observation);
      policy.run();
      return policy.action;
    };
    const result = await evaluate(world, act, episodes, seed, {
      onEpisode: (done) => progress.update(done),
      stop,
    });
    return { task: task.name, episodes, ...result };
  } finally {
    progress.finish();
    world.dispose();
    policy.release();
  }
}
