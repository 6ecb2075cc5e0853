// One process for a directory: a lock that the kernel lets go of however its holder ends.
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { FarsightError } from '../contract/errors.js';

const LOCK_EXCLUSIVE = 2;
const LOCK_NOT_BLOCKING = 4;

/** Returns how to let go. Throws a `FarsightError` when another process has it; `who` names what it is. */
export function lockDirectory(directory: string, who: string): () => void {
  const file = openSync(join(directory, '.lock'), 'a');
  const flock = koffi.load(null).func('int flock(int, int)');
  if (flock(file, LOCK_EXCLUSIVE | LOCK_NOT_BLOCKING) !== 0) {
    closeSync(file);
    throw new FarsightError(`another ${who} works on '${directory}': stop it, or choose another directory`);
  }
  return () => closeSync(file);
}
