// Uploads under way in a bucket of an S3-compatible store (@tus/s3-store, which is loaded for it alone): collectors then
// share no disk for what comes in, only the directory of the datasets.
import { createWriteStream, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FarsightError, messageOf, UsageError } from '../contract/errors.js';
import { type UploadMetadata, uploadSchema } from '../contract/transfer.js';
import { asideName } from './datasetWriter.js';
import { GIVEN_UP, type Incoming, type IncomingUpload, MADE_IN } from './incoming.js';

/** What is ours in a bucket: an upload whose multipart upload was completed, what it says of itself, and its last bytes. */
const KEY = /^([0-9a-f]{64}-[0-9a-f]{8})(\.info|\.part)?$/;
const MADE_BY_US = ['', '.info', '.part'];

/** `s3://BUCKET?endpoint=URL&region=NAME`. Throws a `UsageError` that names the flag. */
export function bucketOf(text: string): { bucket: string; endpoint?: string; region?: string } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const refuse = (why: string) => new UsageError(`--incoming '${shown(text)}': ${why}`);
  if (url?.username || url?.password)
    throw refuse(
      'keys do not belong on a command line: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY hold them',
    );
  const example = 'wants s3://BUCKET, or s3://BUCKET?endpoint=https://store.local:9000';
  if (url?.protocol !== 's3:' || url.hostname === '' || !['', '/'].includes(url.pathname))
    throw refuse(example);
  const { endpoint, region, ...others } = Object.fromEntries(url.searchParams);
  if (Object.keys(others).length > 0) throw refuse(`'${Object.keys(others)[0]}' is unknown: ${example}`);
  const at = endpoint !== undefined && URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (endpoint !== undefined && (!at || !/^https?:$/.test(at.protocol) || at.username || at.password))
    throw refuse(example);
  return { bucket: url.hostname, ...(endpoint && { endpoint }), ...(region && { region }) };
}

const shown = (text: string) => text.replace(/\/\/[^/@]*@/, '//');

/**
 * The bucket, for a collector with that directory. Credentials are those of the AWS environment variables and files.
 * Throws a `FarsightError` that says what to look at when it cannot be reached.
 */
export async function openIncomingBucket(text: string, directory: string): Promise<Incoming> {
  const { bucket: Bucket, endpoint, region } = bucketOf(text);
  // That another Node will be wanted one day is for who installs it, not for each start.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
  const { S3Store } = await import('@tus/s3-store');
  class Store extends S3Store {
    readonly s3 = this.client;
    readonly about = this.getMetadata.bind(this);
  }
  const datastore = new Store({
    s3ClientConfig: {
      bucket: Bucket,
      ...(endpoint && {
        endpoint,
        forcePathStyle: true,
        // Not every store knows them; the SHA-256 of the whole file is checked anyway.
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
      }),
      ...((region ?? endpoint) && { region: region ?? 'us-east-1' }),
    },
    // Other collectors write there too: what was known of an upload may be no more.
    cache: { get: async () => undefined, set: async () => {}, delete: async () => {} },
  });
  const { s3, about } = datastore;
  try {
    await s3.headBucket({ Bucket });
  } catch (error) {
    const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
    const why = status === undefined ? messageOf(error) : `the store answers ${status}`;
    throw new FarsightError(
      `--incoming '${shown(text)}': ${why}; look at the bucket's name, the endpoint, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION`,
    );
  }

  /** What uploads say of themselves, which never changes. */
  const said = new Map<string, UploadMetadata>();
  /** Undefined where it says nothing. */
  async function uploadOf(id: string): Promise<UploadMetadata | undefined> {
    try {
      return uploadSchema.safeParse((await about(id)).file.metadata).data;
    } catch (error) {
      if ((error as Error).name === 'NoSuchKey') return undefined;
      throw error;
    }
  }

  async function remove(id: string): Promise<void> {
    // What was sent in parts has no key before it is whole.
    const UploadId = await about(id).then(
      (info) => info['upload-id'],
      () => undefined,
    );
    if (UploadId) await s3.abortMultipartUpload({ Bucket, Key: id, UploadId }).catch(() => {});
    await s3.deleteObjects({ Bucket, Delete: { Objects: MADE_BY_US.map((end) => ({ Key: id + end })) } });
  }

  return {
    datastore,
    remove,
    async list(prefix = '') {
      const newest = new Map<string, number>();
      const whole = new Set<string>();
      for (let ContinuationToken: string | undefined, more = true; more; ) {
        const page = await s3.listObjectsV2({ Bucket, Prefix: prefix, ContinuationToken });
        for (const { Key, LastModified } of page.Contents ?? []) {
          const [, id, end] = KEY.exec(Key ?? '') ?? [];
          if (id === undefined) continue;
          newest.set(id, Math.max(newest.get(id) ?? 0, LastModified?.getTime() ?? 0));
          if (end === undefined) whole.add(id);
        }
        ContinuationToken = page.NextContinuationToken;
        more = ContinuationToken !== undefined;
      }
      const found: IncomingUpload[] = [];
      if (prefix === '') for (const id of said.keys()) if (!newest.has(id)) said.delete(id);
      for (const [id, time] of newest) {
        const age = Date.now() - time;
        const upload = said.get(id) ?? (await uploadOf(id));
        if (upload) said.set(id, upload);
        if (age > GIVEN_UP || (!upload && age > MADE_IN)) await remove(id);
        else found.push({ id, ...(upload && whole.has(id) && { whole: upload }) });
      }
      return found;
    },
    async bring(id) {
      const path = join(directory, asideName());
      try {
        await pipeline((await datastore.read(id)) as Readable, createWriteStream(path));
      } catch (error) {
        rmSync(path, { force: true });
        if ((error as Error).name !== 'NoSuchKey') throw error;
      }
      return path;
    },
  };
}
