// A recording: MCAP files (profile ros2) of the loop's trace rows; what each says of itself, and how they are read.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { McapStreamReader, type TypedMcapRecord } from '@mcap/core';
import { z } from 'zod';
import { FarsightError, messageOf } from './errors.js';
import { FAULTS } from './loop.js';
import { findingsOf } from './schemaErrors.js';
import { interfaceDifference, interfaceSchema, type TaskInterface } from './terms.js';
import { RowCodec, TOPIC } from './tickMessage.js';
import { collectTransitions, type RowSink, type Skipped, type Transitions } from './transitions.js';

/** Raised whenever a reader of the previous layout could misunderstand a file. */
export const RECORDING_VERSION = 2;
export const PROFILE = 'ros2';
/** Name of the MCAP metadata record; its one entry of the same name is JSON. */
export const METADATA = 'farsight.recording';

const NOT_OURS = "is not a recording of Farsight's: it has no 'farsight.recording' metadata";

/** Characters of a message definition; ours has some 2500. */
const LONGEST_DEFINITION = 20_000;

/** What every segment of a recording says about itself. */
export const recordingSchema = z.object({
  version: z.literal([1, RECORDING_VERSION]),
  /** Shared by the segments of one recording, and by nothing else. */
  recording: z.string().min(1),
  /** Place of this file among the segments, from 0. */
  segment: z.int().nonnegative(),
  robot: z.string().min(1),
  /** SHA-256 of the policy file that acted, or that the loop went over to, at every row of the file. */
  policy: z.string().min(1),
  /** The loop's rate, Hz. */
  loopRate: z.number().positive(),
  /** Its safety limits are those in force: of the policy that the loop was started with. */
  interface: interfaceSchema,
  /** Of a black box: the fault that it was kept for. It holds every tick, also those that segments hold. */
  fault: z.enum(FAULTS).optional(),
});
export type Recording = z.infer<typeof recordingSchema>;

/** Name of the metadata record that ends a segment which takes no more rows; its one entry of the same name is JSON. */
export const CLOSED = 'farsight.closed';

export const closedSchema = z.object({
  /** In this file. */
  rows: z.int().nonnegative(),
  /** Rows of the trace that were lost while this file was the newest: the row after them has the flag `gap`. */
  lost: z.int().nonnegative(),
});
export type Closed = z.infer<typeof closedSchema>;

/** Where, below a recording's directory, the black boxes of faults are. */
export const FAULTS_FOLDER = 'faults';

/** One file that was read. */
export interface RecordingFile {
  path: string;
  /** SHA-256 of its bytes: what a policy's manifest names as its data. */
  sha256: string;
  /** Who recorded it, in which run of its loop. */
  robot: string;
  boot: string;
  /** SHA-256 of the policy that acted. */
  policy: string;
  rows: number;
  /** False when the writer did not live to finish the file: everything up to its last whole chunk was read. */
  complete: boolean;
}

export interface ReadRecordings {
  transitions: Transitions;
  skipped: Skipped;
  files: RecordingFile[];
}

/**
 * Reads one recording file, all `.mcap` files of a directory in the order of their names, or a dataset of
 * `farsight collect`, and joins consecutive steps of the policy to transitions (see `TransitionJoiner`). Segments of one
 * recording join, other files do not.
 * Throws a `FarsightError` that names the file when it is not a recording of Farsight's, is of a later version, or of
 * another task than `expected` (task, control rate, observation and action terms must be the same). When `stop` aborts,
 * its reason is thrown before the next file.
 */
export async function readTransitions(
  pathOrDirectory: string,
  expected: TaskInterface,
  stop?: AbortSignal,
): Promise<ReadRecordings> {
  const { joiner, take } = collectTransitions(expected);
  const files = await feedRows(pathOrDirectory, expected, joiner, async () => {
    // Signals are heard only when the event loop turns.
    await setImmediate();
    stop?.throwIfAborted();
  });
  return { transitions: take(), skipped: joiner.skipped, files };
}

/** Called before each file, with how many are done, of how many. What it throws ends the reading. */
export type OnFile = (done: number, total: number) => void | Promise<void>;

/**
 * Gives `sink` every row of what `readTransitions` reads, and returns the files. Throws as that does.
 */
export async function feedRows(
  pathOrDirectory: string,
  expected: TaskInterface,
  sink: RowSink,
  onFile: OnFile = () => {},
): Promise<RecordingFile[]> {
  const { datasetAt, feedDataset } = await import('./dataset.js');
  const dataset = datasetAt(pathOrDirectory, expected);
  if (dataset !== undefined) return feedDataset(dataset, expected, sink, onFile);
  const files: RecordingFile[] = [];
  let previous: Recording | undefined;
  const paths = recordingPaths(pathOrDirectory);
  for (const path of paths) {
    await onFile(files.length, paths.length);
    const { recording, file } = readRecording(path, (own, refuse) => {
      const difference = interfaceDifference(own.interface, expected);
      if (difference) throw refuse(`was made for another task: ${difference}`);
      const continues = previous?.recording === own.recording && previous.segment + 1 === own.segment;
      if (!continues) sink.restart({ robot: own.robot, boot: own.recording });
      return (row) => sink.push(row);
    });
    previous = recording;
    files.push(file);
  }
  return files;
}

