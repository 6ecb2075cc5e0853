// The fleet's side of recordings: receives resumable uploads over HTTP, and says what became of each.
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { FileStore } from '@tus/file-store';
import { Server as TusServer } from '@tus/server';
import { makeDirectory } from '../contract/directory.js';
import { lockDirectory } from '../contract/directoryLock.js';
import { messageOf } from '../contract/errors.js';
import { findingsOf } from '../contract/schemaErrors.js';
import {
  aboutUpload,
  type FinalReceipt,
  RECEIPTS_PATH,
  type Receipt,
  UPLOADS_PATH,
  type UploadMetadata,
  uploadSchema,
} from '../contract/transfer.js';
import { CollectorMetrics } from './collectorMetrics.js';
import { DatasetThread } from './datasetThread.js';
import { bearerIs, type Listening, listen, type TlsFiles } from './httpEdge.js';
import { logger } from './log.js';

const INCOMING_FOLDER = 'incoming';
/** Bytes of one upload: twice a recorder's largest segment. */
const LARGEST = 128 * 2 ** 20;
/** Uploads that may be under way at once. */
const MOST_INCOMING = 1000;
/** An upload that has not grown for so long is given up, ms; its robot still has the file. */
const GIVEN_UP = 7 * 24 * 3600 * 1000;

export interface CollectorOptions {
  /** Where the datasets, the quarantine and what is under way are; made when absent. */
  directory: string;
  address: Listening;
  tls?: TlsFiles;
  /** What every request must bring as its bearer token. */
  token?: string;
  /** Directory of the policy files that recordings may come from. */
  policies?: string;
  /** Bytes that stay free on the disk: below, new uploads are refused until there is room. */
  reserve: number;
}

export interface Collector {
  url: string;
  metrics: CollectorMetrics;
  stop(): Promise<void>;
}

