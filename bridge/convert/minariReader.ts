// Reads a Minari dataset in its HDF5 or its Parquet layout: an episode has one observation more than actions.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FarsightError } from '../../contract/errors.js';
import type { TaskInterface } from '../../contract/terms.js';
import { readParquet } from './columns.js';
import type { Steps } from './episodes.js';
import {
  checkOwnTerms,
  checkSteps,
  type ForeignDataset,
  ownTermsSchema,
  readJsonFile,
} from './foreignDataset.js';
import type { MinariEpisode, MinariFile } from './minariFile.js';
import { openHdf5 } from './minariHdf5.js';
import { MINARI_METADATA } from './minariWriter.js';

const metadataSchema = z.object({
  data_format: z.string(),
  total_episodes: z.int().nonnegative(),
  total_steps: z.int().nonnegative(),
  observation_space: z.string().optional(),
  action_space: z.string().optional(),
  farsight: ownTermsSchema.optional(),
});
type Metadata = z.infer<typeof metadataSchema>;
const spaceSchema = z.object({ type: z.string(), shape: z.array(z.int()).optional() });

export const HDF5_FILE = 'main_data.hdf5';

/** `data` is the directory that holds the metadata and the episodes. */
export function openMinari(data: string): ForeignDataset {
  const path = join(data, MINARI_METADATA);
  const metadata = readJsonFile(path, metadataSchema);
  const { data_format: layout, total_episodes: episodes, total_steps: total } = metadata;
  if (layout !== 'hdf5' && layout !== 'parquet')
    throw new FarsightError(
      `'${path}': has data_format '${layout}', not hdf5 or parquet: write it anew with one of those`,
    );
  const files =
    layout === 'hdf5'
      ? [join(data, HDF5_FILE)]
      : Array.from({ length: episodes }, (_, id) => partsOf(join(data, String(id)))).flat();
  for (const file of files)
    if (!existsSync(file)) throw new FarsightError(`'${file}': no such file: copy it again`);
  return { format: 'minari', unit: 'steps', total, files, read: (task) => readSteps(data, metadata, task) };
}

function partsOf(folder: string): string[] {
  if (!existsSync(folder)) throw new FarsightError(`'${folder}': no such directory: copy it again`);
  const names = readdirSync(folder).filter((name) => name.endsWith('.parquet'));
  if (names.length === 0) throw new FarsightError(`'${folder}' has no .parquet file: copy it again`);
  return names.sort().map((name) => join(folder, name));
}

async function* readSteps(data: string, metadata: Metadata, task: TaskInterface): AsyncGenerator<Steps> {
  const path = join(data, MINARI_METADATA);
  if (metadata.farsight) checkOwnTerms(path, metadata.farsight, task);
  checkSpace(path, 'observation_space', metadata, task.observation.length);
  checkSpace(path, 'action_space', metadata, task.action.length);
  const file: MinariFile =
    metadata.data_format === 'hdf5' ? await openHdf5(join(data, HDF5_FILE)) : parquetEpisodes(data);
  let total = 0;
  try {
    for (let id = 0; id < metadata.total_episodes; id++) {
      const place = `'${data}', episode ${id}`;
      for (const steps of cut(await file.read(id, place), task, place)) {
        total += steps.steps;
        yield steps;
      }
    }
  } finally {
    file.close();
  }
  if (total !== metadata.total_steps)
    throw new FarsightError(
      `'${path}': says that there are ${metadata.total_steps} steps, its files have ${total}: copy it again`,
    );
}

/** An episode's steps; one that went on after its task had ended gives several stretches. */
function* cut(
  { observations, actions, terminations, sensorAge }: MinariEpisode,
  task: TaskInterface,
  place: string,
): Generator<Steps> {
  const [n, m] = [task.observation.length, task.action.length];
  const steps = observations.length / n - 1;
  if (!Number.isInteger(steps) || actions.length < steps * m || terminations.length < steps)
    throw new FarsightError(
      `${place}: ${observations.length} numbers of observations and ${actions.length} of actions fit no episode of ${n} and ${m} a step: copy it again`,
    );
  for (let begin = 0; begin < steps; ) {
    let end = begin + 1;
    while (end < steps && terminations[end - 1] !== 1) end++;
    const own = Array.prototype.slice.call(actions, begin * m, end * m) as number[];
    const stretch: Steps = {
      steps: end - begin,
      observation: Float32Array.from(Array.prototype.slice.call(observations, begin * n, (end + 1) * n)),
      // The last observation has no command: that of the step before stays.
      action: Float32Array.from([...own, ...own.slice(-m)]),
      sensorAge: sensorAge
        ? Float32Array.from(Array.prototype.slice.call(sensorAge, begin, end + 1))
        : new Float32Array(end - begin + 1),
      terminal: terminations[end - 1] === 1,
    };
    checkSteps(stretch, task, `${place} from step ${begin}`);
    yield stretch;
    begin = end;
  }
}

function parquetEpisodes(data: string): MinariFile {
  return {
    async read(id) {
      const episode = { observations: [] as number[], actions: [] as number[], terminations: [] as number[] };
      const ages: number[] = [];
      for (const file of partsOf(join(data, String(id))))
        for await (const rows of readParquet(file, ['observations', 'actions', 'terminations'], ['infos']))
          for (const row of rows) {
            for (const value of row.observations as unknown[]) episode.observations.push(number(value));
            for (const value of row.actions as unknown[]) episode.actions.push(number(value));
            episode.terminations.push(Number(row.terminations));
            const age = (row.infos as { sensor_age?: unknown } | undefined)?.sensor_age;
            if (typeof age === 'number') ages.push(age);
          }
      const known = ages.length === episode.terminations.length;
      return { ...episode, ...(known && { sensorAge: ages }) };
    },
    close() {},
  };
}

const number = (value: unknown) => (value === null ? Number.NaN : Number(value));

/** Throws when a space is not a vector of `size` numbers. */
function checkSpace(
  path: string,
  field: 'observation_space' | 'action_space',
  metadata: Metadata,
  size: number,
): void {
  const text = metadata[field];
  // Old datasets leave it to their environment; the arrays' own sizes are looked at anyway.
  if (text === undefined) return;
  let space: z.infer<typeof spaceSchema>;
  try {
    space = spaceSchema.parse(JSON.parse(text.replace(/-?(?:NaN|Infinity)\b/g, 'null')));
  } catch {
    throw new FarsightError(`'${path}': ${field} is no space: copy it again`);
  }
  const { type, shape = [] } = space;
  if (type !== 'Box' || shape.length !== 1 || shape[0] !== size)
    throw new FarsightError(
      `'${path}': ${field} is ${type} [${shape.join(', ')}], the task has Box [${size}]: take the part that fits into a dataset of its own`,
    );
}
