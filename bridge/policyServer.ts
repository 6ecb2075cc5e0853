// Serves a policy repository's public files over HTTP; any static web server does it as well.
import { createReadStream, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { DESIRED_FILE, METADATA_FOLDER, TARGETS_FOLDER } from '../contract/delivery.js';
import { type Listening, listen } from './httpEdge.js';

/** What is served; what is staged, keys, and the record are not. */
const SERVED = new RegExp(
  `^/(${METADATA_FOLDER}/[A-Za-z0-9.]{1,40}\\.json|${TARGETS_FOLDER}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}/[0-9a-f]{64}\\.[0-9]{1,9}\\.onnx|${DESIRED_FILE.replace('.', '\\.')})$`,
);

/** Until `stop`. Throws a `FarsightError` when it cannot listen there. */
export async function servePolicies(
  directory: string,
  address: Listening,
): Promise<{ url: string; stop(): Promise<void> }> {
  const { server, url } = await listen((request, response) => answer(directory, request, response), address);
  server.requestTimeout = 10_000;
  return {
    url,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(directory: string, { method, url = '' }: IncomingMessage, response: ServerResponse): void {
  const [, path] = SERVED.exec(url) ?? [];
  const refuse = (status: number) => response.writeHead(status).end();
  if (method !== 'GET' && method !== 'HEAD') return void refuse(405);
  if (path === undefined) return void refuse(404);
  const file = join(directory, path);
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found?.isFile()) return void refuse(404);
  // Only the newest timestamp and the hints ever change under their name.
  const changes = path.endsWith('timestamp.json') || path === DESIRED_FILE;
  response.writeHead(200, {
    'content-type': path.endsWith('.json') ? 'application/json' : 'application/octet-stream',
    'content-length': found.size,
    'cache-control': changes ? 'no-cache' : 'max-age=86400',
  });
  if (method === 'HEAD') return void response.end();
  const stream = createReadStream(file);
  // A file that was replaced by a shorter one meanwhile: the client asks again.
  stream.on('error', () => response.destroy());
  response.on('close', () => stream.destroy());
  stream.pipe(response);
}
