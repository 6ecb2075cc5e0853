// The robot's side of delivery: what the repository signs, verified by TUF, and what it keeps of that between two starts.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { BaseFetcher, Updater } from 'tuf-js';
import { DownloadHTTPError } from 'tuf-js/dist/error.js';
import { z } from 'zod';
import {
  DESIRED_FILE,
  desiredFileSchema,
  METADATA_FOLDER,
  type PolicyTarget,
  policyTargetSchema,
  TARGETS_FOLDER,
} from '../contract/delivery.js';
import { FarsightError, messageOf, UsageError } from '../contract/errors.js';
import { type PolicyFile, readPolicyFile } from '../contract/policyFile.js';
import { findingsOf, whyUnusable } from '../contract/schemaErrors.js';
import { writeWhole } from '../contract/wholeFile.js';

/** Seconds that one file of the repository may take, however slowly it drips. */
const PATIENCE = 30;
/** Largest policy file, bytes: whoever may sign may still not fill the robot's disk. */
const LARGEST = 256e6;
/** Bytes of the hints. */
const LARGEST_DESIRED = 1e6;
const TRUST_FILE = 'trust.json';
const SCRATCH = 'refresh-';

/** What is trusted by now: each metadata file's text, and the SHA-256 of the root that a person put there. */
const trustSchema = z.object({ pinned: z.string(), files: z.record(z.string(), z.string()) });
type Trust = z.infer<typeof trustSchema>;

export interface PolicyClientOptions {
  /** Of the repository. */
  url: string;
  /** Path of the root metadata that a person brought to the robot; it is needed once, and again after another was put there. */
  root: string;
  /** Where what is trusted is kept. */
  directory: string;
}

/** A policy whose bytes the repository signs. */
export interface SignedPolicy {
  target: string;
  about: PolicyTarget;
  policy: PolicyFile;
}

/** The repository has nothing that may be run; the message says why. `passing` when that may change by itself. */
export class UntrustedError extends FarsightError {
  constructor(
    message: string,
    readonly passing: boolean,
  ) {
    super(message);
  }
}

class PatientFetcher extends BaseFetcher {
  async fetch(url: string): Promise<NodeJS.ReadableStream> {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000 * PATIENCE), redirect: 'error' });
    if (response.ok && response.body) return Readable.fromWeb(response.body as ReadableStream);
    // By its class tuf-js tells a file that is not there from one that failed.
    throw new DownloadHTTPError(`${url} answers ${response.status}`, response.status);
  }
}

export class PolicyClient {
  readonly #options: PolicyClientOptions;
  readonly #base: string;
  readonly #fetcher = new PatientFetcher();

  /** Throws a `UsageError` for a URL, a `FarsightError` for a root that cannot be used. */
  constructor(options: PolicyClientOptions) {
    this.#options = options;
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    if (!url || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '')
      throw new UsageError(`--deliver '${options.url}': wants a URL such as http://fleet.local:7449`);
    this.#base = url.href.replace(/\/$/, '');
    const { directory } = options;
    mkdirSync(directory, { recursive: true });
    // What a process that was killed left.
    for (const name of readdirSync(directory))
      if (name.startsWith(SCRATCH)) rmSync(join(directory, name), { recursive: true });
    this.#trust();
  }

