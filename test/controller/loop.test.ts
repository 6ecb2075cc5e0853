// The real loop in its thread, with a real policy, against a robot's thread: every way into damping and fault, and out.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { UsageError } from '../../contract/errors.js';
import { LatencyHistogram } from '../../contract/histogram.js';
import {
  COUNT,
  countsOf,
  FLAG,
  loopWords,
  perPhase,
  ROW,
  reportOf,
  rowLayout,
  WORD,
} from '../../contract/loop.js';
import { COMMAND, robotLink, SENSOR } from '../../contract/robot.js';
import { TraceRing } from '../../contract/sharedMemory.js';
import { jointsOf } from '../../contract/terms.js';
import { type LoopHandle, startLoop, ticksPerStep } from '../../controller/controller.js';
import { EmergencyStop } from '../../controller/emergencyStop.js';
import { Loop } from '../../controller/loop.js';
import { takeRealtimeThread } from '../../controller/realtime.js';
import { divisionPolicyFixture, policyFixture, temporaryDirectory } from '../fixtures/policy.js';
import { startRobotThread } from '../fixtures/robotThread.js';

const directory = temporaryDirectory();
const division = divisionPolicyFixture(join(directory, 'division.onnx'));

/** Polls until the loop's report satisfies `condition`; fails after 10 s. */
async function until(handle: LoopHandle, condition: (report: ReturnType<typeof reportOf>) => boolean) {
  for (let i = 0; i < 5000; i++) {
    const report = reportOf(handle.view);
    if (condition(report)) return report;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`never came true; last: ${JSON.stringify(reportOf(handle.view))}`);
}
const inMode = (mode: string) => (report: { mode: string }) => report.mode === mode;

async function withLoop(
  policy: typeof division,
  rateHz: number,
  body: (handle: LoopHandle, robot: Awaited<ReturnType<typeof startRobotThread>>) => Promise<void>,
) {
  const handle = await startLoop({ policy, name: 'fixture', rateHz });
  const joints = jointsOf(policy.manifest).length;
  const robot = await startRobotThread(handle.robot, joints, policy.manifest.action.length);
  try {
    await body(handle, robot);
  } finally {
    await handle.stop();
    await robot.stop();
  }
}

/** In `handle`'s trace: the first row in mode damping or fault, and the row before it. */
function firstFault(handle: LoopHandle) {
  const { rows, rowLength, written } = handle.view.trace;
  for (let i = 0; i < written; i++) {
    const row = rows.subarray(i * rowLength, (i + 1) * rowLength);
    if ((row[ROW.flags] & FLAG.fault) !== 0) return { row, before: rows.subarray((i - 1) * rowLength) };
  }
  throw new Error('no fault in the trace');
}

test('from inactive over hold to the policy, emergency stop, rearm, and only then a new activation', () =>
  withLoop(division, 500, async (handle) => {
    await until(handle, inMode('hold'));
    await handle.activate();
    await until(handle, inMode('policy'));
    const commands = robotLink(1, 1, handle.robot).commands;
    assert.equal(commands.read()[COMMAND.vectors], 1);

    handle.emergencyStop();
    const stopped = await until(handle, inMode('damping'));
    assert.equal(stopped.fault, 'emergency stop');
    assert.equal(stopped.interventions['policy replaced by safe command'], 1);
    await assert.rejects(handle.activate(), /damping: emergency stop; look at the robot, then rearm/);
    const ticks = stopped.ticks + 20;
    assert.equal((await until(handle, (report) => report.ticks > ticks)).mode, 'damping');
    assert.equal(commands.read()[COMMAND.vectors], 0);

    handle.rearm();
    const armed = (await until(handle, inMode('hold'))).ticks + 20;
    assert.equal((await until(handle, (report) => report.ticks > armed)).mode, 'hold');
    await handle.activate();
    await until(handle, inMode('policy'));
    const report = await handle.stop();
    assert.equal(report.mode, 'policy');
    assert.equal(commands.read()[COMMAND.mode], 4, 'the last command asks the robot to damp');
    assert.ok(report.phases.total.max > 0 && report.phases.infer.p50 > 0);
  }));

test('stopped while the policy acts, it goes to the safe command as fast as the limits allow, and ends there', () => {
  const safety = { ...division.manifest.safety, joints: [{ joint: 'slider', commandRate: 20 }] };
  const limited = divisionPolicyFixture(join(directory, 'limited.onnx'), { safety });
  return withLoop(limited, 500, async (handle) => {
    await handle.activate();
    const { commands } = robotLink(1, 1, handle.robot);
    await until(handle, () => commands.read()[COMMAND.vectors] === 1);
    await handle.stop();
    assert.equal(commands.read()[COMMAND.vectors], 0);
  });
});

test('silent sensors fault with a safe command, and the first cause stays', () =>
  withLoop(division, 500, async (handle, robot) => {
    await handle.activate();
    await until(handle, inMode('policy'));
    robot.silence(true);
    assert.equal((await until(handle, inMode('fault'))).fault, 'sensor stale');
    handle.emergencyStop();
    handle.rearm();
    const { ticks } = reportOf(handle.view);
    const later = await until(handle, (report) => report.ticks > ticks + 20);
    assert.equal(later.mode, 'fault', 'rearming does not help while the sensors are silent');
    const { row } = firstFault(handle);
    assert.equal(row[row.length - 1], 0);
    robot.silence(false);
    await new Promise((resolve) => setTimeout(resolve, 20));
    handle.rearm();
    await until(handle, inMode('hold'));
  }));

