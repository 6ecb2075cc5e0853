// What a run was started with: config.json; and what may be asked of it anew when it goes on.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { findingsOf, firstFinding } from '../../contract/schemaErrors.js';
import { writeWhole } from '../../contract/wholeFile.js';
import { changeOptions, type Options, optionsSchema } from '../mpdp/options.js';
import { LARGEST_SEED } from '../random.js';
import { isTaskPath, type Task } from '../sim/task.js';

export const CONFIG_FILE = 'config.json';

const configSchema = z.strictObject({
  /** Name of a built-in task or path of a user's. */
  task: z.string(),
  /** Of a user's task: what it is called, and what its file and MJCF come to. */
  ownTask: z.strictObject({ name: z.string(), digest: z.string() }).optional(),
  preset: z.string(),
  seed: z.int().min(0).max(LARGEST_SEED),
  options: optionsSchema,
  /** Of a refitted run: what its policies' manifests say of the real data and of the policy refined. */
  lineage: z.strictObject({ datasets: z.array(z.string()), parent: z.string() }).optional(),
});
export type RunConfig = z.infer<typeof configSchema>;

/** What a configuration says of a task: a path is found from any other working directory too. */
export const taskConfig = ({ source, name, digest }: Task): Pick<RunConfig, 'task' | 'ownTask'> => ({
  task: source,
  ...(digest !== undefined && { ownTask: { name, digest } }),
});

/** When the run ends and how it is judged: nothing that it has done already would have been done otherwise. */
const EXTENDABLE: readonly (keyof Options)[] = [
  'steps',
  'stopAtReturn',
  'evaluateEvery',
  'evaluationEpisodes',
];

/** What a person says beside `--resume`; what is left out stays. */
export interface ConfigRequest {
  task?: string;
  preset?: string;
  seed?: number;
  /** `key=value`. */
  settings?: readonly string[];
}

export function readConfig(directory: string): RunConfig {
  const file = join(directory, CONFIG_FILE);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new FarsightError(
      `'${file}' cannot be read (${messageOf(error)}): is '${directory}' the directory of a run?`,
    );
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) throw new FarsightError(`'${file}': ${findingsOf(parsed.error)}`);
  return parsed.data;
}

/** Throws a `UsageError` that names what is wrong with the configuration of a run that is to begin. */
export function checkConfig(config: RunConfig): void {
  const parsed = configSchema.safeParse(config);
  if (parsed.success) return;
  const { path, message } = firstFinding(parsed.error);
  throw new UsageError(`${path[0] === 'options' ? '--set ' : '--'}${String(path.at(-1))}: ${message}`);
}

export function writeConfig(directory: string, config: RunConfig): void {
  writeWhole(join(directory, CONFIG_FILE), `${JSON.stringify(config, null, 2)}\n`);
}

/** The configuration of the run in `directory` as it goes on. Throws a `UsageError` that names what cannot change. */
export function extendedConfig(
  config: RunConfig,
  directory: string,
  { task, preset, seed, settings = [] }: ConfigRequest,
): RunConfig {
  const refuse = (flag: string, has: unknown) =>
    unextendable(flag, `the run in '${directory}' has ${JSON.stringify(has)}`);
  const source = task !== undefined && isTaskPath(task) ? resolve(task) : (task ?? config.task);
  // A task of one's own may lie elsewhere: whether it is the same shows when it is loaded.
  const moved = config.ownTask !== undefined && isTaskPath(source);
  if (source !== config.task && !moved) throw refuse(`--task '${task}'`, config.task);
  if (preset !== undefined && preset !== config.preset) throw refuse(`--preset '${preset}'`, config.preset);
  if (seed !== undefined && seed !== config.seed) throw refuse(`--seed ${seed}`, config.seed);
  const options = changeOptions(config.options, settings);
  for (const key of Object.keys(options) as (keyof Options)[]) {
    const same = JSON.stringify(options[key]) === JSON.stringify(config.options[key]);
    if (!same && !EXTENDABLE.includes(key)) throw refuse(`--set ${key}`, config.options[key]);
  }
  return { ...config, task: source, options };
}

/** Throws a `UsageError` where a user's task is not any more what the run in `directory` was begun with. */
export function refuseChangedTask(
  { ownTask: begun }: RunConfig,
  directory: string,
  { task, ownTask }: Pick<RunConfig, 'task' | 'ownTask'>,
): void {
  if (begun && ownTask && begun.digest !== ownTask.digest)
    throw unextendable(
      `--task '${task}'`,
      `its file or its MJCF has changed since the run in '${directory}' began`,
    );
}

const unextendable = (flag: string, why: string) =>
  new UsageError(
    `${flag}: ${why}, and --resume changes only ${EXTENDABLE.join(', ')}; start another run for it`,
  );
