// A directory that is made aside by one process alone, to appear in its place as a whole.
import { readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from './directory.js';
import { LOCK_FILE, lockDirectory } from './directoryLock.js';
import { FarsightError, messageOf } from './errors.js';

/** Where `out` is made: beside it, on the same disk. */
export const asideOf = (out: string): string => `${out.replace(/\/+$/, '')}.partial`;

/**
 * Makes the directory that becomes `out` at the end, for this process alone; `refuseTaken` throws when `out` is not free.
 * Returns how to let it go.
 */
export function claim(out: string, refuseTaken: (out: string) => void): () => void {
  const aside = asideOf(out);
  try {
    makeDirectory(aside);
  } catch (error) {
    throw new FarsightError(`--out '${out}' cannot be written: ${messageOf(error)}`);
  }
  const unlock = lockDirectory(aside, `--out '${out}'`);
  try {
    // Someone else may have been there meanwhile, or a killed one.
    refuseTaken(out);
    for (const name of readdirSync(aside)) {
      if (name !== LOCK_FILE) rmSync(join(aside, name), { recursive: true });
    }
    return unlock;
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Moves what was made aside to its place. */
export function place(out: string): void {
  rmSync(join(asideOf(out), LOCK_FILE));
  renameSync(asideOf(out), out);
}
