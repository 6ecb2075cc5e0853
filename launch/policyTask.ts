// The task that a policy file is run on.
import { UsageError } from '../contract/errors.js';

/**
 * The name or path of the task for the policy in `path`: `given` by --task, or else the built-in one that its manifest
 * names. Throws a `UsageError` where neither is.
 */
export async function policyTask(path: string, manifest: { task: string }, given?: string): Promise<string> {
  if (given !== undefined) return given;
  const { taskNames } = await import('../trainer/sim/task.js');
  if (taskNames.includes(manifest.task)) return manifest.task;
  throw new UsageError(
    `policy '${path}' is for task '${manifest.task}', which is not built in: give its file with --task`,
  );
}
