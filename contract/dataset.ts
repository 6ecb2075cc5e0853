// A dataset: the rows of many robots' recordings of one task, each once, in Parquet files with an index of where they came from.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetRead } from 'hyparquet';
import { z } from 'zod';
import { FarsightError, messageOf } from './errors.js';
import { FAULTS, MODES, ROW, rowLayout } from './loop.js';
import type { OnFile, RecordingFile } from './recording.js';
import { findingsOf } from './schemaErrors.js';
import { robotNameSchema } from './telemetry.js';
import { actionTermSchema, interfaceDifference, observationTermSchema, type TaskInterface } from './terms.js';
import { bootSchema } from './transfer.js';
import type { RowSink } from './transitions.js';

/** Raised whenever a reader of the previous layout could misunderstand a dataset. */
export const DATASET_VERSION = 1;
export const DATASET_FILE = 'dataset.json';
export const INDEX_FILE = 'index.jsonl';
export const ROWS_FOLDER = 'rows';

const taskSchema = z.strictObject({
  task: z.string().min(1),
  controlRate: z.number().positive(),
  observation: z.array(observationTermSchema).min(1),
  action: z.array(actionTermSchema).min(1),
});
/** What the rows of a dataset have in common. */
export type DatasetTask = z.infer<typeof taskSchema>;

export const datasetSchema = z.object({ version: z.literal(DATASET_VERSION), interface: taskSchema });

const count = z.int().nonnegative();

/** A line of the index: one file that was received, and the rows that were new in it. */
export const sourceSchema = z.object({
  /** SHA-256 of the file, and its name on the robot. */
  source: z.string(),
  name: z.string(),
  robot: robotNameSchema,
  boot: bootSchema,
  segment: count,
  /** Of a black box. */
  fault: z.enum(FAULTS).optional(),
  /** SHA-256 of the policy that acted, and the loop's rate, Hz. */
  policy: z.string(),
  loopRate: z.number().positive(),
  /** False when its writer did not live to finish it. */
  complete: z.boolean(),
  received: z.iso.datetime(),
  rows: count,
  /** Rows that were in the dataset already. */
  duplicates: count,
  /** Rows that the recorder itself lost meanwhile; the row after them has the flag `gap`. */
  lost: count,
  /** Where the new rows are, which ticks they span, and when the first was due. */
  part: z
    .object({ path: z.string(), first: count, last: count, begin: z.iso.datetime(), bytes: count })
    .optional(),
});
export type Source = z.infer<typeof sourceSchema>;
export type Part = Source & { part: NonNullable<Source['part']> };

/** The text of a dataset's own file. */
export function datasetFileText(task: DatasetTask): string {
  const columns = datasetColumns(task).map(({ name, type }) => `${name}: ${type}`);
  return `${JSON.stringify({ version: DATASET_VERSION, interface: task, columns }, null, 2)}\n`;
}

export function datasetTaskOf({ task, controlRate, observation, action }: TaskInterface): DatasetTask {
  return { task, controlRate, observation, action };
}

/** The directory of a task's dataset: its name, and what tells it from another task of the same name. */
export function datasetName(task: DatasetTask): string {
  const hash = createHash('sha256').update(JSON.stringify(task)).digest('hex');
  return `${task.task.replaceAll(/[^A-Za-z0-9_.-]/g, '-').slice(0, 80)}-${hash.slice(0, 8)}`;
}

export type ColumnType = 'INT64' | 'INT32' | 'FLOAT' | 'DOUBLE' | 'STRING' | 'TIMESTAMP';
export interface Column {
  name: string;
  type: ColumnType;
  /** Of a trace row; the columns without are about the row. */
  place?: number;
  /** The names that the values of an integer are stored as. */
  names?: readonly string[];
}

