// One line of farsight doctor: what was looked at, how it is, and how to mend it.
import { accessSync, constants, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';

/**
 * `ok`: as it should be. `warning`: works, with a loss that the remedy names. `missing`: something optional is not
 * there. `broken`: something that Farsight cannot do without does not work.
 */
export type Status = 'ok' | 'warning' | 'missing' | 'broken';

export interface Check {
  name: string;
  status: Status;
  detail: string;
  /** What to do; null when there is nothing to mend. */
  remedy: string | null;
}

export function ok(name: string, detail: string): Check {
  return { name, status: 'ok', detail, remedy: null };
}

/** The text of a small system file without its final newline; undefined when it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Directory and version of an installed package, found without loading it. */
export function installedPackage(name: string): { directory: string; version: string } | undefined {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    const text = readText(join(folder, name, 'package.json'));
    if (text !== undefined) return { directory: join(folder, name), version: JSON.parse(text).version };
  }
  return undefined;
}

/** The full path of a program on PATH or among the system's own. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
