// The robot's side of recordings, in a process of its own: uploads what is whole, keeps the quota, and tells how it stands.
import { join } from 'node:path';
import { makeDirectory } from '../contract/directory.js';
import { lockDirectory } from '../contract/directoryLock.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import type { TransferState } from '../contract/telemetry.js';
import { aboutUpload } from '../contract/transfer.js';
import { diskState, keepQuota, type QuotaOptions } from './diskQuota.js';
import { logger } from './log.js';
import { ClosedSegments, listSegments, type Segment } from './segments.js';
import { pause, Uploader, type UploaderOptions } from './uploader.js';
import { LEDGER_FOLDER, UploadLedger } from './uploadLedger.js';

/** Between two looks at the directory, ms. */
const LOOK_MS = 1000;
/** Before the collector is tried again, the first time and the longest, ms. */
const AGAIN_FIRST = 500;
const AGAIN_LONGEST = 60_000;

export interface RobotBridgeOptions extends QuotaOptions {
  /** Where recordings go; they stay here when left out. */
  upload?: Omit<UploaderOptions, 'signal'>;
}

export class RobotBridge {
  readonly #options: RobotBridgeOptions;
  readonly #ledger: UploadLedger;
  readonly #uploader: Uploader | undefined;
  readonly #closed = new ClosedSegments();
  readonly #stop = new AbortController();
  readonly #log = logger('bridge');
  readonly #unlock: () => void;
  readonly #counts = { stored: 0, quarantined: 0, rows: 0 };
  #trouble: string | null = null;
  #quotaTrouble: string | null = null;
  #waiting: Segment[] = [];
  #ended: Promise<unknown>;
  #idle = () => {};

  /** Makes the directory when it is not there yet. Throws a `FarsightError` when it cannot, or another bridge has it. */
  constructor(options: RobotBridgeOptions) {
    const { directory, upload } = options;
    try {
      makeDirectory(directory);
    } catch (error) {
      throw new FarsightError(`--recordings '${directory}': ${messageOf(error)}`);
    }
    this.#options = options;
    this.#ledger = new UploadLedger(directory, upload && new URL(upload.collector).href);
    this.#unlock = lockDirectory(join(directory, LEDGER_FOLDER), `recordings '${directory}'`);
    const { signal } = this.#stop;
    this.#uploader = upload && new Uploader({ ...upload, signal }, this.#ledger);
    this.#ended = Promise.all([this.#upload(), this.#keep()]);
  }

  /** How it stands now. */
  state(): TransferState {
    const { upload } = this.#options;
    const current = this.#uploader?.current;
    return {
      disk: diskState(this.#options),
      collector: upload ? (upload.find ? upload.collector : new URL(upload.collector).origin) : null,
      waiting: {
        files: this.#waiting.length,
        bytes: this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0),
      },
      current: current ? { ...current } : null,
      sent: this.#uploader?.sent ?? 0,
      ...this.#counts,
      dropped: this.#ledger.dropped,
      trouble: this.#trouble ?? this.#quotaTrouble,
    };
  }

  /** Resolves when the collector has every file that takes no more rows. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
    this.#unlock();
  }

  /** Files that wait for the collector, black boxes first. */
  async #ready(): Promise<Segment[]> {
    const { directory, settle } = this.#options;
    const ready: Segment[] = [];
    for (const segment of listSegments(directory)) {
      if (segment.bytes === 0 || this.#ledger.get(segment)?.done) continue;
      if (await this.#closed.has(segment, settle)) ready.push(segment);
    }
    return ready.sort((a, b) => Number(b.blackBox) - Number(a.blackBox));
  }

  async #upload(): Promise<void> {
    const { signal } = this.#stop;
    let again = AGAIN_FIRST;
    /** Files that failed since one arrived: others go first, so that one which never goes keeps none of them here. */
    const failed = new Set<string>();
    while (!signal.aborted) {
      let segment: Segment | undefined;
      try {
        this.#waiting = await this.#ready();
        if (!this.#uploader || this.#waiting.length === 0) {
          this.#idle();
          await pause(LOOK_MS, signal);
          continue;
        }
        segment = this.#waiting.find(({ name }) => !failed.has(name));
        if (!segment) {
          failed.clear();
          segment = this.#waiting[0];
        }
        await this.#one(segment);
        failed.clear();
        this.#trouble = null;
        again = AGAIN_FIRST;
      } catch (error) {
        if (signal.aborted) return;
        if (segment) failed.add(segment.name);
        const text = messageOf(error);
        if (text !== this.#trouble) this.#log.warn({ error: text }, 'no upload now; trying again');
        this.#trouble = text;
        await pause(again * (0.5 + Math.random() / 2), signal).catch(() => {});
        again = Math.min(2 * again, AGAIN_LONGEST);
      }
    }
  }

  async #one(segment: Segment): Promise<void> {
    const done = await this.#uploader!.upload(segment);
    if (!done) return;
    const { receipt, about } = done;
    const line = { ...aboutUpload(about), ...receipt };
    this.#counts[receipt.state]++;
    if (receipt.state === 'stored') {
      this.#counts.rows += receipt.rows;
      this.#log.info(line, 'the collector has it');
    } else this.#log.error(line, 'the collector has set it aside');
  }

  async #keep(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for (const gone of await keepQuota(this.#options, this.#ledger, this.#closed))
          this.#log.error(gone, 'dropped unsent: no room, and nothing left that the collector has');
        this.#quotaTrouble = null;
      } catch (error) {
        const text = messageOf(error);
        if (text !== this.#quotaTrouble) this.#log.error({ error: text }, 'the quota cannot be kept');
        this.#quotaTrouble = text;
      }
      await pause(LOOK_MS, signal).catch(() => {});
    }
  }
}