  /** What the repository's own, unsigned list wants the robot to run; undefined when it does not say. */
  async desired(robot: string): Promise<string | undefined> {
    let bytes: Buffer;
    try {
      bytes = await this.#fetcher.downloadBytes(`${this.#base}/${DESIRED_FILE}`, LARGEST_DESIRED);
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 404) return undefined;
      throw new UntrustedError(`cannot reach ${this.#base}: ${reasonOf(error)}`, true);
    }
    try {
      const parsed = desiredFileSchema.safeParse(JSON.parse(bytes.toString('utf8')));
      if (!parsed.success) throw new UntrustedError(`${DESIRED_FILE}: ${findingsOf(parsed.error)}`, true);
      return Object.hasOwn(parsed.data.robots, robot) ? parsed.data.robots[robot] : undefined;
    } catch (error) {
      if (error instanceof UntrustedError) throw error;
      throw new UntrustedError(`${DESIRED_FILE}: not JSON`, true);
    }
  }

  /**
   * Fetches a target that the repository signs now. Throws an `UntrustedError` that says why there is none: whatever the
   * mirror sends, nothing of it gets past the signatures, their expiry, the versions seen before, lengths and hashes.
   */
  async fetch(target: string): Promise<SignedPolicy> {
    const scratch = mkdtempSync(join(this.#options.directory, SCRATCH));
    try {
      const trust = this.#trust();
      const metadata = join(scratch, METADATA_FOLDER);
      mkdirSync(metadata);
      for (const [name, text] of Object.entries(trust.files)) writeFileSync(join(metadata, name), text);
      const updater = new Updater({
        metadataDir: metadata,
        metadataBaseUrl: `${this.#base}/${METADATA_FOLDER}`,
        targetDir: scratch,
        targetBaseUrl: `${this.#base}/${TARGETS_FOLDER}`,
        fetcher: this.#fetcher,
      });
      let info: Awaited<ReturnType<Updater['getTargetInfo']>>;
      try {
        await updater.refresh();
        info = await updater.getTargetInfo(target);
      } finally {
        // Also after a failure: what was verified before it, such as a new root, holds.
        this.#keep(trust, metadata);
      }
      if (!info) throw new UntrustedError(`'${target}' is not among the signed targets`, true);
      if (info.length > LARGEST)
        throw new UntrustedError(`'${target}' has ${info.length} bytes, at most ${LARGEST}`, false);
      const about = policyTargetSchema.safeParse(info.custom);
      if (!about.success)
        throw new UntrustedError(`'${target}': what is signed of it: ${findingsOf(about.error)}`, false);
      const path = join(scratch, 'policy.onnx');
      await updater.downloadTarget(info, path);
      return { target, about: about.data, policy: readPolicyFile(path, about.data.task) };
    } catch (error) {
      if (error instanceof UntrustedError) throw error;
      const signed = error instanceof FarsightError;
      throw new UntrustedError(reasonOf(error).replace(`'${scratch}/policy.onnx'`, `'${target}'`), !signed);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }

  /** What is trusted; the person's root alone before the first time, and after another root was put there. */
  #trust(): Trust {
    const { root, directory } = this.#options;
    const path = join(directory, TRUST_FILE);
    let kept: Trust | undefined;
    try {
      if (existsSync(path)) kept = trustSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    } catch (error) {
      throw new FarsightError(
        `'${path}' is damaged (${whyUnusable(error)}): put the newest root at '${root}', then remove it`,
      );
    }
    if (kept && !existsSync(root)) return kept;
    let text: string;
    try {
      text = readFileSync(root, 'utf8');
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : messageOf(error);
      throw new FarsightError(
        `--trust '${root}': ${why}; a person brings the repository's metadata/1.root.json here`,
      );
    }
    const pinned = createHash('sha256').update(text).digest('hex');
    if (kept?.pinned === pinned) return kept;
    try {
      JSON.parse(text);
    } catch {
      throw new FarsightError(`--trust '${root}': is no root metadata: bring 1.root.json of the repository`);
    }
    return { pinned, files: { 'root.json': text } };
  }

  #keep({ pinned }: Trust, metadata: string): void {
    const names = readdirSync(metadata);
    const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(metadata, name), 'utf8')]));
    writeWhole(join(this.#options.directory, TRUST_FILE), JSON.stringify({ pinned, files } satisfies Trust));
  }
}

/** What went wrong in words for people. */
function reasonOf(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause;
  const text = messageOf(error)
    .replace(/Unable to load \w+( metadata)? error /, '')
    .replace(/^(\w*Error: )+/, '');
  if (cause !== undefined) return `${text} (${messageOf(cause)})`;
  if (/is expired/.test(text)) return `${text}: nobody refreshes it, or a mirror is frozen`;
  if (/is less than current version/.test(text)) return `downgraded: ${text}`;
  if (/was signed by/.test(text)) return `not signed by who may: ${text}`;
  if (/Max length|Expected length|Expected hash/.test(text)) return `not the bytes that were signed: ${text}`;
  return text;
}
