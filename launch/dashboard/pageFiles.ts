// The dashboard's page as `launch/setup.mjs` built it into the package.
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { PageFile } from '../../bridge/dashboard.js';
import { FarsightError, messageOf } from '../../contract/errors.js';

const FOLDER = new URL('./page/built/', import.meta.url);
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** Throws a `FarsightError` when the page was not built. */
export function pageFiles(): Map<string, PageFile> {
  const files = new Map<string, PageFile>();
  try {
    for (const name of readdirSync(FOLDER)) {
      const body = readFileSync(new URL(name, FOLDER));
      const plain = name.replace(/\.gz$/, '');
      const path = plain === 'index.html' ? '/' : `/${plain}`;
      files.set(path, { body, type: TYPES[extname(plain)], ...(plain !== name && { encoding: 'gzip' }) });
    }
  } catch (error) {
    throw new FarsightError(`the dashboard's page is not there (${messageOf(error)}): run 'npm run build'`);
  }
  return files;
}
