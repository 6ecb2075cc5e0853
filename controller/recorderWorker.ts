// The recorder's thread: drains the trace ring some fifty times a second and writes a chunk twice a second.
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { FLAG, ROW } from '../contract/loop.js';
import { PolicyList } from '../contract/policyList.js';
import type { Recording } from '../contract/recording.js';
import { TraceRing } from '../contract/sharedMemory.js';
import { RowCodec } from '../contract/tickMessage.js';
import { isWorthKeeping, TransitionJoiner } from '../contract/transitions.js';
import { unwritable } from '../contract/wholeFile.js';
import { BlackBox } from './blackBox.js';
import type { RecorderData, RecorderMessage } from './recorder.js';
import { RecordingSegment, type SegmentMessage } from './recordingSegment.js';

const DRAIN_MS = 20;
const FLUSH_MS = 500;
const STATE_MS = 1000;
/** Kept in memory while the disk takes nothing; beyond it the newest rows are lost. */
const MOST_PENDING = 20_000;

const { directory, recording, policies, trace, segment: limits } = workerData as RecorderData;
const port = parentPort!;
const post = (message: RecorderMessage) => port.postMessage(message);

const { observation, action } = recording.interface;
const codec = new RowCodec(observation.length, action.length);
const reader = new TraceRing(trace.rowLength, trace.capacity, trace.buffer).reader();
const row = new Float64Array(trace.rowLength);
const kept = new Float64Array(trace.rowLength);
let transitions = 0;
const joiner = new TransitionJoiner(recording.interface, () => transitions++);
const list = new PolicyList(policies);
/** What files say that hold rows of the policy with this number. */
const about = (policy: number): Omit<Recording, 'segment'> => ({ ...recording, policy: list.sha256(policy) });
const blackBox = new BlackBox(codec, recording.loopRate, about);
const blackBoxes: string[] = [];
const toWall = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
const wallOf = (row: Float64Array) => toWall + BigInt(Math.round(row[ROW.scheduled] * 1e9));
const start = new Date().toISOString().replaceAll(/[-:]/g, '');

/** Each with its policy's number. */
let pending: (SegmentMessage & { policy: number })[] = [];
let rows = 0;
let refused = 0;
let lostSeen = 0;
let gapAhead = false;
let anyKept = false;
let segment: RecordingSegment | undefined;
let segmentPolicy = 0;
let segmentStarted = 0;
let segmentRows = 0;
let lostBefore = 0;
let segments = 0;
const files: string[] = [];
let trouble: string | undefined;
let blackBoxTrouble: string | undefined;

function drain(): void {
  while (reader.read(row)) {
    if (reader.lost > lostSeen) {
      lostSeen = reader.lost;
      gapAhead = true;
    }
    if (gapAhead) row[ROW.flags] |= FLAG.gap;
    blackBox.push(row);
    if (anyKept && !isWorthKeeping(codec.layout, row, kept)) continue;
    if (pending.length >= MOST_PENDING) {
      refused++;
      gapAhead = true;
      continue;
    }
    gapAhead = false;
    anyKept = true;
    kept.set(row);
    joiner.push(row);
    const { [ROW.tick]: tick, [ROW.policy]: policy } = row;
    pending.push({ tick, logTime: wallOf(row), data: codec.encode(row), policy });
  }
}

async function openSegment(policy: number): Promise<RecordingSegment> {
  const name = `${start}-${recording.recording.slice(0, 8)}-${String(segments).padStart(5, '0')}.mcap`;
  const opened = await RecordingSegment.create(join(directory, name), {
    ...about(policy),
    segment: segments,
  });
  segments++;
  segmentPolicy = policy;
  segmentStarted = performance.now();
  segmentRows = 0;
  files.push(opened.path);
  return opened;
}

async function closeSegment(): Promise<void> {
  const ended = segment;
  segment = undefined;
  await ended?.finish({ rows: segmentRows, lost: lost() - lostBefore });
  lostBefore = lost();
}

const lost = () => reader.lost + refused;

function isFull({ bytes }: RecordingSegment): boolean {
  return bytes >= limits.bytes || performance.now() - segmentStarted >= limits.seconds * 1000;
}

async function flush(last = false): Promise<void> {
  await flushRows();
  if (!blackBox.due) return;
  try {
    blackBoxes.push(...(await blackBox.write(directory, start, wallOf, drain, last)));
    blackBoxTrouble = undefined;
  } catch (error) {
    const { message } = unwritable(directory, error);
    if (!blackBoxTrouble) post({ kind: 'trouble', text: `black box: ${message}; trying again` });
    blackBoxTrouble = message;
  }
}

async function flushRows(): Promise<void> {
  try {
    while (pending.length > 0) {
      const { policy } = pending[0];
      const other = pending.findIndex((row) => row.policy !== policy);
      const written = other < 0 ? pending : pending.slice(0, other);
      if (segment && (policy !== segmentPolicy || isFull(segment) || segment.isDeleted)) await closeSegment();
      segment ??= await openSegment(policy);
      await segment.append(written);
      rows += written.length;
      segmentRows += written.length;
      pending = pending.slice(written.length);
      trouble = undefined;
    }
  } catch (error) {
    segment?.close();
    segment = undefined;
    const { message } = unwritable(directory, error);
    if (!trouble) post({ kind: 'trouble', text: `${message}; trying again, nothing is lost yet` });
    trouble = message;
  }
}

async function finish(): Promise<void> {
  drain();
  await flush(true);
  await closeSegment().catch(() => {});
  post({
    kind: 'done',
    result: { path: directory, files, blackBoxes, rows, transitions, lost: lost() },
    trouble: trouble && `${trouble}; ${pending.length} rows are lost`,
  });
  port.close();
}

let stopping = false;
port.on('message', () => {
  stopping = true;
});

function say(): void {
  const state = { rows, lost: lost(), waiting: pending.length, blackBoxes: blackBoxes.length };
  post({ kind: 'state', state: { ...state, trouble: trouble ?? null } });
}

async function run(): Promise<void> {
  let flushed = performance.now();
  let said = flushed;
  while (!stopping) {
    drain();
    if (performance.now() - flushed >= FLUSH_MS) {
      flushed = performance.now();
      await flush();
    }
    if (performance.now() - said >= STATE_MS) {
      said = performance.now();
      say();
    }
    await new Promise((resolve) => setTimeout(resolve, DRAIN_MS));
  }
  await finish();
}

// The first file exists before the loop starts, so that a disk that takes nothing is known at once.
segment = await openSegment(0);
post({ kind: 'ready' });
await run();