/** The interface that a recording, or the first one of a directory, or a dataset was made for. Throws as `feedRows` does. */
export async function recordedInterface(pathOrDirectory: string): Promise<TaskInterface> {
  const { isDataset, readDatasetFile } = await import('./dataset.js');
  if (isDataset(pathOrDirectory))
    return interfaceSchema.parse({ ...readDatasetFile(pathOrDirectory), safety: {} });
  const [path] = recordingPaths(pathOrDirectory);
  const refuse = (why: string) => new FarsightError(`recording '${path}': ${why}`);
  try {
    for (const record of mcapRecords(readFileSync(path)))
      if (record.type === 'Metadata' && record.name === METADATA)
        return parseMetadata(record.metadata.get(METADATA) ?? '', refuse).interface;
  } catch (error) {
    throw error instanceof FarsightError ? error : refuse('is not an MCAP file');
  }
  throw refuse(NOT_OURS);
}

function recordingPaths(pathOrDirectory: string): string[] {
  const isDirectory = statSync(pathOrDirectory, { throwIfNoEntry: false })?.isDirectory();
  if (isDirectory === undefined) throw new FarsightError(`recording '${pathOrDirectory}': no such file`);
  if (!isDirectory) return [pathOrDirectory];
  const names = readdirSync(pathOrDirectory).filter((name) => name.endsWith('.mcap'));
  if (names.length === 0) {
    throw new FarsightError(
      `recording '${pathOrDirectory}': the directory has no .mcap file and no dataset of the task: record one with 'farsight control --record', or wait until 'farsight collect' has a whole one`,
    );
  }
  return names.sort().map((name) => join(pathOrDirectory, name));
}

/** Takes the rows of one file; `wall` is the row's time, ns since 1970. Throws to refuse the file. */
export type RowVisitor = (row: Float64Array, wall: bigint) => void;

/**
 * Reads one file: `begin` is told what it says of itself and returns what takes its rows. Throws a `FarsightError` that
 * names the file when it is not a recording of Farsight's, or of a later version.
 */
export function readRecording(
  path: string,
  begin: (recording: Recording, refuse: (why: string) => FarsightError) => RowVisitor,
): { recording: Recording; closed?: Closed; file: RecordingFile } {
  const refuse = (why: string) => new FarsightError(`recording '${path}': ${why}`);
  const bytes = readFileSync(path);
  const stream = mcapRecords(bytes);
  let first: IteratorResult<TypedMcapRecord, boolean>;
  try {
    first = stream.next();
  } catch {
    throw refuse('is not an MCAP file');
  }
  let recording: Recording | undefined;
  let closed: Closed | undefined;
  let visit: RowVisitor | undefined;
  let rows = 0;
  const definitions = new Map<number, string>();
  const codecs = new Map<number, RowCodec>();
  let item = first;
  for (; !item.done; item = stream.next()) {
    const record = item.value;
    if (record.type === 'Metadata' && record.name === METADATA) {
      if (recording) throw refuse(`has its '${METADATA}' metadata twice`);
      recording = parseMetadata(record.metadata.get(METADATA) ?? '', refuse);
      visit = begin(recording, refuse);
    } else if (record.type === 'Metadata' && record.name === CLOSED) {
      closed = closedSchema.safeParse(jsonOf(record.metadata.get(CLOSED) ?? '')).data;
    } else if (record.type === 'Schema') {
      definitions.set(record.id, new TextDecoder().decode(record.data));
    } else if (record.type === 'Channel' && record.topic === TOPIC) {
      if (!recording) break;
      codecs.set(record.id, codecOf(definitions.get(record.schemaId), recording.interface, refuse));
    } else if (record.type === 'Message' && codecs.has(record.channelId)) {
      let row: Float64Array;
      try {
        row = codecs.get(record.channelId)!.decode(record.data);
      } catch (error) {
        throw refuse(messageOf(error));
      }
      visit!(row, record.logTime);
      rows++;
    }
  }
  if (!recording) throw refuse(NOT_OURS);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const { robot, recording: boot, policy } = recording;
  const file: RecordingFile = { path, sha256, robot, boot, policy, rows, complete: item.value === true };
  return { recording, closed, file };
}

/**
 * Every record of an MCAP file up to its end or to the first place that cannot be read, as after a crash; returns
 * whether the end was reached. Throws when the very start is not MCAP.
 */
function* mcapRecords(bytes: Uint8Array): Generator<TypedMcapRecord, boolean> {
  const PIECE = 1 << 20;
  const reader = new McapStreamReader();
  let any = false;
  for (let at = 0; at < bytes.length; at += PIECE) {
    reader.append(bytes.subarray(at, at + PIECE));
    for (;;) {
      let record: TypedMcapRecord | undefined;
      try {
        record = reader.nextRecord();
      } catch (error) {
        if (!any) throw error;
        return false;
      }
      if (!record) break;
      any = true;
      yield record;
    }
  }
  if (!any) throw new Error('no record');
  return reader.done();
}

/** Reads the messages of a channel by the definition that its file brings along. */
function codecOf(
  definition: string | undefined,
  { observation, action }: TaskInterface,
  refuse: (why: string) => FarsightError,
): RowCodec {
  if (definition !== undefined && definition.length > LONGEST_DEFINITION)
    throw refuse(`bad message definition: longer than ${LONGEST_DEFINITION} characters`);
  try {
    return new RowCodec(observation.length, action.length, definition);
  } catch (error) {
    throw refuse(`bad message definition: ${messageOf(error)}`);
  }
}

function parseMetadata(text: string, refuse: (why: string) => FarsightError): Recording {
  const json = jsonOf(text);
  if (json === undefined) throw refuse(`its '${METADATA}' metadata is not JSON`);
  const { version } = (json ?? {}) as { version?: unknown };
  if (typeof version === 'number' && version > RECORDING_VERSION) {
    throw refuse(
      `has layout version ${version}, this Farsight reads up to ${RECORDING_VERSION}: update Farsight`,
    );
  }
  const parsed = recordingSchema.safeParse(json);
  if (!parsed.success) throw refuse(`bad metadata: ${findingsOf(parsed.error)}`);
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
