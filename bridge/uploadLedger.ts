// What a robot knows of its recordings' uploads, on its disk: where each has got to, and what was dropped unsent.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../contract/directory.js';
import { growWhole, writeWhole } from '../contract/wholeFile.js';
import type { Segment } from './segments.js';

/** Below the recordings' directory. */
export const LEDGER_FOLDER = '.bridge';
const DROPPED_FILE = 'dropped.jsonl';

const count = z.int().nonnegative();
const entrySchema = z.object({
  /** The file as it was: one that has changed since is another. */
  bytes: count,
  mtimeMs: z.number(),
  sha256: z.string(),
  /** Another collector knows nothing of it. */
  collector: z.string(),
  /** Of the upload under way. */
  url: z.string().optional(),
  /** How it ended. */
  done: z.enum(['stored', 'quarantined']).optional(),
});
export type LedgerEntry = z.infer<typeof entrySchema>;

const droppedSchema = z.object({
  name: z.string(),
  time: z.iso.datetime(),
  rows: count,
  bytes: count,
  robot: z.string().optional(),
  boot: z.string().optional(),
});
/** A file that was deleted before the collector had it. */
export type Dropped = z.infer<typeof droppedSchema>;

/** A full disk may take no line: what is not written is known until the process ends. */
export class UploadLedger {
  readonly #folder: string;
  readonly #entries = new Map<string, LedgerEntry>();
  readonly #dropped = new Map<string, Dropped>();
  #droppedBytes: number;
  readonly #unwritten: Dropped[] = [];

  /** `collector` is where the files go now: what another one has is not done. Without one, what any has is. */
  constructor(directory: string, collector?: string) {
    this.#folder = join(directory, LEDGER_FOLDER);
    makeDirectory(this.#folder);
    for (const file of readdirSync(this.#folder)) {
      if (!file.endsWith('.json')) continue;
      const name = decodeURIComponent(file.slice(0, -5));
      if (!existsSync(join(directory, name))) {
        rmSync(join(this.#folder, file));
        continue;
      }
      const entry = read(join(this.#folder, file), entrySchema);
      if (entry && (collector === undefined || entry.collector === collector)) this.#entries.set(name, entry);
    }
    const path = join(this.#folder, DROPPED_FILE);
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    this.#droppedBytes = Buffer.byteLength(whole);
    for (const line of whole.split('\n')) {
      const dropped = parse(line, droppedSchema);
      if (dropped) this.#dropped.set(dropped.name, dropped);
    }
  }

  /** What is known of a file as it is now. */
  get(segment: Segment): LedgerEntry | undefined {
    const entry = this.#entries.get(segment.name);
    return entry?.bytes === segment.bytes && entry.mtimeMs === segment.mtimeMs ? entry : undefined;
  }

  set({ name }: Segment, entry: LedgerEntry): void {
    this.#entries.set(name, entry);
    try {
      writeWhole(this.#path(name), JSON.stringify(entry));
    } catch {
      // What is lost by it is time: the collector knows what it has.
    }
  }

  forget({ name }: Segment): void {
    this.#entries.delete(name);
    rmSync(this.#path(name), { force: true });
  }

  /** Counts a file that is about to be deleted unsent; each once, whatever ends the process meanwhile. */
  drop(dropped: Dropped): void {
    this.#dropped.set(dropped.name, dropped);
    this.#unwritten.push(dropped);
    this.flush();
  }

  /** Writes what the disk would not take before. */
  flush(): void {
    try {
      for (; this.#unwritten.length > 0; this.#unwritten.shift()) {
        const line = `${JSON.stringify(this.#unwritten[0])}\n`;
        growWhole(join(this.#folder, DROPPED_FILE), [line], this.#droppedBytes);
        this.#droppedBytes += Buffer.byteLength(line);
      }
    } catch {
      // Again at the next call.
    }
  }

  get dropped(): { files: number; rows: number; bytes: number } {
    const all = [...this.#dropped.values()];
    const sum = (of: (one: Dropped) => number) => all.reduce((total, one) => total + of(one), 0);
    return { files: all.length, rows: sum(({ rows }) => rows), bytes: sum(({ bytes }) => bytes) };
  }

  #path(name: string): string {
    return join(this.#folder, `${encodeURIComponent(name)}.json`);
  }
}

function read<T>(path: string, schema: z.ZodType<T>): T | undefined {
  return parse(readFileSync(path, 'utf8'), schema);
}

function parse<T>(text: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
