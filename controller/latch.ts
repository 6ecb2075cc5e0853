// A latched fault outlives the process: its cause in a small file, from the tick that latches to the person who rearms.
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
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory } from '../contract/directory.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { FAULTS, MODES, WORD } from '../contract/loop.js';
import { MODE } from './modes.js';

const FILE = 'latched-fault.json';
/** Between two looks at the loop's words. */
const LOOK_MS = 20;

const latchedFaultSchema = z.object({
  fault: z.enum(FAULTS).exclude(['none']),
  mode: z.enum(MODES),
  /** Wall time at which it latched. */
  time: z.iso.datetime(),
  robot: z.string(),
  /** SHA-256 of the policy file that ran. */
  policy: z.string(),
});
export type LatchedFault = z.infer<typeof latchedFaultSchema>;

export interface FaultLatch {
  /** What was latched when the last process ended; its fault is 'unknown' when that cannot be read. */
  found: (Pick<LatchedFault, 'fault'> & Partial<LatchedFault>) | undefined;
  /** Follows the loop from now on: keeps what latches, forgets it when it is rearmed. */
  watch(): void;
  /** Takes a last look and ends. */
  close(): void;
}

/**
 * Reads the fault that was latched when the process before ended, and keeps the one of this loop, seen in its `words`,
 * in `directory`. Runs in the thread that calls it, off the loop's. A file that cannot be read, or that was cut off
 * while it was written, is a latched fault 'unknown'. Throws a `FarsightError` when the directory cannot be written.
 */
export function openLatch(
  directory: string,
  words: Int32Array,
  about: Pick<LatchedFault, 'robot' | 'policy'>,
): FaultLatch {
  const path = join(directory, FILE);
  const aside = `${path}.tmp`;
  const probe = `${path}.${process.pid}.probe`;
  try {
    makeDirectory(directory);
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (error) {
    throw new FarsightError(`state directory '${directory}' cannot be written: ${messageOf(error)}`);
  }
  const found = readLatched(path, aside);
  let kept = found?.fault;
  let timer: NodeJS.Timeout | undefined;
  let warned = false;

  const look = () => {
    const mode = Atomics.load(words, WORD.mode);
    const fault = FAULTS[Atomics.load(words, WORD.fault)];
    const latched = mode === MODE.damping || mode === MODE.fault;
    // Between the loop's two stores the fault may not be there yet: the next look finds it.
    if (latched ? fault === kept || fault === 'none' : kept === undefined) return;
    try {
      if (latched && fault !== 'none') {
        const entry = { fault, mode: MODES[mode], time: new Date().toISOString(), ...about };
        writeWhole(aside, `${JSON.stringify(entry satisfies LatchedFault)}\n`);
        renameSync(aside, path);
        kept = fault;
      } else {
        rmSync(aside, { force: true });
        rmSync(path, { force: true, recursive: true });
        kept = undefined;
      }
      sync(directory);
      warned = false;
    } catch (error) {
      if (!warned)
        process.emitWarning(`the latched fault in '${path}' is not up to date: ${messageOf(error)}`);
      warned = true;
    }
  };
  return {
    found,
    watch() {
      timer = setInterval(look, LOOK_MS).unref();
    },
    close() {
      if (!timer) return;
      clearInterval(timer);
      look();
    },
  };
}

function readLatched(path: string, aside: string): FaultLatch['found'] {
  // A process that died while it wrote had a fault to keep.
  if (!existsSync(path)) return existsSync(aside) ? { fault: 'unknown' } : undefined;
  try {
    return latchedFaultSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return { fault: 'unknown' };
  }
}

function writeWhole(path: string, text: string): void {
  const file = openSync(path, 'w');
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Waits until the disk has a directory's names. */
function sync(directory: string): void {
  const file = openSync(directory, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
