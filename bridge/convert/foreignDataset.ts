// What datasets of other libraries have to be like to be taken in: recognised by their files, checked against a task.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FarsightError, messageOf } from '../../contract/errors.js';
import { findingsOf } from '../../contract/schemaErrors.js';
import { interfaceDifference, interfaceSchema, type TaskInterface } from '../../contract/terms.js';
import type { Steps } from './episodes.js';

/** A dataset of another library, ready to be read. */
export interface ForeignDataset {
  format: 'lerobot' | 'minari';
  /** Units of its length, and how many it says that it has. */
  unit: 'frames' | 'steps';
  total: number;
  /** Paths of the files with its numbers, in their order. */
  files: string[];
  /** Each stretch of steps that follow each other, in order. Throws a `FarsightError` that names the file and the place. */
  read(task: TaskInterface): AsyncGenerator<Steps>;
}

export const LEROBOT_INFO = 'meta/info.json';

/** Where the data of a Minari dataset are: given itself, or the directory in which Minari finds it. */
export function minariData(path: string): string | undefined {
  return [path, join(path, 'data')].find((folder) => {
    const file = join(folder, 'metadata.json');
    return existsSync(file) && /"data_format"/.test(readFileSync(file, 'utf8'));
  });
}

/** Reads a JSON file that fits `schema`. Throws a `FarsightError` that names it. */
export function readJsonFile<T>(path: string, schema: z.ZodType<T>): T {
  let json: unknown;
  try {
    // Python writes numbers that JSON does not have.
    json = JSON.parse(readFileSync(path, 'utf8').replace(/(?<=[[,:]\s*)-?(?:NaN|Infinity)\b/g, 'null'));
  } catch (error) {
    throw new FarsightError(`'${path}' cannot be read: ${messageOf(error)}`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new FarsightError(`'${path}': ${findingsOf(parsed.error)}`);
  return parsed.data;
}

/** What Farsight says of the terms of a dataset that it wrote itself. */
export const ownTermsSchema = z.object({
  interface: interfaceSchema.omit({ safety: true }),
});

/** Throws when a dataset that Farsight wrote is of another task. */
export function checkOwnTerms(path: string, own: z.infer<typeof ownTermsSchema>, task: TaskInterface): void {
  const difference = interfaceDifference({ ...own.interface, safety: task.safety }, task);
  if (difference) throw new FarsightError(`'${path}': was made for another task: ${difference}`);
}

/** Of a command's range: what rounding to float32 may put beyond a limit. */
const SLACK = 1e-6;

/** Throws a `FarsightError` that says where in `place` a number is that no robot of the task can have recorded. */
export function checkSteps(
  { observation, action, steps }: Steps,
  task: Pick<TaskInterface, 'observation' | 'action'>,
  place: string,
): void {
  const [n, m] = [task.observation.length, task.action.length];
  const wrong = observation.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0)
    throw new FarsightError(
      `${place}, step ${Math.floor(wrong / n)}: observation ${wrong % n} is ${observation[wrong]}: leave that episode out`,
    );
  for (let i = 0; i < (steps + 1) * m; i++) {
    const { joint, limits } = task.action[i % m];
    const slack = SLACK * (limits[1] - limits[0]);
    if (action[i] >= limits[0] - slack && action[i] <= limits[1] + slack) continue;
    throw new FarsightError(
      `${place}, step ${Math.floor(i / m)}: action ${action[i]} of '${joint}' is outside ${limits.join(' to ')}: limit it as the actuator does, or leave that episode out`,
    );
  }
}
