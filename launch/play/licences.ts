// The licences of the packages in a bundle, as the text that goes with it to whoever gets it.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Metafile } from 'esbuild';

/** A package that brings no text of its own has ours where it is under the same licence, as MuJoCo is. */
const OURS = fileURLToPath(new URL('../../../LICENSE', import.meta.url));

/** Of esbuild's list of what it read, with paths from the working directory. */
export function licencesOf({ inputs }: Metafile): string {
  // What begins with a word and a colon was left out or has another in its place: it is no file.
  const folders = Object.keys(inputs).flatMap(
    (path) => /^[^:]*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path) ?? [],
  );
  return [...new Set(folders)].sort().map(licenceOf).join('\n');
}

function licenceOf(folder: string): string {
  const place = resolve(folder);
  const { name, version, license } = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8'));
  const file = readdirSync(place).find((each) => /^(licen[cs]e|copying)/i.test(each));
  const text = file ? join(place, file) : license === 'Apache-2.0' ? OURS : undefined;
  return `${name} ${version}, ${license}\n${text ? `\n${readFileSync(text, 'utf8').trim()}\n` : ''}`;
}
