// Records the loop's trace to MCAP files from a thread of its own; the loop never waits for it and never sees a file.
import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { makeDirectory } from '../contract/directory.js';
import { FarsightError } from '../contract/errors.js';
import type { PolicyFile } from '../contract/policyFile.js';
import { PolicyList } from '../contract/policyList.js';
import { RECORDING_VERSION, type Recording } from '../contract/recording.js';
import { type RecordingState, robotNameOf } from '../contract/telemetry.js';
import { unwritable } from '../contract/wholeFile.js';

/** Young generation of the recorder's heap, MB: by itself it grows for hours, though nothing that it holds lasts. */
const YOUNG_GENERATION = 3;

export interface RecorderOptions {
  /** Where the files go; made when absent. Their names sort by time. */
  directory: string;
  /** The policy that the loop began with. */
  policy: PolicyFile;
  /** All that the loop is given, as trace rows number them; `policy` alone when left out. */
  policies?: PolicyList;
  /** The loop's rate, Hz. */
  rateHz: number;
  trace: { buffer: SharedArrayBuffer; rowLength: number; capacity: number };
  /** Names this run of the loop in all that it leaves; the recording's name. A new one when left out. */
  boot?: string;
  /** Who the files say was recorded; `robotNameOf` this computer when left out. */
  robot?: string;
  /**
   * A new file begins when the last one has this many bytes or seconds; `SEGMENT` when left out. Every flush
   * rewrites the file's index, so what it costs in memory and in wear of the disk grows with the file.
   */
  segment?: { bytes: number; seconds: number };
}

/** Of a file, at most. */
export const SEGMENT = { bytes: 64 * 2 ** 20, seconds: 120 };

export interface RecordingResult {
  /** The directory, as `readTransitions` takes it. */
  path: string;
  files: string[];
  /** Files of faults' last half minute, at the full rate. */
  blackBoxes: string[];
  /** Rows written. */
  rows: number;
  /** Transitions that a reader will join from them. */
  transitions: number;
  /** Rows of the trace that were overwritten before they were read, or that the disk would not take. */
  lost: number;
}

export interface Recorder {
  /** What it has come to, at most a second old. */
  readonly state: RecordingState;
  /**
   * Writes what the trace still holds, finishes the file and ends the thread. Throws a `FarsightError` when rows could
   * not be written.
   */
  stop(): Promise<RecordingResult>;
}

/** What the thread is given. */
export interface RecorderData {
  directory: string;
  recording: Omit<Recording, 'segment' | 'policy'>;
  /** Of the loop's `PolicyList`. */
  policies: SharedArrayBuffer;
  trace: RecorderOptions['trace'];
  segment: { bytes: number; seconds: number };
}
/** What the thread says. */
export type RecorderMessage =
  | { kind: 'ready' }
  | { kind: 'trouble'; text: string }
  | { kind: 'state'; state: RecordingState }
  | { kind: 'done'; result: RecordingResult; trouble?: string };

/**
 * Starts recording: rows pushed to the trace after this resolves are written, those of another policy to another file. What a `kill -9` costs is at most the
 * last second. A fault leaves a black box beside: every tick of the last 30 s and of the 2 s after it. Trouble with the
 * disk is said once on stderr; the loop goes on, and rows that could not be kept are counted as lost and leave a gap.
 */
export async function startRecorder(options: RecorderOptions): Promise<Recorder> {
  const { directory, policy, rateHz, trace } = options;
  const refuse = (error: unknown) => new FarsightError(`--record ${unwritable(directory, error).message}`);
  try {
    makeDirectory(directory);
  } catch (error) {
    throw refuse(error);
  }
  const { task, controlRate, observation, action, safety } = policy.manifest;
  const data: RecorderData = {
    directory,
    recording: {
      version: RECORDING_VERSION,
      recording: options.boot ?? randomUUID(),
      robot: options.robot ?? robotNameOf(),
      loopRate: rateHz,
      interface: { task, controlRate, observation, action, safety },
    },
    policies: (options.policies ?? onlyOne(policy)).buffer,
    trace,
    segment: options.segment ?? SEGMENT,
  };
  const worker = new Worker(new URL('./recorderWorker.js', import.meta.url), {
    workerData: data,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION },
  });
  let state: RecordingState = { rows: 0, lost: 0, waiting: 0, blackBoxes: 0, trouble: null };
  const done = new Promise<RecordingResult>((resolve, reject) => {
    worker.on('message', (message: RecorderMessage) => {
      if (message.kind === 'trouble') process.stderr.write(`warning: recording: ${message.text}\n`);
      if (message.kind === 'state') state = message.state;
      if (message.kind !== 'done') return;
      if (message.trouble) reject(new FarsightError(`--record ${message.trouble}`));
      else resolve(message.result);
    });
    worker.on('error', reject);
    worker.on('exit', () => reject(new Error('the recorder ended before it was stopped')));
  });
  // Whoever stops the recorder gets the error; until then it must not end the process.
  done.catch(() => {});
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', (error) => reject(refuse(error)));
  });
  return {
    get state() {
      return state;
    },
    stop() {
      worker.postMessage('stop');
      return done;
    },
  };
}

function onlyOne({ sha256 }: PolicyFile): PolicyList {
  const policies = new PolicyList();
  policies.add(sha256);
  return policies;
}
