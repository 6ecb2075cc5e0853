// The task that a policy file is run on.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { UsageError } from '../contract/errors.js';

/**
 * The name or path of the task for the policy in `path`: `given` by --task, or else the file that the run was trained on
 * by the config.json beside it, or the built-in one that its manifest names. Throws a `UsageError` where none is.
 */
export async function policyTask(path: string, manifest: { task: string }, given?: string): Promise<string> {
  if (given !== undefined) return given;
  const trained = trainedTask(dirname(path));
  const isOwn = trained !== undefined && isAbsolute(trained);
  if (isOwn && existsSync(trained)) return trained;
  const { taskNames } = await import('../trainer/sim/task.js');
  if (!isOwn && taskNames.includes(manifest.task)) return manifest.task;
  throw new UsageError(
    `policy '${path}' is for task '${manifest.task}', ${isOwn ? `whose file '${trained}' is not there any more` : 'which is not built in'}: give its file with --task`,
  );
}

/** What the config.json of a run's directory names; undefined where there is no such file. */
function trainedTask(directory: string): string | undefined {
  try {
    const { task } = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'));
    return typeof task === 'string' ? task : undefined;
  } catch {
    return undefined;
  }
}
