// The recording files of a directory: segments and black boxes, which of them take no more rows, and what they hold.
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type IReadable, McapIndexedReader } from '@mcap/core';
import {
  CLOSED,
  FAULTS_FOLDER,
  METADATA,
  type Recording,
  readRecording,
  recordingSchema,
} from '../contract/recording.js';

export interface Segment {
  /** Relative to the directory. */
  name: string;
  path: string;
  blackBox: boolean;
  bytes: number;
  mtimeMs: number;
}

/** All of a directory, the oldest first: their names begin with their recording's start. */
export function listSegments(directory: string): Segment[] {
  const list = (folder: string, blackBox: boolean) =>
    namesIn(join(directory, folder))
      .filter((name) => name.endsWith('.mcap'))
      .flatMap((file) => {
        const name = join(folder, file);
        const path = join(directory, name);
        const found = statSync(path, { throwIfNoEntry: false });
        if (!found?.isFile()) return [];
        return [{ name, path, blackBox, bytes: found.size, mtimeMs: found.mtimeMs }];
      });
  return [...list('', false), ...list(FAULTS_FOLDER, true)];
}

/** Bytes of all that lies in a directory and its folders. */
export function bytesIn(directory: string): number {
  let sum = 0;
  for (const name of namesIn(directory)) {
    const path = join(directory, name);
    const found = statSync(path, { throwIfNoEntry: false });
    sum += found?.isDirectory() ? bytesIn(path) : (found?.size ?? 0);
  }
  return sum;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** Tells which files take no more rows, and looks into one only when it has changed. */
export class ClosedSegments {
  readonly #seen = new Map<string, { bytes: number; mtimeMs: number; closed: boolean }>();

  /** Whether its recorder has said so, or it has not changed for `settle` ms. */
  async has({ path, bytes, mtimeMs }: Segment, settle: number): Promise<boolean> {
    if (Date.now() - mtimeMs >= settle) return true;
    const before = this.#seen.get(path);
    if (before?.bytes === bytes && before.mtimeMs === mtimeMs) return before.closed;
    const closed = await isClosed(path);
    this.#seen.set(path, { bytes, mtimeMs, closed });
    return closed;
  }

  /** Of a file that is gone. */
  forget({ path }: Segment): void {
    this.#seen.delete(path);
  }
}

async function isClosed(path: string): Promise<boolean> {
  return withIndex(path, (reader) => reader.metadataIndexes.some(({ name }) => name === CLOSED)).catch(
    () => false,
  );
}

/** What it says of itself, and how many rows it has. Throws a `FarsightError` when it is no recording. */
export async function describe({ path }: Pick<Segment, 'path'>): Promise<Description> {
  return (await describeByIndex(path).catch(() => undefined)) ?? describeByReading(path);
}

export interface Description {
  recording: Recording;
  rows: number;
}

async function describeByIndex(path: string): Promise<Description | undefined> {
  return withIndex(path, async (reader) => {
    const rows = Number(reader.statistics?.messageCount ?? 0n);
    for await (const { metadata } of reader.readMetadata({ name: METADATA }))
      return { recording: recordingSchema.parse(JSON.parse(metadata.get(METADATA) ?? '')), rows };
    return undefined;
  });
}

/** A file that its writer did not finish may have no index. */
function describeByReading(path: string): Description {
  const { recording, file } = readRecording(path, () => () => {});
  return { recording, rows: file.rows };
}

async function withIndex<T>(path: string, work: (reader: McapIndexedReader) => T | Promise<T>): Promise<T> {
  const file = openSync(path, 'r');
  try {
    const readable: IReadable = {
      size: async () => BigInt(fstatSync(file).size),
      read: async (offset, size) => {
        const bytes = new Uint8Array(Number(size));
        if (readSync(file, bytes, 0, bytes.length, Number(offset)) < bytes.length)
          throw new Error('the file ends too soon');
        return bytes;
      },
    };
    return await work(await McapIndexedReader.Initialize({ readable }));
  } finally {
    closeSync(file);
  }
}
