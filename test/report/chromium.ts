// A real Chromium for tests: what its page must not do gathers in `errors`.
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
}
