// A robot's delivered policies on its disk: two slots, of which one is good, and what was tried before; whole after any power cut.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../contract/directory.js';
import { lockDirectory } from '../contract/directoryLock.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { whyUnusable } from '../contract/schemaErrors.js';
import { syncDirectory, writeWhole } from '../contract/wholeFile.js';

const STATE_FILE = 'slots.json';
/** A trial that ended without a word, such as by a power cut, is tried again so many times in all. */
const MOST_ATTEMPTS = 2;
/** Policies remembered as bad, the newest. */
const MOST_BAD = 100;

const deliveredSchema = z.object({
  target: z.string(),
  sha256: z.string(),
  interface: z.string(),
  version: z.int().positive(),
  task: z.string(),
});
/** A policy as it was delivered. */
export type Delivered = z.infer<typeof deliveredSchema>;

const slotName = z.enum(['a', 'b']);
type SlotName = z.infer<typeof slotName>;
const stateSchema = z.object({
  version: z.literal(1),
  slots: z.partialRecord(slotName, deliveredSchema),
  /** The slot that is served after a start; null: what the command names. */
  good: slotName.nullable(),
  /** The slot on trial, and how often that began. */
  trial: z.object({ slot: slotName, attempts: z.int().positive() }).nullable(),
  /** Never tried again. */
  bad: z.array(z.object({ sha256: z.string(), target: z.string(), reason: z.string(), time: z.string() })),
});
type State = z.infer<typeof stateSchema>;

export class SlotStore {
  readonly #directory: string;
  readonly #unlock: () => void;
  #state: State = { version: 1, slots: {}, good: null, trial: null, bad: [] };
  /** Attempts of the policy, by SHA-256, whose trial the process before did not end. */
  #interrupted: { delivered: Delivered; attempts: number } | undefined;

  /** Throws a `FarsightError` for a directory that cannot be used, is in use, or holds another's state. */
  constructor(directory: string) {
    this.#directory = directory;
    try {
      makeDirectory(directory);
    } catch (error) {
      throw new FarsightError(`--slots '${directory}': ${messageOf(error)}`);
    }
    this.#unlock = lockDirectory(directory, `--slots '${directory}'`);
    try {
      const path = join(directory, STATE_FILE);
      if (!existsSync(path)) return;
      try {
        this.#state = stateSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
      } catch (error) {
        throw new FarsightError(
          `'${path}' cannot be understood (${whyUnusable(error)}): remove it to start over`,
        );
      }
      this.#recover();
    } catch (error) {
      this.#unlock();
      throw error;
    }
  }

  /** The policy whose trial the process before did not end, and whether it is tried again. */
  get interrupted(): { delivered: Delivered; again: boolean } | undefined {
    const interrupted = this.#interrupted;
    return interrupted && { delivered: interrupted.delivered, again: interrupted.attempts < MOST_ATTEMPTS };
  }

  /** The policy that is served after a start, and its file; undefined when none was accepted, or its bytes are not those. */
  get good(): (Delivered & { path: string }) | undefined {
    const { good, slots } = this.#state;
    const delivered = good === null ? undefined : slots[good];
    if (good === null || !delivered) return undefined;
    const path = this.#path(good);
    return this.#isWhole(path, delivered.sha256) ? { ...delivered, path } : undefined;
  }

  /** Why a policy, by its SHA-256 or its target's name, is not tried again; undefined when it may be. */
  badness(named: string): string | undefined {
    return this.#state.bad.find(({ sha256, target }) => sha256 === named || target === named)?.reason;
  }

  /** Puts a policy into the slot that is not good, and notes that its trial begins. */
  begin(delivered: Delivered, bytes: Uint8Array): void {
    const slot: SlotName = this.#state.good === 'a' ? 'b' : 'a';
    const before = this.#interrupted?.delivered.sha256 === delivered.sha256 ? this.#interrupted.attempts : 0;
    writeWhole(this.#path(slot), bytes);
    // The policy's bytes first: what names them is never on the disk without them.
    this.#write({
      ...this.#state,
      slots: { ...this.#state.slots, [slot]: delivered },
      trial: { slot, attempts: before + 1 },
    });
  }

  /** The policy on trial is good. */
  accept(): void {
    const { trial } = this.#state;
    if (trial) this.#write({ ...this.#state, good: trial.slot, trial: null });
  }

  /** The policy on trial is not tried again; without a `reason` it may be. */
  end(reason?: string): void {
    const { trial, slots } = this.#state;
    const delivered = trial && slots[trial.slot];
    if (delivered && reason !== undefined) this.refuse(delivered, reason);
    this.#write({ ...this.#state, trial: null });
  }

  /** The policy is never tried. */
  refuse({ sha256, target }: Delivered, reason: string): void {
    const entry = { sha256, target, reason, time: new Date().toISOString() };
    this.#write({ ...this.#state, bad: [...this.#state.bad, entry].slice(-MOST_BAD) });
  }

  close(): void {
    this.#unlock();
  }

  #recover(): void {
    const { trial, slots } = this.#state;
    const delivered = trial && slots[trial.slot];
    if (!trial || !delivered) return;
    this.#interrupted = { delivered, attempts: trial.attempts };
    if (trial.attempts < MOST_ATTEMPTS) this.#write({ ...this.#state, trial: null });
    else this.end('its trial was cut short twice: the computer or the controller did not live through it');
  }

  #isWhole(path: string, sha256: string): boolean {
    try {
      return createHash('sha256').update(readFileSync(path)).digest('hex') === sha256;
    } catch {
      return false;
    }
  }

  #path(slot: SlotName): string {
    return join(this.#directory, `${slot}.onnx`);
  }

  #write(state: State): void {
    this.#state = state;
    writeWhole(join(this.#directory, STATE_FILE), JSON.stringify(state, null, 1));
    syncDirectory(this.#directory);
  }
}
