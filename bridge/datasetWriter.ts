// Writes received recordings into datasets, one a task: every row checked, kept once, and never half there.
import { createHash, randomUUID } from 'node:crypto';
import {
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
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
  readDatasetFile,
  readIndex,
  readRows,
  type Source,
} from '../contract/dataset.js';
import { makeDirectory } from '../contract/directory.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { ROW } from '../contract/loop.js';
import { readPolicyFile } from '../contract/policyFile.js';
import { FAULTS_FOLDER, type Recording, readRecording } from '../contract/recording.js';
import { rowChecker } from '../contract/rowCheck.js';
import { interfaceDifference, type TaskInterface } from '../contract/terms.js';
import type { FinalReceipt, UploadMetadata } from '../contract/transfer.js';
import { growWhole, syncDirectory, writeWhole } from '../contract/wholeFile.js';
import { parquetOf, type Received } from './datasetRows.js';

export const QUARANTINE_FOLDER = 'quarantine';
/** Begins the names of copies of imported files. */
const ASIDE = 'import-';

export interface DatasetWriterOptions {
  /** The collector's directory. */
  directory: string;
  /** Of the policy files that recordings may come from; any policy's when left out. */
  policies?: string;
}

interface Dataset {
  name: string;
  directory: string;
  task: DatasetTask;
  indexBytes: number;
  /** By robot and boot. */
  runs: Map<string, { path: string; policy: string; first: number; last: number }[]>;
}

export class DatasetWriter {
  readonly #options: DatasetWriterOptions;
  readonly #datasets = new Map<string, Dataset>();
  readonly #receipts = new Map<string, FinalReceipt>();
  readonly #policies = new Map<string, TaskInterface>();
  /** Of each robot's boot, the dataset: a loop is of one task for as long as it runs, whatever policy it is given. */
  readonly #boots = new Map<string, string>();

  /** Opens what is there, and clears what a crash left in part. Throws a `FarsightError` that names what is damaged. */
  constructor(options: DatasetWriterOptions) {
    this.#options = options;
    makeDirectory(join(options.directory, QUARANTINE_FOLDER));
    for (const name of readdirSync(options.directory)) {
      if (name.startsWith(ASIDE)) rmSync(join(options.directory, name));
      else if (isDataset(join(options.directory, name))) this.#open(name);
    }
    const quarantine = join(options.directory, QUARANTINE_FOLDER);
    for (const name of readdirSync(quarantine)) {
      const [, sha256] = /^([0-9a-f]{64})\.json$/.exec(name) ?? [];
      if (!sha256) continue;
      try {
        const { reason } = JSON.parse(readFileSync(join(quarantine, name), 'utf8'));
        this.#receipts.set(sha256, { state: 'quarantined', reason: String(reason) });
      } catch (error) {
        throw new FarsightError(`'${join(quarantine, name)}' cannot be read: ${messageOf(error)}`);
      }
    }
    this.#readPolicies();
  }

  /** Of every file that is done. */
  get receipts(): ReadonlyMap<string, FinalReceipt> {
    return this.#receipts;
  }

