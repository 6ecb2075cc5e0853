// A clip of a policy as a file: the page's own picture, drawn and encoded by a Chromium without a window.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import { Chromium, findChromium } from './chromium.js';
import { makePage, type PageOptions } from './pageFile.js';

export const FORMATS = ['webm', 'mp4', 'gif'] as const;

export interface ClipOptions {
  format: (typeof FORMATS)[number];
  width: number;
  height: number;
  /** Pictures a second; the robot moves in real time. */
  rate: number;
}

/** Pictures made between two looks at the progress. */
const PORTION = 5;
/** Between two looks whether the page has started, and how often at most. */
const LOOK_MS = 100;
const LOOKS = 1200;

/** The format that a file's name asks for. Throws a `UsageError` for another one. */
export function clipFormat(file: string): ClipOptions['format'] {
  const format = FORMATS.find((name) => `.${name}` === extname(file).toLowerCase());
  if (!format) throw new UsageError(`--record '${file}': wants a name that ends in .webm, .mp4 or .gif`);
  return format;
}

/**
 * Writes a clip of `seconds` to `file`. Throws a `FarsightError` when there is no Chromium or it cannot make one, and
 * the reason of `stop` when that ends it.
 */
export async function recordClip(
  page: PageOptions,
  file: string,
  { seconds, ...options }: Omit<ClipOptions, 'format'> & { seconds: number },
  onPicture: (done: number, total: number) => void = () => {},
  stop?: AbortSignal,
): Promise<void> {
  const format = clipFormat(file);
  if (!existsSync(dirname(file))) throw new FarsightError(`'${file}': there is no such directory`);
  const name = findChromium();
  if (!name) {
    throw new FarsightError(
      'a clip is drawn by Chromium, which is not installed: install the package chromium (apt, dnf, brew), or write the page with --out and film it',
    );
  }
  const directory = mkdtempSync(join(tmpdir(), 'farsight-clip-'));
  let browser: Chromium | undefined;
  const end = () => void browser?.close();
  stop?.addEventListener('abort', end);
  try {
    const path = join(directory, 'clip.html');
    writeFileSync(path, await makePage({ ...page, entry: 'recorder.js' }));
    stop?.throwIfAborted();
    browser = new Chromium(name);
    await browser.open(pathToFileURL(path).href);
    for (let i = 0; !(await browser.evaluate<boolean>("'farsightRecord' in window")); i++) {
      if (i === LOOKS) throw new Error('the page does not start');
      await setTimeout(LOOK_MS);
    }
    const total = Math.max(1, Math.round(seconds * options.rate));
    await browser.evaluate(`farsightRecord(${JSON.stringify({ format, ...options })})`);
    for (let done = 0; done < total; done += PORTION) {
      await browser.evaluate(`farsightClip.more(${Math.min(PORTION, total - done)})`);
      onPicture(Math.min(total, done + PORTION), total);
    }
    const clip = Buffer.from(await browser.evaluate<string>('farsightClip.finish()'), 'base64');
    askedBy('--record', () => writeWhole(file, clip));
  } catch (error) {
    stop?.throwIfAborted();
    if (error instanceof FarsightError) throw error;
    throw new FarsightError(`the clip '${file}' was not made: ${messageOf(error)}`);
  } finally {
    stop?.removeEventListener('abort', end);
    await browser?.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
