// Files that are there whole or not at all, whatever ends the process or the power: written aside, synced, renamed.
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

export function writeWhole(path: string, content: string | Uint8Array): void {
  const aside = `${path}.tmp`;
  try {
    const file = openSync(aside, 'w');
    try {
      writeFileSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(aside, path);
    syncDirectory(dirname(path));
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  }
}

/** Appends a line that is on the disk when this returns, after `bytes` of whole lines. Returns the new length. */
export function appendLine(path: string, bytes: number, line: string): number {
  const file = openSync(path, 'a+');
  try {
    // A line that a crash or a full disk left in part.
    ftruncateSync(file, bytes);
    const content = Buffer.from(`${line}\n`);
    for (let done = 0; done < content.length; ) done += writeSync(file, content, done);
    fsyncSync(file);
    return bytes + content.length;
  } finally {
    closeSync(file);
  }
}

/** Makes new names in a directory last through a power cut. */
export function syncDirectory(path: string): void {
  const file = openSync(path, 'r');
  fsyncSync(file);
  closeSync(file);
}
