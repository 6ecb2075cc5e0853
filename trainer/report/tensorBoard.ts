// TensorBoard's event file beside metrics.jsonl: the same numbers, for `tensorboard --logdir` over a directory of runs.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { growWhole } from '../../contract/wholeFile.js';
import type { MetricsLine } from './metrics.js';

/** Of tensorflow/core/util/event.proto and framework/summary.proto, the fields that are written. */
const { root } = protobuf.parse(
  `syntax = "proto3";
   message Value { string tag = 1; oneof value { float simpleValue = 2; } }
   message Summary { repeated Value value = 1; }
   message SessionLog { int32 status = 1; }
   message Event { double wallTime = 1; int64 step = 2;
     oneof what { string fileVersion = 3; Summary summary = 5; SessionLog sessionLog = 7; } }`,
);
const eventType = root.lookupType('Event');
const SESSION_START = 1;
const CRC_MASK = 0xa282ead8;

/**
 * Begins a file for this part of a run, from environment step `from` on; the function that comes back adds a line of
 * metrics. TensorBoard drops what earlier parts logged of these steps: a run that was killed repeats some. Throws a
 * `FarsightError` when the file cannot be written; the line is then added together with the next.
 */
export function tensorBoardWriter(directory: string, from: number): (line: MetricsLine) => void {
  const path = join(directory, `events.out.tfevents.${nextStamp(directory)}.farsight`);
  const pending = [
    record({ fileVersion: 'brain.Event:2' }),
    record({ step: from, sessionLog: { status: SESSION_START } }),
  ];
  return (line) => {
    const value = [...scalarsOf(line)].map(([tag, simpleValue]) => ({ tag, simpleValue }));
    pending.push(record({ step: line.environmentSteps, summary: { value } }));
    growWhole(path, pending);
    pending.length = 0;
  };
}

/** TensorBoard reads the files of a run in the order of their names: after all there are, though the clock was set back. */
function nextStamp(directory: string): number {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  const stamps = names.map((name) => Number(/^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1] ?? 0));
  return Math.max(Date.now(), ...stamps.map((stamp) => stamp + 1));
}

/** The numbers of a line by tag; those of the line itself are `training/…`, so that they make one group of charts. */
function* scalarsOf({ environmentSteps: _, ...line }: MetricsLine): Generator<[string, number]> {
  for (const [name, value] of Object.entries(line)) {
    const group = typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
    if (typeof value === 'number') yield [`training/${name}`, value];
    for (const [part, number] of Object.entries(group ?? {}))
      if (typeof number === 'number') yield [`${name}/${part}`, number];
  }
}

/** An event as a TFRecord: length and payload, each with its masked CRC-32C; times are in seconds. */
function record(event: object): Uint8Array {
  const payload = eventType.encode(eventType.fromObject({ wallTime: Date.now() / 1000, ...event })).finish();
  const bytes = Buffer.alloc(8 + 4 + payload.length + 4);
  bytes.writeBigUInt64LE(BigInt(payload.length));
  bytes.writeUInt32LE(maskedCrc(bytes.subarray(0, 8)), 8);
  bytes.set(payload, 12);
  bytes.writeUInt32LE(maskedCrc(payload), 12 + payload.length);
  return bytes;
}

function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + CRC_MASK) >>> 0;
}

/** CRC-32C, Castagnoli's (RFC 3720, B.4), bit by bit: a line of metrics has a kilobyte. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
