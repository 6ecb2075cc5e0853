// The shapes of robots for the dashboard: the MJCF of each task that ships, and of the user's own.
import { readdirSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { RobotModel } from '../../bridge/pageMessages.js';
import { FarsightError, messageOf } from '../../contract/errors.js';
import type { TaskSource } from '../../trainer/sim/defineTask.js';
import { readMjcf } from '../../trainer/sim/mjcf.js';

const TASKS = fileURLToPath(new URL('../../trainer/sim/tasks/', import.meta.url));

/**
 * Finds a task's model by the task's name; the files of `own` come before what ships. Throws a `FarsightError` that names
 * a file of `own` that is no task's. MuJoCo itself is not needed: the page has it.
 */
export async function robotModels(
  own: readonly string[],
): Promise<(task: string) => Promise<RobotModel | undefined>> {
  const sources = new Map(
    readdirSync(TASKS)
      .filter((name) => name.endsWith('.js'))
      .map((name) => [basename(name, '.js'), `${TASKS}${name}`]),
  );
  for (const path of own) {
    const found = await taskIn(path);
    if (!found)
      throw new FarsightError(`--task '${path}': its default export is no task: it wants a name and an mjcf`);
    sources.set(found.name, path);
  }
  return async (task) => {
    const source = sources.get(task);
    const found = source === undefined ? undefined : await taskIn(source);
    if (source === undefined || !found) return undefined;
    const { xml, assets } = await readMjcf(found.mjcf, dirname(resolve(source)), task);
    return {
      xml,
      assets: [...assets].map(([name, content]) => [name, Buffer.from(content).toString('base64')]),
    };
  };
}

/** Undefined when the file's default export is no task. */
async function taskIn(path: string): Promise<TaskSource | undefined> {
  try {
    const { default: task } = await import(pathToFileURL(resolve(path)).href);
    return typeof task?.name === 'string' && typeof task.mjcf === 'string' ? task : undefined;
  } catch (error) {
    throw new FarsightError(`--task '${path}' cannot be loaded: ${messageOf(error)}`);
  }
}
