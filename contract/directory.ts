// Makes the directory that a command is to write to.
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes `path` and what is missing above it, one level at a time: Node's own recursive mkdir never returns where a
 * file system takes no new names, as under /proc. Throws an error that names the path when it cannot be had.
 */
export function makeDirectory(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) return;
  if (!found) makeDirectory(dirname(resolve(path)));
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Someone else may have made it meanwhile.
    if (code === 'EEXIST' && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
    if (code === 'ENOENT') throw new Error(`no directory can be made at '${path}'`);
    throw error;
  }
}
