// One MCAP file of a recording, whole again after every flush: a crash costs only what was not flushed.
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { type ISeekableWriter, McapWriter } from '@mcap/core';
import { CLOSED, type Closed, METADATA, PROFILE, type Recording } from '../contract/recording.js';
import { MESSAGE_DEFINITION, SCHEMA_NAME, TOPIC } from '../contract/tickMessage.js';
import { syncDirectory } from '../contract/wholeFile.js';

export interface SegmentMessage {
  tick: number;
  /** Wall time, ns since 1970. */
  logTime: bigint;
  data: Uint8Array;
}

export class RecordingSegment {
  readonly path: string;
  readonly #file: SegmentFile;
  #channel: number | undefined;

  private constructor(path: string, file: SegmentFile) {
    this.path = path;
    this.#file = file;
  }

  /** Creates the file with its metadata, whole and without messages; it gets its name when it is on the disk. */
  static async create(path: string, recording: Recording): Promise<RecordingSegment> {
    const aside = `${path}.tmp`;
    const file = new SegmentFile(openSync(aside, 'wx+'));
    try {
      const writer = new McapWriter({ writable: file });
      await writer.start({ profile: PROFILE, library: 'farsight' });
      await writer.addMetadata({
        name: METADATA,
        metadata: new Map([[METADATA, JSON.stringify(recording)]]),
      });
      await writer.end();
      file.sync();
      renameSync(aside, path);
      syncDirectory(dirname(path));
    } catch (error) {
      file.close();
      rmSync(aside, { force: true });
      throw error;
    }
    return new RecordingSegment(path, file);
  }

  get bytes(): number {
    return Number(this.#file.position());
  }

  /** Whether somebody deleted it: what is appended from now on, nobody can read. */
  get isDeleted(): boolean {
    return this.#file.isDeleted;
  }

  /**
   * Appends one chunk, rewrites the file's index after it and waits until the disk has it. When it throws, the file
   * holds what earlier flushes wrote, perhaps without its index, and takes no more.
   */
  async append(messages: readonly SegmentMessage[]): Promise<void> {
    const writer = await McapWriter.InitializeForAppending(this.#file, {
      chunkSize: Number.MAX_SAFE_INTEGER,
    });
    this.#channel ??= await writer.registerChannel({
      schemaId: await writer.registerSchema({
        name: SCHEMA_NAME,
        encoding: 'ros2msg',
        data: new TextEncoder().encode(MESSAGE_DEFINITION),
      }),
      topic: TOPIC,
      messageEncoding: 'cdr',
      // rosbag2 looks for this key.
      metadata: new Map([['offered_qos_profiles', '']]),
    });
    for (const { tick, logTime, data } of messages) {
      await writer.addMessage({
        channelId: this.#channel,
        sequence: tick >>> 0,
        logTime,
        publishTime: logTime,
        data,
      });
    }
    await writer.end();
    this.#file.sync();
  }

  /** Says in the file that it takes no more, and closes it. When it throws, the file is closed without that. */
  async finish(closed: Closed): Promise<void> {
    try {
      const writer = await McapWriter.InitializeForAppending(this.#file, {});
      await writer.addMetadata({ name: CLOSED, metadata: new Map([[CLOSED, JSON.stringify(closed)]]) });
      await writer.end();
      this.#file.sync();
    } finally {
      this.close();
    }
  }

  close(): void {
    this.#file.close();
  }
}

/** A file as the MCAP library wants it to append: reads anywhere, writes at a cursor. */
class SegmentFile implements ISeekableWriter {
  readonly #fd: number;
  #position = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const written = writeSync(this.#fd, bytes, done, bytes.length - done, this.#position);
      done += written;
      this.#position += written;
    }
  }

  position(): bigint {
    return BigInt(this.#position);
  }

  async seek(position: bigint): Promise<void> {
    this.#position = Number(position);
  }

  async truncate(): Promise<void> {
    ftruncateSync(this.#fd, this.#position);
  }

  async size(): Promise<bigint> {
    return BigInt(fstatSync(this.#fd).size);
  }

  async read(offset: bigint, size: bigint): Promise<Uint8Array> {
    const bytes = new Uint8Array(Number(size));
    const got = readSync(this.#fd, bytes, 0, bytes.length, Number(offset));
    return bytes.subarray(0, got);
  }

  get isDeleted(): boolean {
    return fstatSync(this.#fd).nlink === 0;
  }

  sync(): void {
    fdatasyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
