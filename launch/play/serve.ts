// A page on this computer's loopback, for the browser of whoever sits at it.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { FarsightError, messageOf } from '../../contract/errors.js';

export interface Served {
  url: string;
  close(): void;
}

/** Serves `html` at a port of 127.0.0.1; 0 takes one that is free. */
export async function serve(html: string, port: number): Promise<Served> {
  const body = Buffer.from(html);
  const server = createServer(({ url }, response) => {
    if (url !== '/') {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-length': body.length });
    response.end(body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new FarsightError(`--port ${port}: ${messageOf(error)}; choose another`)),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  const { port: given } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${given}/`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Asks the desktop, where there is one, to show `url`; a desktop that does not is not missed. */
export function openInBrowser(url: string): void {
  const openers: Partial<Record<NodeJS.Platform, string>> = { darwin: 'open', win32: 'explorer' };
  if (process.platform === 'linux' && !process.env.DISPLAY && !process.env.WAYLAND_DISPLAY) return;
  const opener = spawn(openers[process.platform] ?? 'xdg-open', [url], { stdio: 'ignore', detached: true });
  opener.on('error', () => {});
  opener.unref();
}
