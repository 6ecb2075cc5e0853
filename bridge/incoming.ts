// Where the bytes of uploads are until they are taken in, which collectors may share: what it must do, and as a folder.
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FileStore } from '@tus/file-store';
import type { DataStore } from '@tus/server';
import { makeDirectory } from '../contract/directory.js';
import { type UploadMetadata, uploadSchema } from '../contract/transfer.js';

/** An upload that has not grown for so long is given up, ms; its robot still has the file. */
export const GIVEN_UP = 7 * 24 * 3600 * 1000;
/** What another collector may be making just now, ms. */
export const MADE_IN = 60_000;

/** An upload: its identifier begins with the SHA-256 of its file. */
export interface IncomingUpload {
  id: string;
  /** What it says of itself, when all of its bytes are here. */
  whole?: UploadMetadata;
}

export interface Incoming {
  readonly datastore: DataStore;
  /** Those whose identifiers begin with `prefix`; what nobody goes on with is removed. */
  list(prefix?: string): Promise<IncomingUpload[]>;
  /** Where the bytes of a whole one are, on the file system of the collector's directory; nothing is there when another took it in. */
  bring(id: string): Promise<string>;
  /** Whether it is there or not. */
  remove(id: string): Promise<void>;
}

const ABOUT = '.json';

export class IncomingFolder implements Incoming {
  readonly datastore: FileStore;
  readonly #folder: string;

  /** Throws a `FarsightError` when the folder cannot be made. */
  constructor(folder: string) {
    makeDirectory(folder);
    this.#folder = folder;
    this.datastore = new FileStore({ directory: folder });
  }

  async list(prefix = ''): Promise<IncomingUpload[]> {
    const names = readdirSync(this.#folder).filter((name) => name.startsWith(prefix));
    const ids = new Set(names.map((name) => (name.endsWith(ABOUT) ? name.slice(0, -ABOUT.length) : name)));
    const found: IncomingUpload[] = [];
    for (const id of ids) {
      const bytes = statSync(join(this.#folder, id), { throwIfNoEntry: false });
      const age = Date.now() - (bytes?.mtimeMs ?? 0);
      const about = readAbout(join(this.#folder, id + ABOUT));
      // Without its bytes it was taken in; without the other it is being made, or whoever made it was killed.
      if (!bytes || age > GIVEN_UP || (!about && age > MADE_IN)) await this.remove(id);
      else found.push({ id, ...(about && about.size === bytes.size && { whole: about.upload }) });
    }
    return found;
  }

  async bring(id: string): Promise<string> {
    return join(this.#folder, id);
  }

  async remove(id: string): Promise<void> {
    for (const name of [id, id + ABOUT]) rmSync(join(this.#folder, name), { force: true });
  }
}

function readAbout(path: string): { size: number; upload: UploadMetadata } | undefined {
  try {
    const { size, metadata } = JSON.parse(readFileSync(path, 'utf8'));
    const parsed = uploadSchema.safeParse(metadata);
    return parsed.success && Number.isInteger(size) ? { size, upload: parsed.data } : undefined;
  } catch {
    return undefined;
  }
}
