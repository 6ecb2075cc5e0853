// One process to a directory: a lock that the kernel takes back when its holder ends, however that ends.
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { FarsightError, messageOf } from './errors.js';
import { unwritable } from './wholeFile.js';

/** The file that is locked; it holds the number of the process that has it, and goes with the lock. */
export const LOCK_FILE = 'lock';

const LOCK_EX = 2;
const LOCK_NB = 4;

type Flock = (file: number, operation: number) => number;
let flock: Flock | undefined;

/**
 * Locks `directory`, which people know as `named`. Returns how to let it go. Throws a `FarsightError` when another has it, or
 * when no file can be made there.
 */
export function lockDirectory(directory: string, named: string): () => void {
  flock ??= koffi.load(null).func('int flock(int, int)') as unknown as Flock;
  const path = join(directory, LOCK_FILE);
  for (;;) {
    let file: number;
    try {
      file = openSync(path, 'a+');
    } catch (error) {
      throw new FarsightError(`${named}: ${messageOf(unwritable(path, error))}`);
    }
    if (flock(file, LOCK_EX | LOCK_NB) !== 0) {
      const holder = readFileSync(path, 'utf8').trim();
      closeSync(file);
      throw new FarsightError(
        `${named} is in use by process ${holder || 'of another user'}: wait for it, stop it, or choose another directory`,
      );
    }
    // Who had it may have let go, and taken its file away, since it was opened here.
    if (statSync(path, { throwIfNoEntry: false })?.ino !== fstatSync(file).ino) {
      closeSync(file);
      continue;
    }
    const unlock = () => {
      rmSync(path, { force: true });
      closeSync(file);
    };
    try {
      ftruncateSync(file, 0);
      writeSync(file, `${process.pid}\n`);
    } catch {
      // A full disk takes no number; the lock is held all the same.
    }
    return unlock;
  }
}

/**
 * Whether a process that still runs has locked `directory`, to look at only: its number is asked, not the kernel, because
 * to try the lock would keep it from others for a moment. A killed one's number may be another's by now.
 */
export function isInUse(directory: string): boolean {
  try {
    const pid = Number(readFileSync(join(directory, LOCK_FILE), 'utf8'));
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
