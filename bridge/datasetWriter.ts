// Writes received recordings into datasets, one a task: every row checked, kept once, and never half there.
import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import {
  DATASET_FILE,
  type DatasetTask,
  datasetFileText,
  datasetName,
  datasetTaskOf,
  INDEX_FILE,
  isDataset,
  ROWS_FOLDER,
  readRows,
  type Source,
} from '../contract/dataset.js';
import { makeDirectory } from '../contract/directory.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { isStill, lockFile, shareLock, tryLock } from '../contract/fileLock.js';
import { ROW } from '../contract/loop.js';
import { FAULTS_FOLDER, readRecording } from '../contract/recording.js';
import { rowChecker } from '../contract/rowCheck.js';
import type { FinalReceipt, UploadMetadata } from '../contract/transfer.js';
import { growWhole, sizeOf, syncDirectory, syncFile, writeWhole } from '../contract/wholeFile.js';
import { DatasetIndex, type IndexedDataset, QUARANTINE_FOLDER, runKey } from './datasetIndex.js';
import { parquetOf, type Received } from './datasetRows.js';
import { KnownPolicies } from './knownPolicies.js';

/** Begins the names of copies of imported files. */
const ASIDE = 'import-';
const LOCKS_FOLDER = 'locks';
/** Locked by all collectors of the directory together, by one alone while it clears up. */
const PRESENT = 'collectors';
/** Before a lock that another collector has for a moment is tried again, ms. */
const AGAIN = 5;

export interface DatasetWriterOptions {
  /** The collector's directory, which it may share with others. */
  directory: string;
  /** Of the policy files that recordings may come from; any policy's when left out. */
  policies?: string;
}

export interface Taken {
  receipt: FinalReceipt | undefined;
  /** It was here already. */
  known: boolean;
}
/** Another collector takes a file of the same robot in. */
export const BUSY = 'busy';

export class DatasetWriter {
  readonly #options: DatasetWriterOptions;
  readonly #index: DatasetIndex;
  readonly #policies: KnownPolicies;
  /** Says that a collector is here. */
  readonly #present: number;

