// Writes steps as a dataset of our own, as if one robot had recorded them in one run of its loop: `refit --data` takes it.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import {
  DATASET_FILE,
  type DatasetTask,
  datasetFileText,
  datasetTaskOf,
  INDEX_FILE,
  ROWS_FOLDER,
  type Source,
} from '../../contract/dataset.js';
import { makeDirectory } from '../../contract/directory.js';
import { FLAG, MODES, ROW, rowLayout } from '../../contract/loop.js';
import { FAULTS_FOLDER } from '../../contract/recording.js';
import type { TaskInterface } from '../../contract/terms.js';
import { writeWhole } from '../../contract/wholeFile.js';
import { parquetOf } from '../datasetRows.js';
import type { Steps } from './episodes.js';

/** Rows in a file. */
const ROWS_PER_FILE = 100_000;
const POLICY = MODES.indexOf('policy');
/** Between the readings of two steps at least, seconds. */
const LEAST = 1e-6;
/** Of the time in which a transition still joins. */
const MOST_PERIODS = 1.49;

/** SHA-256 over files, one after the other. */
export async function digestOf(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) for await (const piece of createReadStream(file)) hash.update(piece);
  return hash.digest('hex');
}

export class DatasetImport {
  readonly #directory: string;
  readonly #task: DatasetTask;
  readonly #layout: ReturnType<typeof rowLayout>;
  readonly #about: { source: string; name: string; robot: string; boot: string };
  readonly #lines: Source[] = [];
  #rows: Float64Array[] = [];
  #tick = 0;
  /** Of the last row, seconds since the begin. */
  #time = 0;

  /** `source` is the SHA-256 of what the steps come from, `name` what it is called. */
  constructor(directory: string, task: TaskInterface, { source, name }: { source: string; name: string }) {
    this.#directory = directory;
    this.#task = datasetTaskOf(task);
    this.#layout = rowLayout(task.observation.length, task.action.length);
    const robot = name.replaceAll(/[^A-Za-z0-9_.:-]/g, '-').slice(0, 64);
    this.#about = { source, name, robot, boot: source.slice(0, 32) };
    for (const folder of [ROWS_FOLDER, FAULTS_FOLDER]) makeDirectory(join(directory, folder));
    writeWhole(join(directory, DATASET_FILE), datasetFileText(this.#task));
  }

  get rows(): number {
    return this.#lines.reduce((sum, { rows }) => sum + rows, this.#rows.length);
  }

  add({ steps, observation, action, sensorAge, terminal }: Steps): void {
    const { observation: at, action: asked, command, length } = this.#layout;
    const [n, m] = [asked - at, length - command];
    const period = 1 / this.#task.controlRate;
    // A tick, and more than a period, between those of two episodes.
    this.#tick++;
    this.#time += 2 * period;
    for (let i = 0; i <= steps; i++) {
      // As evenly as the readings' ages let it: each reading is newer than the one before.
      const older = i > 0 ? sensorAge[i] - sensorAge[i - 1] : 0;
      this.#time += Math.min(MOST_PERIODS * period, Math.max(period, older + LEAST));
      // Nothing is known of what the loop went through, nor of what the policy asked for.
      const row = new Float64Array(length).fill(0, 0, ROW.vectors).fill(Number.NaN, asked, command);
      row[ROW.tick] = this.#tick++;
      row[ROW.scheduled] = this.#time;
      row[ROW.sensorStamp] = this.#time - sensorAge[i];
      row[ROW.mode] = POLICY;
      row[ROW.flags] =
        FLAG.policyStep | (i === 0 ? FLAG.reset : 0) | (terminal && i === steps ? FLAG.terminal : 0);
      row[ROW.largestScore] = Number.NaN;
      row[ROW.meanScore] = Number.NaN;
      row.set(observation.subarray(i * n, (i + 1) * n), at);
      for (let k = 0; k < m; k++) row[command + k] = this.#limited(action[i * m + k], k);
      this.#rows.push(row);
      if (this.#rows.length === ROWS_PER_FILE) this.#flush();
    }
  }

  /** Writes what is left, and the index. */
  finish(): void {
    this.#flush();
    const text = this.#lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    writeWhole(join(this.#directory, INDEX_FILE), text);
  }

  /** A command that rounding to float32 put beyond its limit comes back onto it. */
  #limited(command: number, k: number): number {
    const [low, high] = this.#task.action[k].limits;
    return Math.max(low, Math.min(high, command));
  }

  #flush(): void {
    const rows = this.#rows;
    if (rows.length === 0) return;
    this.#rows = [];
    const { source, robot, boot } = this.#about;
    const [first, last] = [rows[0][ROW.tick], rows.at(-1)![ROW.tick]];
    // When it was is not known: time counts from 1970.
    const walls = rows.map((row) => BigInt(Math.round(row[ROW.scheduled] * 1e9)));
    const bytes = parquetOf(
      this.#task,
      { robot, boot, sha256: source },
      { rows, walls },
      rows.map((_, i) => i),
    );
    const path = join(ROWS_FOLDER, `${boot.slice(0, 8)}-${String(first).padStart(12, '0')}.parquet`);
    writeWhole(join(this.#directory, path), bytes);
    const begin = new Date(Number(walls[0] / 1_000_000n)).toISOString();
    this.#lines.push({
      ...this.#about,
      segment: this.#lines.length,
      policy: 'unknown',
      loopRate: this.#task.controlRate,
      complete: true,
      received: new Date().toISOString(),
      ...{ rows: rows.length, duplicates: 0, lost: 0 },
      part: { path, first, last, begin, bytes: bytes.byteLength },
    });
  }
}