/** The columns of the Parquet files, in their order. */
export function datasetColumns({
  observation,
  action,
}: Pick<DatasetTask, 'observation' | 'action'>): Column[] {
  const layout = rowLayout(observation.length, action.length);
  const scalar = (name: string, type: ColumnType, place: number, names?: readonly string[]): Column => ({
    name,
    type,
    place,
    ...(names && { names }),
  });
  return [
    { name: 'robot', type: 'STRING' },
    { name: 'boot', type: 'STRING' },
    { name: 'time', type: 'TIMESTAMP' },
    scalar('tick', 'INT64', ROW.tick),
    scalar('scheduled', 'DOUBLE', ROW.scheduled),
    scalar('sensor_stamp', 'DOUBLE', ROW.sensorStamp),
    scalar('wake', 'FLOAT', ROW.wake),
    scalar('observe', 'FLOAT', ROW.observe),
    scalar('infer', 'FLOAT', ROW.infer),
    scalar('limit', 'FLOAT', ROW.limit),
    scalar('write', 'FLOAT', ROW.write),
    scalar('total', 'FLOAT', ROW.total),
    scalar('mode', 'STRING', ROW.mode, MODES),
    scalar('fault', 'STRING', ROW.fault, FAULTS),
    scalar('flags', 'INT32', ROW.flags),
    scalar('interventions', 'INT32', ROW.interventions),
    scalar('missed', 'INT64', ROW.missed),
    scalar('largest_score', 'FLOAT', ROW.largestScore),
    scalar('mean_score', 'FLOAT', ROW.meanScore),
    ...observation.map(({ kind, joint }, i) =>
      scalar(`observation ${i} ${kind} ${joint}`, 'FLOAT', layout.observation + i),
    ),
    ...action.map(({ kind, joint }, i) => scalar(`action ${i} ${kind} ${joint}`, 'FLOAT', layout.action + i)),
    ...action.map(({ kind, joint }, i) =>
      scalar(`command ${i} ${kind} ${joint}`, 'DOUBLE', layout.command + i),
    ),
  ];
}

/** Whether a directory is a dataset, and not one of recordings. */
export function isDataset(directory: string): boolean {
  return existsSync(join(directory, DATASET_FILE));
}

/** The dataset of a task that `directory` is, or that is in it, as in that of a collector; undefined when there is none. */
export function datasetAt(directory: string, task: TaskInterface): string | undefined {
  const inside = join(directory, datasetName(datasetTaskOf(task)));
  return [directory, inside].find(isDataset);
}

/** What a dataset says of itself. Throws a `FarsightError` that names the file. */
export function readDatasetFile(directory: string): DatasetTask {
  const path = join(directory, DATASET_FILE);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new FarsightError(`dataset '${path}' cannot be read: ${messageOf(error)}`);
  }
  const parsed = datasetSchema.safeParse(json);
  if (!parsed.success) throw new FarsightError(`dataset '${path}': ${findingsOf(parsed.error)}`);
  return parsed.data.interface;
}

/** The whole lines of an index from byte `after` on, and where the last one ends. */
export function readIndex(directory: string, after = 0): { sources: Source[]; bytes: number } {
  const path = join(directory, INDEX_FILE);
  // Opened anew: on a network file system that asks the server how long it is.
  const text = existsSync(path) ? readFrom(path, after) : '';
  // A crash can leave a last line without its end.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const sources = whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line, i) => {
      const place = `dataset index '${path}', line ${i + 1}${after > 0 ? ` after byte ${after}` : ''}`;
      let json: unknown;
      try {
        json = JSON.parse(line);
      } catch {
        throw new FarsightError(`${place}: not JSON`);
      }
      const parsed = sourceSchema.safeParse(json);
      if (!parsed.success) throw new FarsightError(`${place}: ${findingsOf(parsed.error)}`);
      return parsed.data;
    });
  return { sources, bytes: after + Buffer.byteLength(whole) };
}

function readFrom(path: string, begin: number): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(file).size - begin));
    let done = 0;
    for (let read = -1; done < bytes.length && read !== 0; done += read)
      read = readSync(file, bytes, done, bytes.length - done, begin + done);
    return bytes.toString('utf8', 0, done);
  } finally {
    closeSync(file);
  }
}

