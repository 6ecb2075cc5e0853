// A real Chromium for tests, with a person's hands; what its page must not do gathers in `errors`.
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { Chromium, findChromium } from '../../launch/play/chromium.js';

/** The name of an installed Chromium, or undefined. */
export const chromium = findChromium();

/** One browser with one tab. Errors of the page's console and script, and any use of the network, gather in `errors`. */
export class Browser extends Chromium {
  readonly errors: string[];

  constructor() {
    const errors: string[] = [];
    super(chromium!, (method, params) => {
      const { type, request } = params as { type?: string; request?: { url: string } };
      if (method === 'Network.requestWillBeSent' && !/^(file|data|about|blob):/.test(request!.url))
        errors.push(`network: ${request!.url}`);
      if (method === 'Runtime.exceptionThrown' || method === 'Log.entryAdded')
        errors.push(JSON.stringify(params));
      if (method === 'Runtime.consoleAPICalled' && (type === 'error' || type === 'warning'))
        errors.push(JSON.stringify(params));
    });
    this.errors = errors;
  }

  /** Waits until an expression holds in the page, which draws when it comes to it. */
  async until(expression: string): Promise<void> {
    const end = performance.now() + 30_000;
    while (!(await this.evaluate<boolean>(expression))) {
      if (performance.now() > end) assert.fail(`never came: ${expression}`);
      await setTimeout(50);
    }
  }

  async press(key: string): Promise<void> {
    for (const type of ['keyDown', 'keyUp'])
      await this.send('Input.dispatchKeyEvent', { type, key, text: key.length === 1 ? key : undefined });
  }

  /** One event of the left button, in pixels of the page: `mousePressed`, `mouseMoved` or `mouseReleased`. */
  async mouse(type: string, x: number, y: number): Promise<void> {
    await this.send('Input.dispatchMouseEvent', { type, x, y, button: 'left', buttons: 1, clickCount: 1 });
  }
}
