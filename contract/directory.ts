// Makes the directory that a command is to write to.
import { mkdirSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes `path` and what is missing above it, one level at a time: Node's own recursive mkdir never returns where a
 * file system takes no new names, as under /proc. Throws an error that names the path when it cannot be had.
 */
export function makeDirectory(path: string): void {
  const found = statsOf(path);
  if (found?.isDirectory()) return;
  if (found) throw new Error(`'${path}' is there and is no directory`);
  makeDirectory(dirname(resolve(path)));
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Someone else may have made it meanwhile.
    if (code === 'EEXIST' && statsOf(path)?.isDirectory()) return;
    if (code === 'ENOENT') throw new Error(`no directory can be made at '${path}'`);
    throw error;
  }
}

/** Of what is at `path`; beneath a file nothing is. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined;
    throw error;
  }
}
