// Trace rows become messages and transitions: what joins, what does not and why, and which files are refused.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { McapWriter, TempBuffer } from '@mcap/core';
import { FLAG, MODES, ROW, rowLayout } from '../../contract/loop.js';
import { readTransitions } from '../../contract/recordedRows.js';
import { METADATA, RECORDING_VERSION } from '../../contract/recording.js';
import { interfaceSchema } from '../../contract/terms.js';
import { RowCodec } from '../../contract/tickMessage.js';
import { collectTransitions } from '../../contract/transitions.js';
import { RecordingSegment } from '../../controller/recordingSegment.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-recording-'));
after(() => rmSync(folder, { recursive: true }));

const task = interfaceSchema.parse({
  task: 'pendulum',
  controlRate: 50,
  observation: [
    { kind: 'jointPosition', joint: 'hinge' },
    { kind: 'jointVelocity', joint: 'hinge' },
  ],
  action: [{ kind: 'effort', joint: 'hinge', limits: [-3, 3] }],
  safety: {},
});
const layout = rowLayout(2, 1);
const POLICY = MODES.indexOf('policy');

/** Ticks at 100 Hz, a policy step on every other one, whose command holds for the next. */
function ticks(count: number, change: (row: Float64Array, tick: number) => void = () => {}): Float64Array[] {
  return Array.from({ length: count }, (_, tick) => {
    const row = new Float64Array(layout.length);
    row[ROW.tick] = tick;
    row[ROW.scheduled] = 1e6 + tick * 0.01;
    row[ROW.sensorStamp] = 1e6 + tick * 0.01;
    row[ROW.mode] = POLICY;
    row[ROW.flags] = tick % 2 === 0 ? FLAG.policyStep : 0;
    row.set([tick, 10 - tick, 0.5, Math.floor(tick / 2) / 10], layout.observation);
    change(row, tick);
    return row;
  });
}

function joined(rows: Float64Array[]) {
  const { joiner, take } = collectTransitions(task);
  for (const row of rows) joiner.push(row);
  return { transitions: take(), skipped: joiner.skipped };
}

const none = { gap: 0, intervention: 0, fault: 0, reset: 0 };

test('consecutive policy steps join with the command as sent', () => {
  const { transitions, skipped } = joined(ticks(7));
  assert.deepEqual(skipped, none);
  assert.equal(transitions.count, 3);
  assert.deepEqual([...transitions.observation], [0, 10, 2, 8, 4, 6]);
  assert.deepEqual([...transitions.nextObservation], [2, 8, 4, 6, 6, 4]);
  assert.deepEqual(transitions.action, Float32Array.of(0, 0.1, 0.2));
  assert.deepEqual([...transitions.terminal], [0, 0, 0]);
});

// Tick 5 lies between the policy steps 4 and 6.
const spoil: [string, (row: Float64Array) => void, object][] = [
  ['missed ticks', (row) => (row[ROW.flags] |= FLAG.gap), { gap: 1 }],
  ['a command that moved', (row) => (row[layout.command] += 1e-6), { intervention: 1 }],
  ['a fault', (row) => (row[ROW.flags] |= FLAG.fault), { fault: 1 }],
  ['leaving policy mode', (row) => (row[ROW.mode] = MODES.indexOf('hold')), { fault: 1 }],
  ['a reset', (row) => (row[ROW.flags] |= FLAG.reset), { reset: 1 }],
];
for (const [what, change, counts] of spoil) {
  test(`nothing joins across ${what}`, () => {
    const { transitions, skipped } = joined(ticks(9, (row, tick) => void (tick === 5 && change(row))));
    assert.deepEqual(skipped, { ...none, ...counts });
    assert.deepEqual([...transitions.observation.filter((_, i) => i % 2 === 0)], [0, 2, 6]);
  });
}

test('an intervention that keeps its command is data, and the action is the command, not the wish', () => {
  const rows = ticks(5, (row, tick) => {
    if (tick < 2) row[ROW.flags] |= FLAG.intervention;
    row[layout.action] = 9;
  });
  const { transitions, skipped } = joined(rows);
  assert.deepEqual(skipped, none);
  assert.deepEqual(transitions.action, Float32Array.of(0, 0.1));
});

test('a terminal observation ends its transition and starts none', () => {
  const { transitions, skipped } = joined(
    ticks(9, (row, tick) => {
      if (tick === 4) row[ROW.flags] |= FLAG.terminal;
    }),
  );
  assert.deepEqual([...transitions.terminal], [0, 1, 0]);
  assert.deepEqual([...transitions.observation.filter((_, i) => i % 2 === 0)], [0, 2, 6]);
  assert.deepEqual(skipped, { ...none, reset: 1 });
});