test('a sensor clock set back faults', () =>
  withLoop(division, 500, async (handle, robot) => {
    await handle.activate();
    await until(handle, inMode('policy'));
    robot.setClockBack();
    assert.equal((await until(handle, inMode('fault'))).fault, 'sensor stamp went backward');
  }));

test('a policy that answers NaN is replaced in the same tick', () =>
  withLoop(division, 100, async (handle, robot) => {
    await handle.activate();
    await until(handle, inMode('policy'));
    robot.moveTo(0);
    assert.equal((await until(handle, inMode('damping'))).fault, 'policy output not finite');
    await handle.stop();
    const { row, before } = firstFault(handle);
    const layout = rowLayout(1, 1);
    assert.ok(Number.isNaN(row[layout.action]) && row[layout.observation] === 0);
    assert.equal(row[layout.command], 0);
    assert.equal(before[layout.command], 1);
  }));

test('π₀ runs on the grid of its own rate and its action is held between', () => {
  const policy = policyFixture(join(directory, 'held.onnx'), { safety: division.manifest.safety });
  return withLoop(policy, 500, async (handle) => {
    await handle.activate();
    await until(handle, inMode('policy'));
    const { ticks } = reportOf(handle.view);
    await until(handle, (report) => report.ticks > ticks + 100);
    await handle.stop();
    const { rows, rowLength, written } = handle.view.trace;
    const steps: number[] = [];
    let restarts = 0;
    for (let i = 0; i < written; i++) {
      const row = rows.subarray(i * rowLength);
      if ((row[ROW.flags] & FLAG.gap) !== 0) restarts = steps.length;
      if ((row[ROW.flags] & FLAG.policyStep) !== 0) steps.push(row[ROW.tick]);
    }
    const grid = steps.slice(restarts);
    assert.ok(grid.length > 5);
    for (let i = 1; i < grid.length; i++) assert.equal(grid[i] - grid[i - 1], 5);
  });
});

test('missed periods are skipped, counted and flagged, never made up', () => {
  const rateHz = 200;
  const period = 1e9 / rateHz;
  const { clock } = takeRealtimeThread([]);
  const { manifest } = division;
  const link = robotLink(1, 1);
  const words = loopWords(1);
  const layout = rowLayout(1, 1);
  const trace = new TraceRing(layout.length, 64);
  const blockedAt = new Map([
    [5, 3.4],
    [6, 1.2],
    [20, 7.5],
  ]);
  const block = (periods: number) => {
    const end = performance.now() + (periods * period) / 1e6;
    while (performance.now() < end);
  };
  let run = 0;
  const loop = new Loop({
    manifest: { ...manifest, safety: { ...manifest.safety, sensorTimeout: 10 } },
    rateHz,
    policyEvery: 1,
    policy: {
      observation: new Float32Array(1),
      action: new Float32Array(1),
      run: () => block(blockedAt.get(run++) ?? 0),
    },
    clock,
    link,
    words,
    stop: new EmergencyStop(),
    histograms: perPhase(() => new LatencyHistogram()),
    trace,
  });
  link.sensors.writable[SENSOR.stamp] = Number(process.hrtime.bigint()) / 1e9;
  link.sensors.publish();
  loop.start();
  for (let i = 0; i < 40; i++) {
    words[WORD.activate] = 1;
    // Besides a long tick, a wake-up that comes late.
    if (i === 30) block(4.3);
    loop.tick();
  }

  let missed = 0;
  for (let i = 0; i < 40; i++) {
    const row = trace.rows.subarray(i * layout.length, (i + 1) * layout.length);
    assert.ok(row[ROW.wake] >= 0, 'no tick starts before its deadline');
    missed += row[ROW.missed];
    assert.equal(row[ROW.tick], i + missed, 'a tick is the number of its period');
    assert.equal((row[ROW.flags] & FLAG.gap) !== 0, row[ROW.missed] > 0);
    if (i === 0) continue;
    const before = trace.rows[(i - 1) * layout.length + ROW.scheduled];
    const periods = ((row[ROW.scheduled] - before) * 1e9) / period;
    assert.ok(Math.abs(periods - 1 - row[ROW.missed]) < 1e-3, 'deadlines stay on their grid');
  }
  const counts = countsOf(words);
  assert.equal(counts[COUNT.missed], missed);
  assert.ok(missed >= 3 + 1 + 7 + 3 && counts[COUNT.longestMiss] >= 7);
});

test('a rate that the policy does not fit is refused with the nearest that do', () => {
  assert.equal(ticksPerStep(500, 25), 20);
  assert.equal(ticksPerStep(500, 166.6667), 3);
  assert.throws(
    () => ticksPerStep(510, 100),
    (error: Error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /--rate 510: .* 100 Hz; .* 500 and 600$/);
      return true;
    },
  );
  assert.throws(() => ticksPerStep(20, 100), /nearest that fit: 100$/);
});