  /**
   * Opens what is there, and clears what a crash left in part where no other collector is at work. Throws a `FarsightError`
   * that names what is damaged.
   */
  constructor(options: DatasetWriterOptions) {
    this.#options = options;
    const { directory, policies } = options;
    this.#policies = new KnownPolicies(policies);
    for (const folder of [QUARANTINE_FOLDER, LOCKS_FOLDER]) makeDirectory(join(directory, folder));
    const path = this.#lockPath(PRESENT);
    const open = () => ({ file: openSync(path, 'a+'), alone: false });
    let present = open();
    for (; ; closeSync(present.file), present = open()) {
      present.alone = tryLock(present.file);
      if (!present.alone) shareLock(present.file);
      if (isStill(path, present.file)) break;
    }
    this.#present = present.file;
    this.#index = new DatasetIndex(directory);
    if (present.alone) this.#clear();
    shareLock(this.#present);
  }

  close(): void {
    if (tryLock(this.#present)) rmSync(this.#lockPath(PRESENT), { force: true });
    closeSync(this.#present);
  }

  /**
   * Takes the file at `path` in, which is on the same file system and is gone afterwards. What does not fit goes to the
   * quarantine, and with a `reason` unread. There is no receipt when its bytes are not those that the upload said: then
   * nothing is kept. Returns `BUSY` when its robot is another collector's for now. Throws only when the disk does not do
   * what it should; the file is then still there.
   */
  async take(path: string, upload: UploadMetadata, reason?: string): Promise<Taken | typeof BUSY> {
    const unlock = lockFile(this.#lockPath(`robot-${upload.robot}`));
    if (!unlock) return BUSY;
    try {
      const known = this.#index.receiptOf(upload.sha256);
      if (!known) return { receipt: await this.#take(path, upload, reason), known: false };
      rmSync(path, { force: true });
      return { receipt: known, known: true };
    } finally {
      unlock();
    }
  }

  /** The same, for as long as another collector is at the robot's files. */
  async takeAtLast(path: string, upload: UploadMetadata): Promise<FinalReceipt | undefined> {
    for (;;) {
      const taken = await this.take(path, upload);
      if (taken !== BUSY) return taken.receipt;
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }

  async #take(path: string, upload: UploadMetadata, reason?: string): Promise<FinalReceipt | undefined> {
    // Another took it, and its bytes were damaged.
    if (!existsSync(path)) return undefined;
    if (reason !== undefined) return this.#quarantine(path, upload, reason);
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    if (sha256 !== upload.sha256) {
      rmSync(path);
      return undefined;
    }
    let received: Received;
    try {
      received = this.#check(path, upload);
    } catch (error) {
      if (!(error instanceof FarsightError)) throw error;
      return this.#quarantine(path, upload, messageOf(error).replace(`recording '${path}': `, ''));
    }
    const receipt = await this.#store(path, upload, received);
    if (receipt.state === 'quarantined') return this.#quarantine(path, upload, receipt.reason);
    rmSync(path);
    rmSync(join(this.#options.directory, QUARANTINE_FOLDER, `${sha256}.mcap`), { force: true });
    return receipt;
  }

  /** A file that was set aside is looked at anew when a person brings it again. */
  forgive({ sha256 }: UploadMetadata): void {
    rmSync(join(this.#options.directory, QUARANTINE_FOLDER, `${sha256}.json`), { force: true });
  }

  /** Sets a file aside, with its reason beside it. */
  #quarantine(path: string, upload: UploadMetadata, reason: string): FinalReceipt {
    const folder = join(this.#options.directory, QUARANTINE_FOLDER);
    const about = { ...upload, reason, received: new Date().toISOString() };
    // With the receipt the robot may delete it: here it lasts from then on.
    syncFile(path);
    renameSync(path, join(folder, `${upload.sha256}.mcap`));
    writeWhole(join(folder, `${upload.sha256}.json`), `${JSON.stringify(about, null, 2)}\n`);
    syncDirectory(folder);
    return { state: 'quarantined', reason };
  }

  /** Every row of the file, each checked. Throws a `FarsightError` that says what does not fit. */
  #check(path: string, { robot, boot }: UploadMetadata): Received {
    const rows: Float64Array[] = [];
    const walls: bigint[] = [];
    const { recording, closed, file } = readRecording(path, (own) => {
      if (own.robot !== robot) throw new FarsightError(`is of robot '${own.robot}', not of '${robot}'`);
      if (own.recording !== boot) throw new FarsightError(`is of boot '${own.recording}', not of '${boot}'`);
      this.#policies.check(own);
      const problemOf = rowChecker(own.interface);
      return (row, wall) => {
        const problem = problemOf(row);
        if (problem) throw new FarsightError(problem);
        if (wall < 0n || wall > 8_640_000_000_000_000_000_000n)
          throw new FarsightError(`tick ${row[ROW.tick]}: time ${wall} is no time`);
        rows.push(row);
        walls.push(wall);
      };
    });
    return { recording, complete: file.complete, lost: closed?.lost ?? 0, rows, walls };
  }

  async #store(path: string, upload: UploadMetadata, received: Received): Promise<FinalReceipt> {
    const { recording, complete, lost } = received;
    const task = datasetTaskOf(recording.interface);
    const contradiction = this.#contradiction(upload, datasetName(task));
    if (contradiction !== undefined) return { state: 'quarantined', reason: contradiction };
    const dataset = await this.#datasetOf(task);
    const { fresh, conflict } = await this.#freshOf(dataset, upload, received);
    if (conflict !== undefined) return { state: 'quarantined', reason: conflict };
    const { sha256: source, filename: name, robot, boot } = upload;
    const { segment, fault, policy, loopRate } = recording;
    let part: Source['part'];
    this.#clearPart(dataset, upload);
    if (fresh.length > 0) {
      const ticks = fresh.map((i) => received.rows[i][ROW.tick]);
      const { begin: own, end } = partNames(upload);
      const file = join(ROWS_FOLDER, `${own}${pad(ticks[0])}${end}`);
      const bytes = parquetOf(dataset.task, upload, received, fresh);
      writeWhole(join(dataset.directory, file), bytes);
      syncDirectory(join(dataset.directory, ROWS_FOLDER));
      const begin = new Date(Number(received.walls[fresh[0]] / 1_000_000n)).toISOString();
      part = { path: file, first: ticks[0], last: ticks.at(-1)!, begin, bytes: bytes.byteLength };
    }
    if (fault !== undefined) {
      const box = join(dataset.directory, FAULTS_FOLDER, `${robot}-${name}`);
      rmSync(box, { force: true });
      syncFile(path);
      linkSync(path, box);
      syncDirectory(join(dataset.directory, FAULTS_FOLDER));
    }
    const duplicates = received.rows.length - fresh.length;
    const line: Source = {
      ...{ source, name, robot, boot, segment, ...(fault && { fault }), policy, loopRate, complete },
      received: new Date().toISOString(),
      ...{ rows: fresh.length, duplicates, lost, ...(part && { part }) },
    };
    await this.#locked(dataset.name, () => {
      this.#index.refresh();
      const { bytes } = this.#index.datasets.get(dataset.name)!;
      growWhole(join(dataset.directory, INDEX_FILE), [`${JSON.stringify(line)}\n`], bytes);
      if (bytes === 0) syncDirectory(dataset.directory);
    });
    return { state: 'stored', dataset: dataset.name, rows: fresh.length, duplicates };
  }

  /** Indices of the rows that the dataset does not hold; `conflict` when it holds others by their name, or another policy's. */
  async #freshOf(dataset: IndexedDataset, { robot, boot }: UploadMetadata, { rows, recording }: Received) {
    if (rows.length === 0) return { fresh: [] };
    const [first, last] = [rows[0][ROW.tick], rows.at(-1)![ROW.tick]];
    const held = new Map<number, { row: Float64Array; policy: string }>();
    for (const part of dataset.runs.get(runKey(robot, boot)) ?? []) {
      if (part.last < first || part.first > last) continue;
      for (const row of await readRows(join(dataset.directory, part.path), dataset.task))
        held.set(row[ROW.tick], { row, policy: part.policy });
    }
    const fresh: number[] = [];
    for (const [i, row] of rows.entries()) {
      const other = held.get(row[ROW.tick]);
      if (!other) fresh.push(i);
      else if (!row.every((value, k) => Object.is(value, other.row[k]))) {
        const conflict = `tick ${row[ROW.tick]} is in the dataset with other values: two robots of one name?`;
        return { fresh: [], conflict };
      } else if (other.policy !== recording.policy) {
        const [here, there] = [recording.policy, other.policy].map((sha256) => sha256.slice(0, 12));
        return {
          fresh: [],
          conflict: `tick ${row[ROW.tick]} is in the dataset as of policy ${there}, not ${here}`,
        };
      }
    }
    return { fresh };
  }

  /** Why a file cannot be of the same loop as others of its boot. */
  #contradiction({ robot, boot }: UploadMetadata, dataset: string): string | undefined {
    const known = this.#index.boots.get(runKey(robot, boot));
    if (known === undefined || known === dataset) return undefined;
    return `other files of its boot are of dataset '${known}'`;
  }

  async #datasetOf(task: DatasetTask): Promise<IndexedDataset> {
    const name = datasetName(task);
    if (!this.#index.datasets.has(name)) {
      const directory = join(this.#options.directory, name);
      await this.#locked(name, () => {
        makeDirectory(join(directory, ROWS_FOLDER));
        makeDirectory(join(directory, FAULTS_FOLDER));
        if (!isDataset(directory)) writeWhole(join(directory, DATASET_FILE), datasetFileText(task));
        for (const made of [directory, this.#options.directory]) syncDirectory(made);
        this.#index.refresh();
      });
    }
    return this.#index.datasets.get(name)!;
  }

  /** While no other collector writes what all robots' files of a dataset share. */
  async #locked(dataset: string, work: () => void): Promise<void> {
    const path = this.#lockPath(`dataset-${dataset}`);
    for (;;) {
      const unlock = lockFile(path);
      if (!unlock) {
        await new Promise((resolve) => setTimeout(resolve, AGAIN));
        continue;
      }
      try {
        return work();
      } finally {
        unlock();
      }
    }
  }

  #lockPath(name: string): string {
    return join(this.#options.directory, LOCKS_FOLDER, name);
  }

  /** Removes rows of the file that a collector left which did not live to list them. */
  #clearPart({ directory, runs }: IndexedDataset, upload: UploadMetadata): void {
    const listed = runs.get(runKey(upload.robot, upload.boot)) ?? [];
    const { begin, end } = partNames(upload);
    for (const name of readdirSync(join(directory, ROWS_FOLDER))) {
      const path = join(ROWS_FOLDER, name);
      if (name.startsWith(begin) && name.includes(end) && !listed.some((part) => part.path === path))
        rmSync(join(directory, path));
    }
  }

  /** Removes all that collectors left which did not live to finish it. */
  #clear(): void {
    const { directory } = this.#options;
    for (const name of readdirSync(directory)) if (name.startsWith(ASIDE)) rmSync(join(directory, name));
    for (const { directory, bytes, runs } of this.#index.datasets.values()) {
      const index = join(directory, INDEX_FILE);
      if (sizeOf(index) > bytes) truncateSync(index, bytes);
      const listed = new Set([...runs.values()].flat().map(({ path }) => basename(path)));
      for (const file of readdirSync(join(directory, ROWS_FOLDER)))
        if (!listed.has(file)) rmSync(join(directory, ROWS_FOLDER, file));
    }
  }
}

/** What an upload of the file would say of it. Throws a `FarsightError` that names it when it is no recording. */
export function describeFile(path: string): UploadMetadata {
  const { recording, file } = readRecording(path, () => () => {});
  const filename = basename(path);
  return { filename, sha256: file.sha256, robot: recording.robot, boot: recording.recording };
}

/** A name in the collector's directory that nothing has. */
export const asideName = () => `${ASIDE}${randomUUID()}`;

/** How the names of the files begin and end that hold rows of the upload; between is the first tick. */
const partNames = ({ boot, sha256 }: UploadMetadata) => ({
  begin: `${boot.slice(0, 8)}-`,
  end: `-${sha256.slice(0, 8)}.parquet`,
});
const pad = (tick: number) => String(tick).padStart(12, '0');
