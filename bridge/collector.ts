// The fleet's side of recordings: receives resumable uploads over HTTP, and says what became of each.
import { randomUUID } from 'node:crypto';
import { statfsSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Server as TusServer } from '@tus/server';
import { makeDirectory } from '../contract/directory.js';
import { messageOf } from '../contract/errors.js';
import { findingsOf } from '../contract/schemaErrors.js';
import {
  aboutUpload,
  RECEIPTS_PATH,
  type Receipt,
  UPLOADS_PATH,
  type UploadMetadata,
  uploadSchema,
} from '../contract/transfer.js';
import { CollectorMetrics } from './collectorMetrics.js';
import type { BrokerOptions } from './connection.js';
import { DatasetIndex } from './datasetIndex.js';
import { DatasetThread } from './datasetThread.js';
import { bearerIs, type Listening, listen, type TlsFiles } from './httpEdge.js';
import { type Incoming, IncomingFolder, type IncomingUpload } from './incoming.js';
import { logger } from './log.js';
import { answerOffers } from './offers.js';

const INCOMING_FOLDER = 'incoming';
/** Bytes of one upload: twice a recorder's largest segment. */
const LARGEST = 128 * 2 ** 20;
/** Uploads that may be under way at once. */
const MOST_INCOMING = 1000;
/** Between two looks for whole uploads that nobody has taken in, ms, and how many are taken at a time. */
const LOOK_MS = 2000;
const AT_A_TIME = 8;

export interface CollectorOptions {
  /** Where the datasets, the quarantine and what is under way are; made when absent. Collectors may share it. */
  directory: string;
  /** Where bytes come in instead; the collectors of a directory share it too. */
  incoming?: Incoming;
  address: Listening;
  tls?: TlsFiles;
  /** What every request must bring as its bearer token. */
  token?: string;
  /** Directory of the policy files that recordings may come from. */
  policies?: string;
  /** Bytes that stay free on the disk: below, new uploads are refused until there is room. */
  reserve: number;
  /** Where robots ask for a collector, and the URL by which they reach this one; where it listens when left out. */
  offers?: { broker: BrokerOptions; url?: string };
}

export interface Collector {
  url: string;
  metrics: CollectorMetrics;
  stop(): Promise<void>;
}

/** Throws a `FarsightError` when the directory, the broker's settings or the address cannot be used. */
export async function startCollector(options: CollectorOptions): Promise<Collector> {
  const { directory, token, reserve, policies } = options;
  const log = logger('collect');
  makeDirectory(directory);
  const incoming = options.incoming ?? new IncomingFolder(join(directory, INCOMING_FOLDER));
  const metrics = new CollectorMetrics();
  const thread = await DatasetThread.start({ directory, ...(policies !== undefined && { policies }) }, log);
  const index = new DatasetIndex(directory);
  const pending = new Set<string>();
  /** Uploads under way, of whichever collector, when last looked. */
  let underWay = 0;

  /** Takes a whole upload in; its robot asks for the receipt. */
  async function take(id: string, upload: UploadMetadata): Promise<void> {
    if (pending.has(id)) return;
    pending.add(id);
    const about = aboutUpload(upload);
    const { receipt, known } = await thread.take(upload, () => incoming.bring(id));
    pending.delete(id);
    if (!known) metrics.taken(upload.robot, receipt);
    if (known) log.debug(about, 'was here already');
    else if (!receipt) log.warn(about, 'damaged on its way: its SHA-256 differs; to be uploaded again');
    else if (receipt.state === 'quarantined') log.warn({ ...about, ...receipt }, 'quarantined');
    else log.info({ ...about, ...receipt }, 'stored');
    // With a receipt nobody goes on with what had begun to come of the same file: a bridge killed meanwhile begins anew.
    const begun = receipt ? await incoming.list(upload.sha256) : [{ id }];
    for (const over of begun) if (!pending.has(over.id)) await incoming.remove(over.id);
  }

  const takeAll = (found: readonly IncomingUpload[]) => {
    for (const { id, whole } of found)
      if (whole) take(id, whole).catch((error) => log.error({ error: messageOf(error) }, 'not cleared away'));
  };

  /** What a collector that ended had whole, and what others have no time for. */
  let looking = false;
  async function look(): Promise<void> {
    if (looking || thread.waiting > 0) return;
    looking = true;
    try {
      const found = await incoming.list();
      underWay = found.length;
      takeAll(found.filter(({ whole }) => whole).slice(0, AT_A_TIME));
    } catch (error) {
      log.error({ error: messageOf(error) }, 'cannot look for uploads');
    }
    looking = false;
  }

  async function receiptOf(sha256: string): Promise<Receipt> {
    const known = index.receiptOf(sha256);
    if (known) return known;
    const whole = (await incoming.list(sha256)).some((upload) => upload.whole);
    // It may have been taken in between the two questions.
    return index.receiptOf(sha256) ?? { state: whole ? 'pending' : 'unknown' };
  }

  const room = () => {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  };

  const refused = (status_code: number, body: string) => ({ status_code, body: `${body}\n` });
  const tus = new TusServer({
    path: UPLOADS_PATH,
    relativeLocation: true,
    datastore: incoming.datastore,
    maxSize: LARGEST,
    disableTerminationForFinishedUploads: true,
    namingFunction: (_, metadata) => {
      const { sha256 } = readMetadata(metadata);
      return `${sha256}-${randomUUID().slice(0, 8)}`;
    },
    onUploadCreate: async (_, { size, metadata }) => {
      if (size === undefined || size === 0) throw refused(400, 'Upload-Length must be known, and above 0');
      const { sha256 } = readMetadata(metadata);
      if (index.receiptOf(sha256)) throw refused(409, 'is here already: ask for its receipt');
      if (++underWay > MOST_INCOMING) {
        underWay = (await incoming.list()).length;
        if (underWay >= MOST_INCOMING) throw refused(503, 'too many uploads under way: try later');
      }
      if (room() < reserve + size) throw refused(507, 'the collector has no room: try later');
      return {};
    },
    onUploadFinish: async (_, { id, metadata }) => {
      takeAll([{ id, whole: readMetadata(metadata) }]);
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
      return reply(response, 200, `${JSON.stringify(await receiptOf(sha256))}\n`);
    }
    if (path === '/metrics') {
      response.setHeader('Content-Type', metrics.contentType);
      return reply(response, 200, await metrics.text(thread.waiting, room()));
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
  let server: Server | undefined;
  let timer: NodeJS.Timeout | undefined;
  async function stop(): Promise<void> {
    clearInterval(timer);
    server?.close();
    server?.closeAllConnections();
    await thread.stop();
  }
  try {
    const listening = await listen(handler, options.address, options.tls);
    const { url } = listening;
    server = listening.server;
    server.on('clientError', (_, socket) => socket.destroy());
    await look();
    timer = setInterval(() => void look(), LOOK_MS);
    const { offers } = options;
    const answering =
      offers && answerOffers(offers.broker, offers.url ?? url, (bytes) => room() >= reserve + bytes);
    log.info({ url, directory }, 'collecting');
    return {
      url,
      metrics,
      async stop() {
        await answering?.stop();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function reply(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(text);
}