/** The rows of one file, in the order of their ticks. Throws a `FarsightError` that names it. */
export async function readRows(
  path: string,
  task: Pick<DatasetTask, 'observation' | 'action'>,
): Promise<Float64Array[]> {
  const columns = datasetColumns(task).filter(({ place }) => place !== undefined);
  const { length } = rowLayout(task.observation.length, task.action.length);
  const places = new Map(columns.map((column) => [column.name, column]));
  let rows: Float64Array[] = [];
  try {
    await parquetRead({
      file: await asyncBufferFromFile(path),
      columns: columns.map(({ name }) => name),
      onChunk({ columnName, columnData, rowStart, rowEnd }) {
        while (rows.length < rowEnd) {
          const row = new Float64Array(length).fill(Number.NaN);
          // As in a recording: who acted is said by the index.
          row[ROW.policy] = 0;
          rows.push(row);
        }
        const { place, names } = places.get(columnName)!;
        for (let i = rowStart; i < rowEnd; i++) {
          const value = columnData[i - rowStart];
          rows[i][place!] = names ? names.indexOf(value) : Number(value);
        }
      },
    });
  } catch (error) {
    throw new FarsightError(`dataset file '${path}' cannot be read: ${messageOf(error)}`);
  }
  rows = rows.sort((a, b) => a[ROW.tick] - b[ROW.tick]);
  return rows;
}

/**
 * Gives `sink` a dataset's rows: run by run of a loop, in the order in which they began, as `feedRows` does a recording's.
 * Throws a `FarsightError` when it is of another task than `expected`.
 */
export async function feedDataset(
  directory: string,
  expected: TaskInterface,
  sink: RowSink,
  onFile: OnFile,
): Promise<RecordingFile[]> {
  const task = readDatasetFile(directory);
  const difference = interfaceDifference({ ...task, safety: expected.safety }, expected);
  if (difference) throw new FarsightError(`dataset '${directory}': was made for another task: ${difference}`);
  const files: RecordingFile[] = [];
  const runs = runsOf(readIndex(directory).sources);
  const total = runs.flat().length;
  for (const parts of runs) {
    sink.restart(parts[0]);
    for (const overlapping of clusters(parts)) {
      const rows: Float64Array[][] = [];
      for (const { source, robot, boot, policy, complete, part } of overlapping) {
        await onFile(files.length, total);
        const path = join(directory, part.path);
        const read = await readRows(path, task);
        rows.push(read);
        files.push({ path, sha256: source, robot, boot, policy, rows: read.length, complete });
      }
      const ordered = rows.length === 1 ? rows[0] : rows.flat().sort((a, b) => a[ROW.tick] - b[ROW.tick]);
      for (const row of ordered) sink.push(row);
    }
  }
  return files;
}

/** The parts of each run of a loop in the order of their ticks, the runs in the order of their begin. */
function runsOf(sources: readonly Source[]): Part[][] {
  const runs = new Map<string, Part[]>();
  for (const source of sources) {
    if (!source.part) continue;
    const key = `${source.robot} ${source.boot}`;
    const parts = runs.get(key) ?? [];
    runs.set(key, parts);
    parts.push(source as Part);
  }
  const begin = (parts: Part[]) => Date.parse(parts[0].part.begin);
  return [...runs.values()]
    .map((parts) => parts.sort((a, b) => a.part.first - b.part.first))
    .sort((a, b) => begin(a) - begin(b));
}

/** Groups of parts whose ticks interleave, as those of a black box and the segments of the same time. */
function clusters(parts: readonly Part[]): Part[][] {
  const groups: Part[][] = [];
  let end = -1;
  for (const one of parts) {
    if (one.part.first > end) groups.push([]);
    groups.at(-1)!.push(one);
    end = Math.max(end, one.part.last);
  }
  return groups;
}
