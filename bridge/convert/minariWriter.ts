// Writes episodes as a Minari dataset in its Parquet layout: a file an episode, with one observation more than actions.
import { join } from 'node:path';
import type { DatasetTask } from '../../contract/dataset.js';
import { makeDirectory } from '../../contract/directory.js';
import { UsageError } from '../../contract/errors.js';
import { writeWhole } from '../../contract/wholeFile.js';
import { parquetFile } from './columns.js';
import type { Episode } from './episodes.js';

/** The first version that has the Parquet layout. */
const MINARI_VERSION = '0.5.3';
export const MINARI_METADATA = 'metadata.json';

/** Throws a `UsageError` when Minari would not take `name` for a dataset's. */
export function checkMinariName(name: string): void {
  if (!/^[-_\w]+-v\d+$/.test(name))
    throw new UsageError(
      `--out '${name}': Minari finds a dataset by its directory's name, NAME-vVERSION: choose one such as 'my-robot-v0'`,
    );
}

export class MinariWriter {
  readonly #directory: string;
  readonly #name: string;
  readonly #task: DatasetTask;
  #episodes = 0;
  #steps = 0;
  #bytes = 0;

  constructor(directory: string, name: string, task: DatasetTask) {
    this.#directory = join(directory, 'data');
    this.#name = name;
    this.#task = task;
  }

  add({ robot, boot, tick, steps, observation, action, sensorAge, reward, terminal }: Episode): void {
    const { observation: terms, action: actions } = this.#task;
    const count = steps + 1;
    // Minari's own writer fills the last row of what has one entry a step.
    const each = <T>(value: (step: number) => T, last: T) =>
      Array.from({ length: count }, (_, i) => (i < steps ? value(i) : last));
    const vectors = (values: Float32Array, width: number) =>
      Array.from({ length: count }, (_, i) => Array.from(values.subarray(i * width, (i + 1) * width)));
    const bytes = parquetFile([
      { name: 'observations', type: 'FLOAT', shape: 'list', data: vectors(observation, terms.length) },
      { name: 'actions', type: 'FLOAT', shape: 'list', data: vectors(action, actions.length) },
      { name: 'rewards', type: 'DOUBLE', data: each((i) => reward?.[i] ?? Number.NaN, 0) },
      { name: 'terminations', type: 'BOOLEAN', data: each((i) => terminal && i === steps - 1, false) },
      { name: 'truncations', type: 'BOOLEAN', data: each((i) => !terminal && i === steps - 1, false) },
      {
        name: 'infos',
        type: 'FLOAT',
        shape: { fields: [{ name: 'sensor_age', type: 'FLOAT' }] },
        data: Array.from(sensorAge, (age) => ({ sensor_age: age })),
      },
    ]);
    const id = this.#episodes++;
    const folder = join(this.#directory, String(id));
    makeDirectory(folder);
    writeWhole(join(folder, 'part-0.parquet'), bytes);
    writeWhole(
      join(folder, MINARI_METADATA),
      JSON.stringify({ id, total_steps: steps, farsight: { robot, boot, tick } }),
    );
    this.#steps += steps;
    this.#bytes += bytes.length;
  }

  finish(rewardsOf: string | null): void {
    const { observation, action } = this.#task;
    const metadata = {
      total_episodes: this.#episodes,
      total_steps: this.#steps,
      data_format: 'parquet',
      jpeg_encoding: true,
      observation_space: box(observation.map(({ clip }) => [-(clip ?? Infinity), clip ?? Infinity])),
      action_space: box(action.map(({ limits }) => limits)),
      dataset_id: this.#name,
      minari_version: MINARI_VERSION,
      dataset_size: Math.round(this.#bytes / 1e5) / 10,
      description:
        rewardsOf === null
          ? 'Recorded on robots; the rewards are not known: NaN.'
          : `Recorded on robots; the rewards are those of the task '${rewardsOf}' for what was observed.`,
      farsight: { interface: this.#task, rewards: rewardsOf },
    };
    writeWhole(join(this.#directory, MINARI_METADATA), `${JSON.stringify(metadata, null, 2)}\n`);
  }
}

/** A space as Minari has it: JSON in a string, with Python's word for what has no bound. */
function box(limits: readonly (readonly [number, number])[]): string {
  const list = (values: number[]) => `[${values.map(String).join(', ')}]`;
  const [low, high] = [limits.map(([least]) => least), limits.map(([, most]) => most)];
  return `{"type": "Box", "dtype": "float32", "shape": [${limits.length}], "low": ${list(low)}, "high": ${list(high)}}`;
}
