// One process to a directory: a lock that the kernel takes back when its holder ends, however that ends. In a folder that
// computers share, NFS and its like carry it across; where they do not, whoever came last has the directory by the file.
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { FarsightError, messageOf } from './errors.js';
import { isStill, tryLock } from './fileLock.js';
import { unwritable } from './wholeFile.js';

/** The file that is locked; it holds the number of the process that has it and its computer, and goes with the lock. */
export const LOCK_FILE = 'lock';
/** What this process writes there. */
const OURS = `${process.pid} ${hostname()}`;

/** Another process has the directory. */
export class InUseError extends FarsightError {}

/**
 * Locks `directory`, which people know as `named`. Returns how to let it go. Throws an `InUseError` when another has it, a
 * `FarsightError` when no file can be made there.
 */
export function lockDirectory(directory: string, named: string): () => void {
  const path = join(directory, LOCK_FILE);
  for (;;) {
    let file: number;
    try {
      file = openSync(path, 'a+');
    } catch (error) {
      throw new FarsightError(`${named}: ${messageOf(unwritable(path, error))}`);
    }
    if (!tryLock(file)) {
      const [holder, host] = readFileSync(path, 'utf8').trim().split(' ');
      closeSync(file);
      const where = host && host !== hostname() ? ` on ${host}` : '';
      throw new InUseError(
        `${named} is in use by process ${holder || 'of another user'}${where}: wait for it, stop it, or choose another directory`,
      );
    }
    // Who had it may have let go, and taken its file away, since it was opened here.
    if (!isStill(path, file)) {
      closeSync(file);
      continue;
    }
    const unlock = () => {
      if (holdsLock(directory)) rmSync(path, { force: true });
      closeSync(file);
    };
    try {
      ftruncateSync(file, 0);
      writeSync(file, `${OURS}\n`);
    } catch {
      // A full disk takes no number; the lock is held all the same.
    }
    return unlock;
  }
}

/**
 * Whether this process, which has locked `directory`, still has it: on a file system that keeps locks to one computer
 * another may have taken it meanwhile.
 */
export function holdsLock(directory: string): boolean {
  const holder = holderOf(directory);
  return holder === OURS || holder === '';
}

/** What the lock's file says: nothing where a full disk took no number; undefined without a file. */
function holderOf(directory: string): string | undefined {
  try {
    return readFileSync(join(directory, LOCK_FILE), 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * Whether a process that still runs has locked `directory`, to look at only: its number is asked, not the kernel, because
 * to try the lock would keep it from others for a moment. A killed one's number may be another's by now; of another computer
 * the file is taken at its word.
 */
export function isInUse(directory: string): boolean {
  const [pid, host = hostname()] = holderOf(directory)?.split(' ') ?? [];
  if (!(Number(pid) > 0)) return false;
  if (host !== hostname()) return true;
  try {
    return process.kill(Number(pid), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
