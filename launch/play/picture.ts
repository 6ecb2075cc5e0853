// An SVG document as a PNG, drawn by a Chromium without a window.
import { FarsightError } from '../../contract/errors.js';
import { Chromium, findChromium } from './chromium.js';

/** Dots of the picture to a unit of the drawing: 720 units are 18 cm at 300 dots an inch. */
const DENSITY = 3;

/** The bytes of a PNG. Throws a `FarsightError` when there is no Chromium. */
export async function drawPng(svg: string): Promise<Buffer> {
  const name = findChromium();
  if (!name)
    throw new FarsightError(
      'a PNG is drawn by Chromium, which is not installed: install the package chromium (apt, dnf, brew), or write .svg',
    );
  const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!;
  const browser = new Chromium(name);
  try {
    await browser.open(`data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`);
    const { data } = await browser.send('Page.captureScreenshot', {
      clip: { x: 0, y: 0, width: Number(width), height: Number(height), scale: DENSITY },
      captureBeyondViewport: true,
    });
    return Buffer.from(data as string, 'base64');
  } finally {
    await browser.close();
  }
}
