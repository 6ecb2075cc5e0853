// A latched fault across restarts: kept by the file, by a corrupt file too, and gone only when someone rearms.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FarsightError } from '../../contract/errors.js';
import { type LoopReport, reportOf } from '../../contract/loop.js';
import { jointsOf } from '../../contract/terms.js';
import { type LoopHandle, startLoop } from '../../controller/controller.js';
import { Guard } from '../../controller/guard.js';
import type { FoundFault } from '../../controller/latch.js';
import { divisionPolicyFixture, temporaryDirectory } from '../fixtures/policy.js';
import { startRobotThread } from '../fixtures/robotThread.js';

const directory = temporaryDirectory();
const policy = divisionPolicyFixture(join(directory, 'division.onnx'));
const state = join(directory, 'robots', 'lift');
const file = join(state, 'latched-fault.json');

async function run(
  body: (
    handle: LoopHandle,
    until: (condition: (report: LoopReport) => boolean) => Promise<void>,
    guard: Guard,
    found: FoundFault | undefined,
  ) => Promise<void>,
) {
  const guard = await Guard.start({ robot: 'lift' });
  const found = await guard.keep(state);
  const handle = await startLoop({ policy, name: 'fixture', rateHz: 500, guard });
  const robot = await startRobotThread(handle.robot, jointsOf(policy.manifest).length, 1);
  const until = async (condition: (report: LoopReport) => boolean) => {
    for (let i = 0; i < 5000; i++) {
      if (condition(reportOf(handle.view))) return;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    throw new Error(`never came true; last: ${JSON.stringify(reportOf(handle.view))}`);
  };
  try {
    await body(handle, until, guard, found);
  } finally {
    await handle.stop();
    await robot.stop();
    await guard.close();
  }
}

test('an emergency stop outlives the process; rearming ends it for good', async () => {
  await run(async (handle, until, _, found) => {
    assert.equal(found, undefined);
    await until(({ mode }) => mode === 'hold');
    await handle.activate();
    handle.emergencyStop();
    await until(({ mode }) => mode === 'damping');
  });
  const { time, mode, ...entry } = JSON.parse(readFileSync(file, 'utf8'));
  assert.deepEqual(entry, { fault: 'emergency stop', robot: 'lift', policy: policy.sha256 });
  // A stop is written down at once, be it before the loop's next tick.
  assert.ok(['policy', 'damping'].includes(mode), mode);
  assert.ok(!Number.isNaN(Date.parse(time)));

  await run(async (handle, until, _, found) => {
    assert.equal(found?.fault, 'emergency stop');
    await assert.rejects(handle.activate(), /damping: emergency stop; look at the robot, then rearm/);
    await until(({ ticks }) => ticks > 50);
    const { mode, fault } = reportOf(handle.view);
    assert.equal(`${mode}: ${fault}`, 'damping: emergency stop');
  });
  assert.deepEqual(readdirSync(state), ['latched-fault.json'], 'it stays without a person');

  await run(async (handle, until) => {
    handle.rearm();
    await until(({ mode }) => mode === 'hold');
  });
  assert.deepEqual(readdirSync(state), []);
  await run((_, until) => until(({ mode }) => mode === 'hold'));
});

test('what a loop has latched is the next one’s too, until a person rearms, with a loop or without', async () => {
  const guard = await Guard.start({ robot: 'lift' });
  const trippedLoop = async () => {
    const handle = await startLoop({ policy, name: 'fixture', rateHz: 500, guard });
    handle.trip('management lost');
    while (reportOf(handle.view).mode !== 'damping') await new Promise((resolve) => setTimeout(resolve, 2));
    return handle;
  };
  await (await trippedLoop()).stop();
  assert.equal(await guard.latched(), 'management lost');
  const next = await startLoop({ policy, name: 'fixture', rateHz: 500, guard });
  assert.equal(reportOf(next.view).fault, 'management lost');
  await next.stop();
  assert.equal(await guard.rearm(), true);
  assert.equal(await guard.latched(), 'none');
  await guard.close();
});

const damaged: [string, () => void][] = [
  ['an empty file', () => writeFileSync(file, '')],
  ['a file cut off', () => writeFileSync(file, '{"fault":"emergency st')],
  ['a fault of another version', () => writeFileSync(file, '{"fault":"meteor","mode":"damping"}')],
  ['a write that was cut off', () => writeFileSync(`${file}.tmp`, '')],
  ['a directory in its place', () => mkdirSync(file)],
];
for (const [name, damage] of damaged) {
  test(`${name} is a latched fault`, async () => {
    mkdirSync(state, { recursive: true });
    damage();
    await run(async (handle, until) => {
      await until(({ ticks }) => ticks > 10);
      const { mode, fault } = reportOf(handle.view);
      assert.equal(`${mode}: ${fault}`, 'damping: unknown');
      handle.rearm();
      await until(({ mode }) => mode === 'hold');
    });
    assert.deepEqual(readdirSync(state), []);
  });
}

test('a state directory that cannot be written is refused before the loop starts', async () => {
  const path = join(directory, 'division.onnx', 'state');
  const guard = await Guard.start({ robot: 'lift' });
  await assert.rejects(
    guard.keep(path),
    (error: Error) => error instanceof FarsightError && error.message.startsWith(`state directory '${path}'`),
  );
  await guard.close();
});