  /**
   * Takes the file at `path` in, which is on the same file system and is gone afterwards. What does not fit goes to the
   * quarantine. Returns undefined when its bytes are not those that the upload said: then nothing is kept. Throws only
   * when the disk does not do what it should; the file is then still there.
   */
  async take(path: string, upload: UploadMetadata): Promise<FinalReceipt | undefined> {
    const known = this.#receipts.get(upload.sha256);
    if (known) {
      rmSync(path);
      return known;
    }
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
      return this.quarantine(path, upload, messageOf(error).replace(`recording '${path}': `, ''));
    }
    const receipt = await this.#store(path, upload, received);
    if (receipt.state === 'quarantined') return this.quarantine(path, upload, receipt.reason);
    rmSync(path);
    rmSync(join(this.#options.directory, QUARANTINE_FOLDER, `${sha256}.mcap`), { force: true });
    this.#receipts.set(sha256, receipt);
    return receipt;
  }

  /** A file that was set aside is looked at anew when a person brings it again. */
  forgive({ sha256 }: UploadMetadata): void {
    if (this.#receipts.get(sha256)?.state !== 'quarantined') return;
    this.#receipts.delete(sha256);
    rmSync(join(this.#options.directory, QUARANTINE_FOLDER, `${sha256}.json`), { force: true });
  }

  /** Sets a file aside, with its reason beside it. */
  quarantine(path: string, upload: UploadMetadata, reason: string): FinalReceipt {
    const folder = join(this.#options.directory, QUARANTINE_FOLDER);
    const about = { ...upload, reason, received: new Date().toISOString() };
    renameSync(path, join(folder, `${upload.sha256}.mcap`));
    writeWhole(join(folder, `${upload.sha256}.json`), `${JSON.stringify(about, null, 2)}\n`);
    const receipt: FinalReceipt = { state: 'quarantined', reason };
    this.#receipts.set(upload.sha256, receipt);
    return receipt;
  }

  /** Every row of the file, each checked. Throws a `FarsightError` that says what does not fit. */
  #check(path: string, { robot, boot }: UploadMetadata): Received {
    const rows: Float64Array[] = [];
    const walls: bigint[] = [];
    const { recording, closed, file } = readRecording(path, (own) => {
      if (own.robot !== robot) throw new FarsightError(`is of robot '${own.robot}', not of '${robot}'`);
      if (own.recording !== boot) throw new FarsightError(`is of boot '${own.recording}', not of '${boot}'`);
      this.#checkPolicy(own);
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

  #checkPolicy(recording: Recording): void {
    const { policies } = this.#options;
    if (policies === undefined) return;
    if (!this.#policies.has(recording.policy)) this.#readPolicies();
    const known = this.#policies.get(recording.policy);
    if (!known) {
      throw new FarsightError(
        `is of policy ${recording.policy.slice(0, 12)}, whose file is not in '${policies}': put it there, then 'farsight collect --import' this file`,
      );
    }
    const difference = interfaceDifference(recording.interface, known);
    if (difference)
      throw new FarsightError(`contradicts policy ${recording.policy.slice(0, 12)}: ${difference}`);
  }

  #readPolicies(): void {
    const { policies } = this.#options;
    if (policies === undefined) return;
    for (const name of readdirSync(policies)) {
      if (!name.endsWith('.onnx')) continue;
      const { sha256, manifest } = readPolicyFile(join(policies, name));
      this.#policies.set(sha256, manifest);
    }
  }

  async #store(path: string, upload: UploadMetadata, received: Received): Promise<FinalReceipt> {
    const { recording, complete, lost } = received;
    const task = datasetTaskOf(recording.interface);
    const contradiction = this.#contradiction(upload, datasetName(task));
    if (contradiction !== undefined) return { state: 'quarantined', reason: contradiction };
    const dataset = this.#datasetOf(task);
    const { fresh, conflict } = await this.#freshOf(dataset, upload, received);
    if (conflict !== undefined) return { state: 'quarantined', reason: conflict };
    const { sha256: source, filename: name, robot, boot } = upload;
    const { segment, fault, policy, loopRate } = recording;
    let part: Source['part'];
    if (fresh.length > 0) {
      const ticks = fresh.map((i) => received.rows[i][ROW.tick]);
      const file = join(ROWS_FOLDER, `${boot.slice(0, 8)}-${pad(ticks[0])}-${source.slice(0, 8)}.parquet`);
      const bytes = parquetOf(dataset.task, upload, received, fresh);
      writeWhole(join(dataset.directory, file), bytes);
      syncDirectory(join(dataset.directory, ROWS_FOLDER));
      const begin = new Date(Number(received.walls[fresh[0]] / 1_000_000n)).toISOString();
      part = { path: file, first: ticks[0], last: ticks.at(-1)!, begin, bytes: bytes.byteLength };
    }
    if (fault !== undefined) {
      const box = join(dataset.directory, FAULTS_FOLDER, `${robot}-${name}`);
      rmSync(box, { force: true });
      linkSync(path, box);
      syncDirectory(join(dataset.directory, FAULTS_FOLDER));
    }
    const duplicates = received.rows.length - fresh.length;
    const line: Source = {
      ...{ source, name, robot, boot, segment, ...(fault && { fault }), policy, loopRate, complete },
      received: new Date().toISOString(),
      ...{ rows: fresh.length, duplicates, lost, ...(part && { part }) },
    };
    const index = join(dataset.directory, INDEX_FILE);
    const text = `${JSON.stringify(line)}\n`;
    growWhole(index, [text], dataset.indexBytes);
    dataset.indexBytes += Buffer.byteLength(text);
    this.#remember(dataset, line);
    return { state: 'stored', dataset: dataset.name, rows: fresh.length, duplicates };
  }

  /** Indices of the rows that the dataset does not hold; `conflict` when it holds others by their name, or another policy's. */
  async #freshOf(dataset: Dataset, { robot, boot }: UploadMetadata, { rows, recording }: Received) {
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
    const known = this.#boots.get(runKey(robot, boot));
    if (known === undefined || known === dataset) return undefined;
    return `other files of its boot are of dataset '${known}'`;
  }

  #remember({ name, runs }: Dataset, { robot, boot, policy, part }: Source): void {
    const key = runKey(robot, boot);
    this.#boots.set(key, name);
    if (!part) return;
    const parts = runs.get(key) ?? [];
    runs.set(key, parts);
    parts.push({ path: part.path, policy, first: part.first, last: part.last });
  }

  #datasetOf(task: DatasetTask): Dataset {
    const name = datasetName(task);
    const found = this.#datasets.get(name);
    if (found) return found;
    const directory = join(this.#options.directory, name);
    makeDirectory(join(directory, ROWS_FOLDER));
    makeDirectory(join(directory, FAULTS_FOLDER));
    writeWhole(join(directory, DATASET_FILE), datasetFileText(task));
    return this.#open(name);
  }

  #open(name: string): Dataset {
    const directory = join(this.#options.directory, name);
    const task = readDatasetFile(directory);
    const { sources, bytes } = readIndex(directory);
    const index = join(directory, INDEX_FILE);
    if (existsSync(index) && statSync(index).size > bytes) truncateSync(index, bytes);
    const dataset: Dataset = { name, directory, task, indexBytes: bytes, runs: new Map() };
    for (const source of sources) {
      this.#remember(dataset, source);
      const { rows, duplicates } = source;
      this.#receipts.set(source.source, { state: 'stored', dataset: name, rows, duplicates });
    }
    const listed = new Set(sources.map(({ part }) => part && basename(part.path)));
    for (const file of readdirSync(join(directory, ROWS_FOLDER))) {
      if (!listed.has(file)) rmSync(join(directory, ROWS_FOLDER, file));
    }
    this.#datasets.set(name, dataset);
    return dataset;
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

const runKey = (robot: string, boot: string) => `${robot} ${boot}`;
const pad = (tick: number) => String(tick).padStart(12, '0');
