// Which policy acted when, in all that a loop leaves behind: its recording, its black boxes, its latched fault, a dataset.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { asideName, DatasetWriter, describeFile } from '../../bridge/datasetWriter.js';
import { readIndex } from '../../contract/dataset.js';
import { actingPolicy, FLAG, ROW, reportOf, rowLayout } from '../../contract/loop.js';
import type { PolicyFile } from '../../contract/policyFile.js';
import { readTransitions } from '../../contract/recordedRows.js';
import { readRecording } from '../../contract/recording.js';
import { startLoop } from '../../controller/controller.js';
import { Guard } from '../../controller/guard.js';
import { fillSlot, SLOT, slotRequest } from '../../controller/policySlots.js';
import { type RecordingResult, startRecorder } from '../../controller/recorder.js';
import { datasetIn, rowsOf } from '../bridge/fleet.js';
import { divisionPolicyFixture, linearPolicyFixture, temporaryDirectory } from '../fixtures/policy.js';
import { startRobotThread } from '../fixtures/robotThread.js';

const directory = temporaryDirectory();
const policies = join(directory, 'policies');
mkdirSync(policies);
const division = divisionPolicyFixture(join(policies, 'division.onnx'));
const { manifest } = division;
const constant = (value: number) =>
  linearPolicyFixture(join(policies, `${value}.onnx`), manifest, [[0]], [value]);
const [first, second, third, last] = [0.25, 0.5, 1, 0.75].map(constant);
const layout = rowLayout(1, 1);
const BLEND = 50;

/** A copy that the dataset may take away. */
function copied(path: string, into: string): string {
  const copy = join(into, asideName());
  copyFileSync(path, copy);
  return copy;
}

test('every row is in a file of the policy that acted at its tick, whatever is switched, and the collector takes all', async () => {
  const guard = await Guard.start({ robot: 'arm-1' });
  await guard.keep(join(directory, 'state'));
  const loop = await startLoop({ policy: first, name: 'first', rateHz: 500, guard });
  const robot = await startRobotThread(loop.robot, 1, 1);
  const recordings = join(directory, 'recordings');
  const recorder = await startRecorder({
    ...{ directory: recordings, policy: first, policies: loop.view.policies, rateHz: 500 },
    ...{ trace: loop.trace, robot: 'arm-1' },
  });
  const reader = loop.view.trace.reader();
  const row = new Float64Array(layout.length);
  const until = async (met: () => boolean) => {
    for (let i = 0; i < 5000; i++, await new Promise((resolve) => setTimeout(resolve, 2))) {
      while (reader.read(row)) {
        if (met()) return row[ROW.tick];
      }
    }
    throw new Error('never');
  };
  /** Has a policy act, until it does so alone, and returns the tick of its first action, which is another than that before. */
  const give = async (slot: number, blend: number, policy?: PolicyFile, value = 0, fallback?: number) => {
    if (policy) fillSlot(loop.slots, slot, policy);
    const before = row[layout.action];
    const request = slotRequest({ slot, blend, ...(fallback !== undefined && { fallback }) });
    Atomics.store(loop.slots.words, SLOT.request, request);
    const begin = await until(() => row[layout.action] !== before);
    const end = row[ROW.tick] + 100;
    await until(() => row[ROW.tick] >= end && Math.fround(row[layout.action]) === value);
    return begin;
  };
  const begins: [number, string][] = [];
  let recorded: RecordingResult;
  try {
    await loop.activate();
    await until(() => row[layout.action] === 0.25);
    begins.push([0, first.sha256]);
    begins.push([await give(1, BLEND, second, 0.5, 0), second.sha256]);
    begins.push([await give(0, 0, undefined, 0.25), first.sha256]);
    begins.push([await give(2, 0, third, 1), third.sha256]);
    // The slot that the second had.
    begins.push([await give(1, BLEND, last, 0.75, 2), last.sha256]);
    assert.equal(actingPolicy(loop.view), last.sha256);
    // Its first answer is not finite: another's acts in the same step, and no row is its own.
    fillSlot(loop.slots, 2, division);
    robot.moveTo(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    Atomics.store(loop.slots.words, SLOT.request, slotRequest({ slot: 2, blend: 0, fallback: 1 }));
    await until(() => Atomics.load(loop.slots.words, SLOT.failed) === 1);
    loop.emergencyStop();
    await until(() => reportOf(loop.view).fault === 'emergency stop' && row[ROW.fault] !== 0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const kept = JSON.parse(readFileSync(join(directory, 'state', 'latched-fault.json'), 'utf8'));
    assert.deepEqual([kept.fault, kept.policy], ['emergency stop', last.sha256]);
  } finally {
    await loop.stop();
    await robot.stop();
    await guard.close();
    recorded = await recorder.stop();
  }
  const { files, blackBoxes, rows, lost, transitions } = recorded;
  assert.equal(lost, 0);

  const actedAt = (tick: number) => begins.findLast(([begin]) => begin <= tick)![1];
  for (const list of [files, blackBoxes]) {
    const order: string[] = [];
    for (const path of list) {
      let steps = 0;
      const { recording, file } = readRecording(path, ({ policy }) => (read) => {
        const tick = read[ROW.tick];
        assert.equal(policy, actedAt(tick), `tick ${tick} of ${basename(path)}`);
        if (read[ROW.flags] & FLAG.policyStep) steps++;
      });
      assert.ok(file.complete && steps > 0);
      assert.equal(recording.segment, order.length);
      order.push(recording.policy);
    }
    assert.deepEqual(
      order,
      begins.map(([, sha256]) => sha256),
    );
  }

  const out = join(directory, 'fleet');
  const writer = new DatasetWriter({ directory: out, policies });
  for (const path of [...blackBoxes, ...files].reverse()) {
    const receipt = await writer.takeAtLast(copied(path, out), describeFile(path));
    assert.equal(receipt?.state, 'stored', JSON.stringify(receipt));
  }
  // A tick twice throws.
  const taken = await rowsOf(out);
  assert.ok(taken.rows.size >= rows);
  assert.equal(readIndex(datasetIn(out)).sources.length, 2 * begins.length);
  for (const { policy, part } of taken.sources) {
    if (!part) continue;
    assert.deepEqual([actedAt(part.first), actedAt(part.last)], [policy, policy]);
  }
  // What a step did is known, whoever made the next: no transition is lost to a change.
  const here = await readTransitions(recordings, manifest);
  const there = await readTransitions(datasetIn(out), manifest);
  assert.ok(transitions > 100);
  assert.equal(here.transitions.count, transitions);
  assert.deepEqual(there.transitions, here.transitions);
  assert.deepEqual(
    new Set(there.files.map(({ policy }) => policy)),
    new Set(begins.map(([, sha256]) => sha256)),
  );
});
