// Files that are whole or as they were before: a kill, a full disk or a lost directory leaves no part of one.
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { FarsightError, messageOf } from './errors.js';

/** Replaces `path` by `parts`, one after another. Throws a `FarsightError` that names it, and says how to mend it. */
export function writeWhole(path: string, ...parts: (string | Uint8Array)[]): void {
  replace(path, parts);
}

/** The same, of a file that only its owner may read, from its first byte on. */
export function writePrivate(path: string, ...parts: (string | Uint8Array)[]): void {
  removeAside(asideOf(path));
  replace(path, parts, 0o600);
}

const asideOf = (path: string) => `${path}.tmp`;

function replace(path: string, parts: readonly (string | Uint8Array)[], mode?: number): void {
  const aside = asideOf(path);
  try {
    const file = openSync(aside, mode === undefined ? 'w' : 'wx', mode);
    try {
      for (const part of parts) writeAll(file, part);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(aside, path);
  } catch (error) {
    removeAside(aside);
    throw unwritable(path, error);
  }
}

function removeAside(aside: string): void {
  try {
    rmSync(aside, { force: true });
  } catch {
    // Where it cannot be removed it could not be written: the first error says why.
  }
}

/**
 * Grows `path` from its first `length` bytes, all of them by default, by `parts`; what does not fit is taken off again.
 * Throws as `writeWhole`.
 */
export function growWhole(
  path: string,
  parts: readonly (string | Uint8Array)[],
  length = sizeOf(path),
): void {
  try {
    const file = openSync(path, existsSync(path) ? 'r+' : 'w+');
    try {
      ftruncateSync(file, length);
      let at = length;
      try {
        for (const part of parts) at += writeAll(file, part, at);
        fsyncSync(file);
      } catch (error) {
        ftruncateSync(file, length);
        throw error;
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Bytes of a file; 0 when there is none. */
export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The system may take a part of what it is given: on a disk that is almost full, say. */
function writeAll(file: number, part: string | Uint8Array, position?: number): number {
  const bytes = typeof part === 'string' ? Buffer.from(part) : part;
  for (let done = 0; done < bytes.length; ) {
    const at = position === undefined ? null : position + done;
    done += writeSync(file, bytes, done, bytes.length - done, at);
  }
  return bytes.length;
}

/**
 * Does `write`, at once or in time; of what cannot be written then it is told by which `flag` it was asked for, and what
 * comes `next`.
 */
export function askedBy<T>(flag: string, write: () => T, next = ''): T {
  const refuse = (error: unknown): never => {
    throw error instanceof UnwritableError ? new FarsightError(`${flag} ${error.message}${next}`) : error;
  };
  try {
    const done = write();
    return done instanceof Promise ? (done.catch(refuse) as T) : done;
  } catch (error) {
    return refuse(error);
  }
}

/** A file that cannot be written; the message says what to do about it. */
export class UnwritableError extends FarsightError {}

const NO_ROOM: Partial<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space on it',
  EDQUOT: 'your disk quota is used up: free some space',
};

/** What the system said of a write that failed, in plain words, with what to do about it. */
export function whyUnwritable(error: unknown): string {
  return NO_ROOM[(error as NodeJS.ErrnoException).code ?? ''] ?? messageOf(error);
}

/** The error for `path`, from what the system said. */
export function unwritable(path: string, error: unknown): UnwritableError {
  const { code } = error as NodeJS.ErrnoException;
  const ofPath: Record<string, string> = {
    ENOENT: `its directory '${dirname(path)}' is not there (any more): bring it back`,
    ENOTDIR: `'${dirname(path)}' is not a directory`,
    EISDIR: 'it is a directory: move it away',
    EEXIST: 'something else has its name: move that away',
    EACCES: `no permission: make '${dirname(path)}' writable`,
    EPERM: `no permission: make '${dirname(path)}' writable`,
    EROFS: 'the file system is read-only: mount it for writing',
  };
  const why = NO_ROOM[code ?? ''] ?? ofPath[code ?? ''] ?? `${messageOf(error)}; try another directory`;
  return new UnwritableError(`'${path}' cannot be written: ${why}`);
}

/** Makes a file's bytes last through a power cut, whoever wrote them. */
export function syncFile(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** The same of new names in a directory. */
export const syncDirectory = syncFile;