/** Throws a `FarsightError` when the directory or the address cannot be used. */
export async function startCollector(options: CollectorOptions): Promise<Collector> {
  const { directory, token, reserve, policies } = options;
  const log = logger('collect');
  const incoming = join(directory, INCOMING_FOLDER);
  makeDirectory(incoming);
  const unlock = lockDirectory(directory, `--out '${directory}'`);
  const metrics = new CollectorMetrics();
  let thread: DatasetThread;
  try {
    thread = await DatasetThread.start({ directory, ...(policies !== undefined && { policies }) }, log);
  } catch (error) {
    unlock();
    throw error;
  }
  const pending = new Set<string>();

  /** Takes a whole upload in; its robot asks for the receipt. */
  function take(id: string, upload: UploadMetadata): void {
    if (pending.has(id)) return;
    pending.add(id);
    const about = aboutUpload(upload);
    void thread.take(join(incoming, id), upload).then((receipt) => {
      pending.delete(id);
      // With a receipt nobody goes on with what had begun to come of the same file: a bridge killed meanwhile begins anew.
      const begun = readdirSync(incoming).filter((name) => name.startsWith(upload.sha256));
      const over = receipt
        ? begun.filter((name) => !pending.has(name.replace(/\.json$/, '')))
        : [`${id}.json`];
      for (const name of over) rmSync(join(incoming, name), { force: true });
      metrics.taken(upload.robot, receipt);
      if (!receipt) log.warn(about, 'damaged on its way: its SHA-256 differs; to be uploaded again');
      else if (receipt.state === 'quarantined') log.warn({ ...about, ...receipt }, 'quarantined');
      else log.info({ ...about, ...receipt }, 'stored');
    });
  }

  const receiptOf = (sha256: string): Receipt => {
    const known: FinalReceipt | undefined = thread.receipts.get(sha256);
    if (known) return known;
    return [...pending].some((id) => id.startsWith(sha256)) ? { state: 'pending' } : { state: 'unknown' };
  };

  const refused = (status_code: number, body: string) => ({ status_code, body: `${body}\n` });
  const tus = new TusServer({
    path: UPLOADS_PATH,
    relativeLocation: true,
    datastore: new FileStore({ directory: incoming }),
    maxSize: LARGEST,
    disableTerminationForFinishedUploads: true,
    namingFunction: (_, metadata) => {
      const { sha256 } = readMetadata(metadata);
      return `${sha256}-${randomUUID().slice(0, 8)}`;
    },
    onUploadCreate: async (_, { size, metadata }) => {
      if (size === undefined || size === 0) throw refused(400, 'Upload-Length must be known, and above 0');
      const { sha256 } = readMetadata(metadata);
      if (thread.receipts.has(sha256)) throw refused(409, 'is here already: ask for its receipt');
      if (readdirSync(incoming).length > 2 * MOST_INCOMING)
        throw refused(503, 'too many uploads under way: try later');
      const { bavail, bsize } = statfsSync(incoming);
      if (bavail * bsize < reserve + size) throw refused(507, 'the collector has no room: try later');
      return {};
    },
    onUploadFinish: async (_, { id, metadata }) => {
      take(id, readMetadata(metadata));
      return {};
    },
    onResponseError: (_, error) => {
      const status = 'status_code' in error ? error.status_code : 500;
      metrics.refused(status);
      const text = 'body' in error ? error.body : messageOf(error);
      log[status >= 500 ? 'error' : 'warn']({ status, error: text.trim() }, 'upload refused');
      return undefined;
    },
  });

  function readMetadata(metadata: unknown): UploadMetadata {
    const parsed = uploadSchema.safeParse(metadata);
    if (parsed.success) return parsed.data;
    throw refused(400, `Upload-Metadata: ${findingsOf(parsed.error)}`);
  }

  // What was whole when the last run ended.
  for (const { id, upload } of findWhole(incoming)) take(id, upload);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?')[0];
    if (path === '/healthz') return reply(response, 200, 'ok\n');
    if (token !== undefined && !bearerIs(request.headers.authorization, token)) {
      metrics.refused(401);
      response.setHeader('WWW-Authenticate', 'Bearer');
      return reply(response, 401, 'wants the bearer token of --token-file\n');
    }
    if (path === UPLOADS_PATH || path.startsWith(`${UPLOADS_PATH}/`)) {
      if (request.method === 'GET') return reply(response, 405, 'recordings are not given out\n');
      return tus.handle(request, response);
    }
    if (request.method !== 'GET') return reply(response, 405, 'only GET\n');
    const [, sha256] = /^\/v1\/receipts\/([0-9a-f]{64})$/.exec(path) ?? [];
    if (sha256) {
      response.setHeader('Content-Type', 'application/json');
      return reply(response, 200, `${JSON.stringify(receiptOf(sha256))}\n`);
    }
    if (path === '/metrics') {
      response.setHeader('Content-Type', metrics.contentType);
      const { bavail, bsize } = statfsSync(incoming);
      return reply(response, 200, await metrics.text(thread.waiting, bavail * bsize));
    }
    reply(response, 404, `unknown path: uploads are at ${UPLOADS_PATH}, receipts at ${RECEIPTS_PATH}\n`);
  }

  const handler = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response).catch((error) => {
      log.error({ error: messageOf(error) }, 'request failed');
      if (!response.headersSent) reply(response, 500, 'failed\n');
      else response.destroy();
    });
  };
  try {
    const { server, url } = await listen(handler, options.address, options.tls);
    server.on('clientError', (_, socket) => socket.destroy());
    log.info({ url, directory }, 'collecting');
    return {
      url,
      metrics,
      async stop() {
        server.close();
        server.closeAllConnections();
        await thread.stop();
        unlock();
      },
    };
  } catch (error) {
    await thread.stop();
    unlock();
    throw error;
  }
}

function reply(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(text);
}

/** Uploads that are whole; those that nobody goes on with are removed, and what a crash left of one too. */
function findWhole(incoming: string): { id: string; upload: UploadMetadata }[] {
  const names = new Set(readdirSync(incoming));
  const found: { id: string; upload: UploadMetadata }[] = [];
  for (const name of names) {
    if (name.endsWith('.json')) {
      if (!names.has(name.slice(0, -5))) rmSync(join(incoming, name));
      continue;
    }
    const path = join(incoming, name);
    const about = readInfo(`${path}.json`);
    const { size, mtimeMs } = statSync(path);
    if (!about || Date.now() - mtimeMs > GIVEN_UP) {
      rmSync(path);
      rmSync(`${path}.json`, { force: true });
    } else if (size === about.size) found.push({ id: name, upload: about.upload });
  }
  return found;
}

function readInfo(path: string): { size: number; upload: UploadMetadata } | undefined {
  try {
    const { size, metadata } = JSON.parse(readFileSync(path, 'utf8'));
    const parsed = uploadSchema.safeParse(metadata);
    return parsed.success && Number.isInteger(size) ? { size, upload: parsed.data } : undefined;
  } catch {
    return undefined;
  }
}
