// A robot's MJCF with the meshes, textures and included files that it names: MuJoCo's WebAssembly build sees no disk.
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { FarsightError, messageOf } from '../../contract/errors.js';

export interface Mjcf {
  xml: string;
  /** Content of the files that `xml` names, by the name that MuJoCo looks for. */
  assets: ReadonlyMap<string, Uint8Array>;
}

/**
 * Reads an MJCF and what it names. `mjcf` is XML text, whose files lie relative to `directory`, or a path relative to
 * it. A file that is named but absent is left to MuJoCo to complain of. Throws a `FarsightError` that names `task`
 * when the MJCF itself cannot be read.
 */
export async function readMjcf(mjcf: string, directory: string, task: string): Promise<Mjcf> {
  const isText = mjcf.trimStart().startsWith('<');
  const path = resolve(directory, mjcf);
  let xml = mjcf;
  if (!isText) {
    try {
      xml = await readFile(path, 'utf8');
    } catch (error) {
      throw new FarsightError(`task '${task}': MJCF '${path}' cannot be read: ${messageOf(error)}`);
    }
  }
  const assets = new Map<string, Uint8Array>();
  await collect(xml, isText ? directory : dirname(path), new Set(['']), assets);
  return { xml, assets };
}

/** Adds the files that `xml` names, seen from `root`, and those that its included files name. */
async function collect(
  xml: string,
  root: string,
  folders: Set<string>,
  assets: Map<string, Uint8Array>,
): Promise<void> {
  const values = (attribute: string) => {
    const pattern = new RegExp(`\\b${attribute}\\s*=\\s*["']([^"']+)["']`, 'g');
    return Array.from(xml.matchAll(pattern), ([, value]) => value);
  };
  for (const folder of values('(?:mesh|texture|asset)dir')) folders.add(folder);
  for (const file of values('file\\w*')) {
    for (const folder of folders) {
      const name = join(folder, file);
      const content = assets.has(name)
        ? undefined
        : await readFile(resolve(root, name)).catch(() => undefined);
      if (!content) continue;
      assets.set(name, content);
      if (name.endsWith('.xml')) await collect(content.toString('utf8'), root, folders, assets);
    }
  }
}
