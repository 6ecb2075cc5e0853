// What a look at this computer finds: the text of system files, installed packages, programs.
import { accessSync, constants, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';

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
