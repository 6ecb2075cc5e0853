// Uploads recording files to a collector: resumable, checked, at most so fast, and again until it says that it has them.
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { basename } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DefaultHttpStack, type DetailedError, Upload } from 'tus-js-client';
import { FarsightError } from '../contract/errors.js';
import { findingsOf } from '../contract/schemaErrors.js';
import {
  type FinalReceipt,
  RECEIPTS_PATH,
  type Receipt,
  receiptSchema,
  UPLOADS_PATH,
  type UploadMetadata,
  uploadSchema,
} from '../contract/transfer.js';
import { describe, type Segment } from './segments.js';
import type { UploadLedger } from './uploadLedger.js';

/** A request that brings nothing for so long is given up, ms. */
const SILENCE = 30_000;
/** Between two questions for a receipt, the first and the longest, ms. */
const ASK_FIRST = 100;
const ASK_LONGEST = 5000;
const LARGEST_CHUNK = 2 ** 20;
const SMALLEST_CHUNK = 16 * 2 ** 10;
/** A resumed upload that fails so often in a row is begun anew. */
const GIVE_UP_AFTER = 3;
/** A file that is sent so often, and whose bytes do not arrive as they were, waits for the next round. */
const MOST_SENT = 2;

export interface UploaderOptions {
  /** The collector's URL, or that of the broker where one is found. */
  collector: string;
  /** Gives the URL of a collector that takes the file, where there are several of one store. */
  find?: (file: { sha256: string; bytes: number }, signal: AbortSignal) => Promise<string>;
  /** For every request: TLS and the like. */
  request?: RequestOptions;
  /** The bearer token. */
  token?: string;
  /** Bytes a second; as fast as it goes when left out. */
  bandwidth?: number;
  signal: AbortSignal;
}

export class Uploader {
  /** Bytes that the collector has taken. */
  sent = 0;
  /** The file under way. */
  current: { name: string; sent: number; bytes: number } | undefined;
  readonly #options: UploaderOptions;
  readonly #ledger: UploadLedger;
  readonly #failures = new Map<string, number>();
  /** When the next chunk may leave, ms of `performance.now()`. */
  #allowed = 0;

  constructor(options: UploaderOptions, ledger: UploadLedger) {
    this.#options = options;
    this.#ledger = ledger;
  }

  /**
   * Resolves when the collector has the file, in a dataset or in its quarantine; with undefined when the file changed or
   * went away meanwhile. Throws when the collector cannot be reached or refuses: what it has of the file stays there.
   */
  async upload(segment: Segment): Promise<{ receipt: FinalReceipt; about: UploadMetadata } | undefined> {
    const known = this.#ledger.get(segment);
    const sha256 = known?.sha256 ?? (await sha256Of(segment.path));
    if (!isAsItWas(segment)) return undefined;
    const about = await metadataOf(segment, sha256);
    const { bytes, mtimeMs } = segment;
    const { collector, find, signal } = this.#options;
    const entry = { bytes, mtimeMs, sha256, collector: new URL(collector).href };
    const to = find ? await find({ sha256, bytes }, signal) : collector;
    let receipt = await this.#receipt(to, sha256);
    let sent = 0;
    for (let ask = ASK_FIRST; receipt.state === 'unknown' || receipt.state === 'pending'; ) {
      if (receipt.state === 'unknown') {
        if (++sent > MOST_SENT) throw new FarsightError(`'${segment.name}' arrives damaged again and again`);
        if (!isAsItWas(segment)) return undefined;
        const begun = this.#ledger.get(segment)?.url;
        // What one collector of a store has of a file, all of them have.
        const resume = begun && new URL(new URL(begun).pathname, to).href;
        await this.#send(to, segment, about, resume, (url) => this.#ledger.set(segment, { ...entry, url }));
        if (!isAsItWas(segment)) return undefined;
      } else {
        await pause(ask, signal);
        ask = Math.min(2 * ask, ASK_LONGEST);
      }
      receipt = await this.#receipt(to, sha256);
    }
    this.#ledger.set(segment, { ...entry, done: receipt.state });
    return { receipt, about };
  }

