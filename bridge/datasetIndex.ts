// What a collector's datasets hold already, and what became of each file: as their indexes and the quarantine say, which
// other collectors of the same directory go on writing.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DatasetTask, INDEX_FILE, isDataset, readDatasetFile, readIndex } from '../contract/dataset.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import type { FinalReceipt } from '../contract/transfer.js';
import { sizeOf } from '../contract/wholeFile.js';

export const QUARANTINE_FOLDER = 'quarantine';

/** A file of rows. */
export interface IndexedPart {
  path: string;
  policy: string;
  first: number;
  last: number;
}

export interface IndexedDataset {
  name: string;
  directory: string;
  task: DatasetTask;
  /** Up to the end of the index's last whole line. */
  bytes: number;
  /** By robot and boot. */
  runs: Map<string, IndexedPart[]>;
}

export const runKey = (robot: string, boot: string) => `${robot} ${boot}`;

export class DatasetIndex {
  /** By name. */
  readonly datasets = new Map<string, IndexedDataset>();
  /** Of each robot's boot, the dataset: a loop is of one task for as long as it runs, whatever policy it is given. */
  readonly boots = new Map<string, string>();
  readonly #stored = new Map<string, FinalReceipt>();
  readonly #directory: string;

  /** Throws a `FarsightError` that names what is damaged, as `refresh` does. */
  constructor(directory: string) {
    this.#directory = directory;
    this.refresh();
  }

  /** Takes in what was written since. */
  refresh(): void {
    const shrunk = [...this.datasets.values()].some(
      ({ directory, bytes }) => sizeOf(join(directory, INDEX_FILE)) < bytes,
    );
    // A line that a failing disk took back after it was seen here.
    if (shrunk) for (const known of [this.datasets, this.boots, this.#stored]) known.clear();
    for (const name of readdirSync(this.#directory)) {
      const directory = join(this.#directory, name);
      if (this.datasets.has(name) || !isDataset(directory)) continue;
      const task = readDatasetFile(directory);
      this.datasets.set(name, { name, directory, task, bytes: 0, runs: new Map() });
    }
    for (const dataset of this.datasets.values()) this.#read(dataset);
  }

  /** What became of a file that is done; others may have done it. */
  receiptOf(sha256: string): FinalReceipt | undefined {
    if (!this.#stored.has(sha256)) this.refresh();
    return this.#stored.get(sha256) ?? this.#quarantined(sha256);
  }

  #quarantined(sha256: string): FinalReceipt | undefined {
    const path = join(this.#directory, QUARANTINE_FOLDER, `${sha256}.json`);
    if (!existsSync(path)) return undefined;
    try {
      return { state: 'quarantined', reason: String(JSON.parse(readFileSync(path, 'utf8')).reason) };
    } catch (error) {
      throw new FarsightError(`'${path}' cannot be read: ${messageOf(error)}`);
    }
  }

  #read(dataset: IndexedDataset): void {
    const { name, directory, runs } = dataset;
    const { sources, bytes } = readIndex(directory, dataset.bytes);
    dataset.bytes = bytes;
    for (const { source, robot, boot, policy, rows, duplicates, part } of sources) {
      this.#stored.set(source, { state: 'stored', dataset: name, rows, duplicates });
      const key = runKey(robot, boot);
      this.boots.set(key, name);
      if (!part) continue;
      const parts = runs.get(key) ?? [];
      runs.set(key, parts);
      parts.push({ path: part.path, policy, first: part.first, last: part.last });
    }
  }
}
