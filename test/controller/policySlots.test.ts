// Policies changed under the running loop: the way over, the way back, and one whose answer is not finite.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { FLAG, ROW, reportOf, rowLayout } from '../../contract/loop.js';
import { startLoop } from '../../controller/controller.js';
import { fillSlot, SLOT, slotRequest } from '../../controller/policySlots.js';
import { divisionPolicyFixture, linearPolicyFixture, temporaryDirectory } from '../fixtures/policy.js';
import { startRobotThread } from '../fixtures/robotThread.js';

const directory = temporaryDirectory();
const division = divisionPolicyFixture(join(directory, 'division.onnx'));
const { manifest } = division;
/** Its action is the position, 0.5 of the robot that stands still. */
const echo = linearPolicyFixture(join(directory, 'echo.onnx'), manifest, [[1]]);
const one = linearPolicyFixture(join(directory, 'one.onnx'), manifest, [[0]], [1]);
const layout = rowLayout(1, 1);

test('a loop goes over to another policy in equal steps, back at once, and by itself from one that fails', async () => {
  const loop = await startLoop({ policy: echo, name: 'echo', rateHz: 500 });
  const robot = await startRobotThread(loop.robot, 1, 1);
  const { words } = loop.slots;
  const reader = loop.view.trace.reader();
  const row = new Float64Array(layout.length);
  /** Actions of the policy's steps from now until one is `last`. */
  const actionsUntil = async (last: number) => {
    const actions: number[] = [];
    for (let i = 0; i < 5000; i++, await new Promise((resolve) => setTimeout(resolve, 2))) {
      while (reader.read(row)) {
        assert.ok(Number.isFinite(row[layout.command]) && row[ROW.fault] === 0);
        if ((row[ROW.flags] & FLAG.policyStep) === 0) continue;
        actions.push(row[layout.action]);
        if (row[layout.action] === last) return actions;
      }
    }
    throw new Error(`never ${last}: ${actions.slice(-5)}`);
  };
  const ask = (request: Parameters<typeof slotRequest>[0]) =>
    Atomics.store(words, SLOT.request, slotRequest(request));
  try {
    await loop.activate();
    await actionsUntil(0.5);
    fillSlot(loop.slots, 1, one);
    ask({ slot: 1, blend: 5, fallback: 0 });
    const over = (await actionsUntil(1)).filter((action) => action !== 0.5);
    assert.deepEqual(
      over.map((action) => Math.fround(action)),
      [0.6, 0.7, 0.8, 0.9, 1].map(Math.fround),
    );
    assert.equal(Atomics.load(words, SLOT.active), 1);
    ask({ slot: 0, blend: 0 });
    assert.ok((await actionsUntil(0.5)).every((action) => action === 1 || action === 0.5));

    fillSlot(loop.slots, 2, division);
    ask({ slot: 2, blend: 0, fallback: 0 });
    await actionsUntil(1);
    // 0 / 0: the step that is not finite is answered by the other policy, and every one after it.
    robot.moveTo(0);
    await actionsUntil(0);
    robot.moveTo(0.25);
    await actionsUntil(0.25);
    assert.deepEqual([...words], [slotRequest({ slot: 0, blend: 0 }), 0, 0, 1, 0, 1, 2]);

    // Without one to fall back to, it is the fault that it always was.
    robot.moveTo(0.5);
    await actionsUntil(0.5);
    ask({ slot: 2, blend: 0 });
    await actionsUntil(1);
    robot.moveTo(0);
    for (let i = 0; i < 5000 && reportOf(loop.view).fault === 'none'; i++)
      await new Promise((resolve) => setTimeout(resolve, 2));
    assert.equal(reportOf(loop.view).fault, 'policy output not finite');
  } finally {
    await loop.stop();
    await robot.stop();
  }
});
