// A latched fault outlives its loop and its process: kept from the tick that latches to the person who rearms.
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../contract/directory.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { actingPolicy, FAULTS, type Fault, type LoopView, MODES, WORD } from '../contract/loop.js';
import { PolicyList } from '../contract/policyList.js';
import { syncDirectory } from '../contract/wholeFile.js';
import type { EmergencyStop } from './emergencyStop.js';
import { MODE } from './modes.js';

const FILE = 'latched-fault.json';

const latchedFaultSchema = z.object({
  fault: z.enum(FAULTS).exclude(['none']),
  mode: z.enum(MODES),
  /** Wall time at which it latched. */
  time: z.iso.datetime(),
  robot: z.string(),
  /** SHA-256 of the policy that acted, or that the loop went over to; empty when no loop ran. */
  policy: z.string(),
});
export type LatchedFault = z.infer<typeof latchedFaultSchema>;

/** What was latched when the last process ended; its fault is 'unknown' when that cannot be read. */
export type FoundFault = Pick<LatchedFault, 'fault'> & Partial<LatchedFault>;

/** A loop as its latch sees it. */
export interface LatchedLoop {
  words: Int32Array;
  /** Of its `PolicyList`. */
  policies: SharedArrayBuffer;
}

/**
 * Keeps what is latched: of the loop that it follows, of the emergency stop at any time, and of the loop before until the
 * next one has taken it over. With a directory, in a file there too. Belongs to one thread.
 */
export class FaultLatch {
  /** What the process before left behind. */
  readonly found: FoundFault | undefined;
  readonly #path: string | undefined;
  readonly #stop: EmergencyStop;
  readonly #robot: string;
  #loop: Pick<LoopView, 'words' | 'policies'> | undefined;
  #kept: Fault;
  /** What the file says. */
  #written: Fault;
  #warned = false;

  /**
   * A file that cannot be read, or that was cut off while it was written, is a latched fault 'unknown'. An emergency stop
   * that is found is set again. Throws a `FarsightError` when the directory cannot be written.
   */
  constructor(directory: string | undefined, stop: EmergencyStop, robot: string) {
    this.#stop = stop;
    this.#robot = robot;
    if (directory !== undefined) {
      this.#path = join(directory, FILE);
      probe(directory, `${this.#path}.${process.pid}.probe`);
      this.found = readLatched(this.#path, asideOf(this.#path));
    }
    this.#kept = this.#written = this.found?.fault ?? 'none';
    if (this.#kept === 'emergency stop') stop.press();
  }

  /** What is latched, 'none' for nothing: a loop that starts now has to begin with it. */
  get fault(): Fault {
    this.look();
    return this.#kept;
  }

  /** Follows a loop that runs, from its first tick. */
  follow(loop: LatchedLoop): void {
    this.#loop = { words: loop.words, policies: new PolicyList(loop.policies) };
  }

  /** The loop has ended: what it has latched stays. */
  leave(): void {
    this.look();
    this.#loop = undefined;
  }

  /** A person rearms while no loop runs. */
  forget(): void {
    if (!this.#loop) this.#kept = 'none';
  }

  /** To be called often. */
  look(): void {
    const loop = this.#loop;
    const mode = loop ? Atomics.load(loop.words, WORD.mode) : MODE.unconfigured;
    if (loop) {
      const latched = mode === MODE.damping || mode === MODE.fault;
      const fault = FAULTS[Atomics.load(loop.words, WORD.fault)];
      // Between the loop's two stores the fault may not be there yet: the next look finds it.
      if (latched && fault === 'none') return;
      this.#kept = latched ? fault : 'none';
    }
    if (this.#stop.set) {
      if (this.#kept === 'none') this.#kept = 'emergency stop';
    } else if (!loop && this.#kept === 'emergency stop') this.#kept = 'none';
    if (this.#kept !== this.#written) this.#write(mode);
  }

  #write(mode: number): void {
    const path = this.#path;
    if (path === undefined) {
      this.#written = this.#kept;
      return;
    }
    const aside = asideOf(path);
    try {
      if (this.#kept !== 'none') {
        const entry: LatchedFault = {
          fault: this.#kept,
          mode: MODES[mode],
          time: new Date().toISOString(),
          robot: this.#robot,
          policy: this.#loop ? actingPolicy(this.#loop) : '',
        };
        writeLasting(aside, `${JSON.stringify(entry)}\n`);
        renameSync(aside, path);
      } else {
        rmSync(aside, { force: true });
        rmSync(path, { force: true, recursive: true });
      }
      syncDirectory(dirname(path));
      this.#written = this.#kept;
      this.#warned = false;
    } catch (error) {
      if (!this.#warned)
        process.emitWarning(`the latched fault in '${path}' is not up to date: ${messageOf(error)}`);
      this.#warned = true;
    }
  }
}

const asideOf = (path: string) => `${path}.tmp`;

function probe(directory: string, path: string): void {
  try {
    makeDirectory(directory);
    writeFileSync(path, '');
    rmSync(path);
  } catch (error) {
    throw new FarsightError(`state directory '${directory}' cannot be written: ${messageOf(error)}`);
  }
}

function readLatched(path: string, aside: string): FoundFault | undefined {
  // A process that died while it wrote had a fault to keep.
  if (!existsSync(path)) return existsSync(aside) ? { fault: 'unknown' } : undefined;
  try {
    return latchedFaultSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return { fault: 'unknown' };
  }
}

/** Returns when the disk has it. */
function writeLasting(path: string, text: string): void {
  const file = openSync(path, 'w');
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
