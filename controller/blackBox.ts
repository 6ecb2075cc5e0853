// The black box: every tick of the last half minute in memory, written to a file of its own whenever a fault latches.
import { join } from 'node:path';
import { makeDirectory } from '../contract/directory.js';
import { FAULTS, ROW } from '../contract/loop.js';
import { FAULTS_FOLDER, type Recording } from '../contract/recording.js';
import type { RowCodec } from '../contract/tickMessage.js';
import { RecordingSegment } from './recordingSegment.js';

/** Seconds before a fault that are kept, and after it. */
const BEFORE = 30;
const AFTER = 2;
/** Rows of one chunk: what is encoded before the thread looks at the trace again. */
const CHUNK = 2000;

export class BlackBox {
  readonly #codec: RowCodec;
  readonly #before: number;
  readonly #after: number;
  readonly #rows: Float64Array;
  readonly #capacity: number;
  readonly #length: number;
  /** Rows that ever came; row i is at i % capacity. */
  #written = 0;
  #fault = 0;
  /** The file to be written: rows from `next` up to, but without, `end`. */
  #due: { recording: Recording; next: number; end: number; rows: number } | undefined;
  #segment: RecordingSegment | undefined;

  constructor(codec: RowCodec, rateHz: number) {
    this.#codec = codec;
    this.#before = Math.ceil(BEFORE * rateHz);
    this.#after = Math.ceil(AFTER * rateHz);
    this.#length = codec.layout.length;
    // Twice the time after, for a disk that is slow to take the file.
    this.#capacity = this.#before + 2 * this.#after;
    this.#rows = new Float64Array(this.#capacity * this.#length);
  }

  /** Whether a file waits to be written to its end. */
  get due(): boolean {
    return this.#due !== undefined;
  }

  /** Every row of the trace, in their order. */
  push(row: Float64Array, recording: Omit<Recording, 'segment'>): void {
    this.#rows.set(row, (this.#written % this.#capacity) * this.#length);
    this.#written++;
    const fault = row[ROW.fault];
    if (fault !== 0 && this.#fault === 0) {
      if (this.#due) this.#due.end = this.#written + this.#after;
      else
        this.#due = {
          recording: { ...recording, segment: 0, fault: FAULTS[fault] },
          next: Math.max(0, this.#written - this.#before),
          end: this.#written + this.#after,
          rows: 0,
        };
    }
    this.#fault = fault;
  }

  /**
   * Writes what is there of a file that is due; `between` two chunks it is the caller's turn. With `last` the file ends with what
   * there is. Returns its path when it is whole. When it throws, the next call begins a new file with what is left.
   */
  async write(
    directory: string,
    start: string,
    wall: (row: Float64Array) => bigint,
    between: () => void,
    last = false,
  ): Promise<string | undefined> {
    const due = this.#due;
    if (!due) return undefined;
    try {
      if (!this.#segment) {
        const folder = join(directory, FAULTS_FOLDER);
        makeDirectory(folder);
        due.next = Math.max(due.next, this.#oldest);
        const tick = String(this.#row(due.next)[ROW.tick]).padStart(12, '0');
        const name = `${start}-${due.recording.recording.slice(0, 8)}-${tick}.mcap`;
        this.#segment = await RecordingSegment.create(join(folder, name), due.recording);
      }
      while (due.next < Math.min(due.end, this.#written)) {
        due.next = Math.max(due.next, this.#oldest);
        const to = Math.min(due.next + CHUNK, due.end, this.#written);
        const messages = [];
        for (let i = due.next; i < to; i++) {
          const row = this.#row(i);
          messages.push({ tick: row[ROW.tick], logTime: wall(row), data: this.#codec.encode(row) });
        }
        await this.#segment.append(messages);
        due.next = to;
        due.rows += messages.length;
        between();
      }
      if (due.next < due.end && !last) return undefined;
      const { path } = this.#segment;
      const finished = this.#segment;
      this.#segment = undefined;
      this.#due = undefined;
      await finished.finish({ rows: due.rows, lost: 0 });
      return path;
    } catch (error) {
      this.#segment?.close();
      this.#segment = undefined;
      if (this.#due) this.#due.rows = 0;
      throw error;
    }
  }

  #row(index: number): Float64Array {
    const at = (index % this.#capacity) * this.#length;
    return this.#rows.subarray(at, at + this.#length);
  }

  get #oldest(): number {
    return Math.max(0, this.#written - this.#capacity);
  }
}