  /** Sends what the collector lacks of the file. */
  async #send(
    collector: string,
    segment: Segment,
    metadata: UploadMetadata,
    resume: string | undefined,
    begun: (url: string) => void,
  ): Promise<void> {
    const { token, bandwidth, request, signal } = this.#options;
    const chunkSize = bandwidth
      ? Math.max(SMALLEST_CHUNK, Math.min(LARGEST_CHUNK, Math.round(bandwidth / 4)))
      : LARGEST_CHUNK;
    const failures = this.#failures.get(segment.name) ?? 0;
    this.current = { name: segment.name, sent: 0, bytes: segment.bytes };
    let watchdog: NodeJS.Timeout | undefined;
    let abort = () => {};
    const file = await open(segment.path);
    try {
      await new Promise<void>((resolve, reject) => {
        const upload = new Upload(file as unknown as Buffer, {
          fileReader: { openFile: async () => sourceOf(file, segment.bytes) },
          endpoint: new URL(UPLOADS_PATH, collector).href,
          uploadUrl: failures < GIVE_UP_AFTER ? resume : null,
          uploadSize: segment.bytes,
          metadata,
          chunkSize,
          // Who calls waits and tries again, for as long as it takes.
          retryDelays: null,
          storeFingerprintForResuming: false,
          ...(token !== undefined && { headers: { Authorization: `Bearer ${token}` } }),
          httpStack: new DefaultHttpStack(request ?? {}),
          onUploadUrlAvailable: () => upload.url && begun(upload.url),
          onBeforeRequest: async (req) => {
            watch();
            if (req.getMethod() !== 'PATCH' || !bandwidth) return;
            const now = performance.now();
            const wait = this.#allowed - now;
            this.#allowed = Math.max(now, this.#allowed) + (1000 * chunkSize) / bandwidth;
            if (wait > 0) {
              clearTimeout(watchdog);
              await pause(wait, signal);
              watch();
            }
          },
          onProgress: () => watch(),
          onChunkComplete: (chunk, accepted) => {
            this.sent += chunk;
            if (this.current) this.current.sent = accepted;
          },
          onSuccess: () => resolve(),
          onError: (error) => reject(reasonOf(error)),
        });
        const watch = () => {
          clearTimeout(watchdog);
          watchdog = setTimeout(() => {
            void upload.abort();
            reject(new FarsightError(`no answer for ${SILENCE / 1000} s`));
          }, SILENCE);
        };
        abort = () => {
          void upload.abort();
          reject(new FarsightError('stopped'));
        };
        signal.addEventListener('abort', abort);
        upload.start();
      });
      this.#failures.delete(segment.name);
    } catch (error) {
      this.#failures.set(segment.name, failures >= GIVE_UP_AFTER ? 0 : failures + 1);
      throw error;
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener('abort', abort);
      this.current = undefined;
      await file.close();
    }
  }

  async #receipt(collector: string, sha256: string): Promise<Receipt> {
    const { token, request, signal } = this.#options;
    const url = new URL(`${RECEIPTS_PATH}/${sha256}`, collector);
    const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    const { status, text } = await get(url, { ...request, headers, signal, timeout: SILENCE });
    if (status !== 200) throw new FarsightError(`the collector answers ${status}: ${firstLine(text)}`);
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new FarsightError(`'${collector}' does not answer as a collector does`);
    }
    const parsed = receiptSchema.safeParse(json);
    if (!parsed.success) throw new FarsightError(`the collector's receipt: ${findingsOf(parsed.error)}`);
    return parsed.data;
  }
}

function get(url: URL, options: RequestOptions): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const made: ClientRequest = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options);
    made.on('timeout', () => made.destroy(new Error(`no answer for ${SILENCE / 1000} s`)));
    made.on('error', reject);
    made.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
        if (text.length > 65_536) response.destroy(new Error('the answer is too long'));
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    made.end();
  });
}

/** The open file as the library asks for it, a chunk at a time: it stays readable when the quota deletes it meanwhile. */
function sourceOf(file: FileHandle, size: number) {
  return {
    size,
    async slice(start: number, end: number) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(end, size) - start), {
        position: start,
      });
      const value = Object.assign(buffer.subarray(0, bytesRead), { size: bytesRead });
      return { value, done: end >= size };
    },
    close() {},
  };
}

/** What went wrong, without the library's list of all that it knows. */
function reasonOf(error: Error | DetailedError): Error {
  const response = 'originalResponse' in error ? error.originalResponse : null;
  if (response)
    return new FarsightError(
      `the collector answers ${response.getStatus()}: ${firstLine(response.getBody())}`,
    );
  const cause = 'causingError' in error ? error.causingError : null;
  return cause ?? error;
}

const firstLine = (text: string) => text.trim().split('\n')[0].slice(0, 200);

async function metadataOf(segment: Segment, sha256: string): Promise<UploadMetadata> {
  const { recording } = await describe(segment);
  const filename = basename(segment.name);
  const parsed = uploadSchema.safeParse({
    filename,
    sha256,
    robot: recording.robot,
    boot: recording.recording,
  });
  if (!parsed.success) throw new FarsightError(`'${segment.name}': ${findingsOf(parsed.error)}`);
  return parsed.data;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

function isAsItWas({ path, bytes, mtimeMs }: Segment): boolean {
  const now = statSync(path, { throwIfNoEntry: false });
  return now?.size === bytes && now.mtimeMs === mtimeMs;
}

/** Resolves after so many ms, or rejects when `signal` comes. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new FarsightError('stopped'));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
  });
}