test('stale sensors, a wrong interval and values that are not finite do not join', () => {
  const stale = ticks(5, (row, tick) => {
    if (tick === 2) row[ROW.sensorStamp] = 1e6;
  });
  assert.deepEqual(joined(stale).skipped, { ...none, gap: 1 });
  const late = ticks(5, (row, tick) => {
    if (tick >= 2) row[ROW.scheduled] += 0.02;
  });
  assert.deepEqual(joined(late).skipped, { ...none, gap: 1 });
  const broken = ticks(5, (row, tick) => {
    if (tick === 2) row[layout.observation] = Number.NaN;
  });
  assert.deepEqual(joined(broken).skipped, { ...none, fault: 2 });
});

test('a row comes back from its message, but for who acted, which is said once for the segment', () => {
  const codec = new RowCodec(2, 1);
  const row = Float64Array.from({ length: layout.length }, (_, i) => i + 1);
  row[ROW.scheduled] = 123_456.789_012_345;
  row[layout.command] = Math.PI;
  row[ROW.policy] = 0;
  assert.deepEqual(codec.decode(codec.encode(row)), row);
});

async function record(
  name: string,
  rows: Float64Array[],
  about: { recording: string; segment: number; interface?: typeof task },
) {
  const path = join(folder, name);
  const codec = new RowCodec(2, 1);
  const segment = await RecordingSegment.create(path, {
    version: RECORDING_VERSION,
    robot: 'bench-1',
    policy: 'abc',
    loopRate: 100,
    interface: task,
    ...about,
  });
  for (let i = 0; i < rows.length; i += 3) {
    await segment.append(
      rows
        .slice(i, i + 3)
        .map((row) => ({ tick: row[0], logTime: BigInt(Math.round(row[1] * 1e9)), data: codec.encode(row) })),
    );
  }
  const bytes = segment.bytes;
  segment.close();
  return { path, bytes };
}

test('segments of one recording join, other recordings do not', async () => {
  const rows = ticks(12);
  await record('a-0.mcap', rows.slice(0, 5), { recording: 'a', segment: 0 });
  await record('a-1.mcap', rows.slice(5), { recording: 'a', segment: 1 });
  await record('b-0.mcap', rows, { recording: 'b', segment: 0 });
  const { transitions, files } = await readTransitions(folder, task);
  assert.equal(transitions.count, 5 + 5);
  assert.deepEqual(
    files.map(({ rows, complete }) => [rows, complete]),
    [
      [5, true],
      [7, true],
      [12, true],
    ],
  );
  assert.match(files[0].sha256, /^[0-9a-f]{64}$/);
});

test('a recording of version 1, whose rows had no scores, is read as it was', async () => {
  const { transitions, files } = await readTransitions('test/contract/fixtures/version-1.mcap', task);
  assert.equal(files[0].rows, 7);
  assert.deepEqual(transitions, joined(ticks(7)).transitions);
});

test('a file that is cut anywhere is read up to its last whole chunk', async () => {
  const { path, bytes } = await record('cut.mcap', ticks(12), { recording: 'cut', segment: 0 });
  const seen = new Set<number>();
  for (let size = bytes - 1; size > 1200; size -= 97) {
    truncateSync(path, size);
    const { files } = await readTransitions(path, task);
    assert.equal(files[0].complete, false);
    seen.add(files[0].rows);
  }
  assert.ok([...seen].every((rows) => rows % 3 === 0));
  assert.ok(seen.has(12) && seen.has(9) && seen.has(3), `whole chunks: ${[...seen]}`);
});

test('files of others, of another task and of the future are refused in one line', async () => {
  const refused = (path: string, pattern: RegExp) =>
    assert.rejects(readTransitions(path, task), (error: Error) => {
      assert.equal(error.name, 'FarsightError');
      assert.match(error.message, pattern);
      assert.ok(error.message.includes(path) && !error.message.includes('\n'));
      return true;
    });
  await refused(join(folder, 'absent.mcap'), /no such file/);
  const text = join(folder, 'text.mcap');
  writeFileSync(text, 'hello, this is no recording');
  await refused(text, /not an MCAP file/);

  const foreign = async (name: string, metadata?: string) => {
    const buffer = new TempBuffer();
    const writer = new McapWriter({ writable: buffer });
    await writer.start({ profile: 'ros2', library: 'someone' });
    if (metadata) await writer.addMetadata({ name: METADATA, metadata: new Map([[METADATA, metadata]]) });
    await writer.end();
    const path = join(folder, name);
    writeFileSync(path, buffer.get());
    return path;
  };
  await refused(await foreign('foreign.mcap'), /not a recording of Farsight's/);
  await refused(await foreign('future.mcap', '{"version":99}'), /version 99.*update Farsight/);
  await refused(await foreign('bad.mcap', '{"version":1}'), /bad metadata/);

  const faster = await record('faster.mcap', ticks(3), {
    recording: 'c',
    segment: 0,
    interface: { ...task, controlRate: 100 },
  });
  await refused(faster.path, /another task: its controlRate is 100, not 50/);
});
