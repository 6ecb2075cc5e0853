// The black box: every tick of the last half minute in memory, written to a file of its own whenever a fault latches.
import { join } from 'node:path';
import { makeDirectory } from '../contract/directory.js';
import { FAULTS, type Fault, ROW } from '../contract/loop.js';
import { FAULTS_FOLDER, type Recording } from '../contract/recording.js';
import type { RowCodec } from '../contract/tickMessage.js';
import { RecordingSegment } from './recordingSegment.js';

/** Seconds before a fault that are kept, and after it. */
const BEFORE = 30;
const AFTER = 2;
/** Rows of one chunk: what is encoded before the thread looks at the trace again. */
const CHUNK = 2000;

/** What is to be written: rows from `next` up to, but without, `end`; the fault and its tick; the files begun before this one. */
interface Due {
  next: number;
  end: number;
  fault: Fault;
  tick: number;
  files: string[];
}

export class BlackBox {
  readonly #codec: RowCodec;
  readonly #about: (policy: number) => Omit<Recording, 'segment'>;
  readonly #before: number;
  readonly #after: number;
  readonly #rows: Float64Array;
  readonly #capacity: number;
  readonly #length: number;
  /** Rows that ever came; row i is at i % capacity. */
  #written = 0;
  #fault = 0;
  #due: Due | undefined;
  /** The file under way, the number of its policy and its rows. */
  #open: { segment: RecordingSegment; policy: number; rows: number } | undefined;

  /** `about` tells what a file says that holds rows of the policy with this number. */
  constructor(codec: RowCodec, rateHz: number, about: (policy: number) => Omit<Recording, 'segment'>) {
    this.#codec = codec;
    this.#about = about;
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
  push(row: Float64Array): void {
    this.#rows.set(row, (this.#written % this.#capacity) * this.#length);
    this.#written++;
    const fault = row[ROW.fault];
    if (fault !== 0 && this.#fault === 0) {
      if (this.#due) this.#due.end = this.#written + this.#after;
      else
        this.#due = {
          next: Math.max(0, this.#written - this.#before),
          end: this.#written + this.#after,
          fault: FAULTS[fault],
          tick: row[ROW.tick],
          files: [],
        };
    }
    this.#fault = fault;
  }

  /**
   * Writes what is there of what is due, another file for each change of the policy; `between` two chunks it is the caller's
   * turn. With `last` it ends with what there is. Returns the paths when all is whole, before that none. When it throws, the
   * next call begins a new file with what is left.
   */
  async write(
    directory: string,
    start: string,
    wall: (row: Float64Array) => bigint,
    between: () => void,
    last = false,
  ): Promise<string[]> {
    const due = this.#due;
    if (!due) return [];
    try {
      while (due.next < Math.min(due.end, this.#written)) {
        due.next = Math.max(due.next, this.#oldest);
        const policy = this.#row(due.next)[ROW.policy];
        if (this.#open && policy !== this.#open.policy) await this.#finish(due.files);
        this.#open ??= await this.#begin(directory, start, policy, due);
        const most = Math.min(due.next + CHUNK, due.end, this.#written);
        const messages = [];
        for (let i = due.next; i < most && this.#row(i)[ROW.policy] === policy; i++) {
          const row = this.#row(i);
          messages.push({ tick: row[ROW.tick], logTime: wall(row), data: this.#codec.encode(row) });
        }
        await this.#open.segment.append(messages);
        due.next += messages.length;
        this.#open.rows += messages.length;
        between();
      }
      if (due.next < due.end && !last) return [];
      this.#due = undefined;
      await this.#finish(due.files);
      return due.files;
    } catch (error) {
      this.#open?.segment.close();
      this.#open = undefined;
      throw error;
    }
  }

  async #begin(directory: string, start: string, policy: number, due: Due) {
    const folder = join(directory, FAULTS_FOLDER);
    makeDirectory(folder);
    const about = this.#about(policy);
    // Two faults within half a minute may begin with the same row.
    const ticks = [due.tick, this.#row(due.next)[ROW.tick]].map((tick) => String(tick).padStart(12, '0'));
    const name = `${[start, about.recording.slice(0, 8), ...ticks].join('-')}.mcap`;
    const recording = { ...about, segment: due.files.length, fault: due.fault };
    return { segment: await RecordingSegment.create(join(folder, name), recording), policy, rows: 0 };
  }

  async #finish(files: string[]): Promise<void> {
    if (!this.#open) return;
    const { segment, rows } = this.#open;
    this.#open = undefined;
    files.push(segment.path);
    await segment.finish({ rows, lost: 0 });
  }

  #row(index: number): Float64Array {
    const at = (index % this.#capacity) * this.#length;
    return this.#rows.subarray(at, at + this.#length);
  }

  get #oldest(): number {
    return Math.max(0, this.#written - this.#capacity);
  }
}
