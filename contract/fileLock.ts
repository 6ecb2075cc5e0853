// Locks on files that the kernel takes back when their holder ends, however that ends.
import { closeSync, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import koffi from 'koffi';
import { FarsightError } from './errors.js';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

type Flock = (file: number, operation: number) => number;
let flock: Flock | undefined;

/** Whether the open file is locked now for this process alone; another may have it. */
export function tryLock(file: number): boolean {
  return lock(file, LOCK_EX | LOCK_NB);
}

/** Locks the open file together with others that share it; waits while one has it alone. */
export function shareLock(file: number): void {
  while (!lock(file, LOCK_SH));
}

/** Whether `path`, which was opened as `file`, is still that file: who had it may have taken it away with its lock. */
export function isStill(path: string, file: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(file).ino;
}

/**
 * Makes and locks the file at `path`, which goes with its lock. Returns how to let it go, or nothing when another has it.
 * Throws what the system says when it cannot be made.
 */
export function lockFile(path: string): (() => void) | undefined {
  for (;;) {
    const file = openSync(path, 'a+');
    if (!tryLock(file)) {
      closeSync(file);
      return undefined;
    }
    if (!isStill(path, file)) {
      closeSync(file);
      continue;
    }
    return () => {
      rmSync(path, { force: true });
      closeSync(file);
    };
  }
}

/** False when another has it, or a signal came; throws a `FarsightError` where files cannot be locked at all. */
function lock(file: number, operation: number): boolean {
  flock ??= koffi.load(null).func('int flock(int, int)') as unknown as Flock;
  if (flock(file, operation) === 0) return true;
  const error = koffi.errno();
  const { EAGAIN, EINTR } = koffi.os.errno;
  if (error === EAGAIN || error === EINTR) return false;
  throw new FarsightError(
    `files cannot be locked here (flock: error ${error}): choose a directory on a file system that can`,
  );
}
