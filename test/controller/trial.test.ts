// A trial that the emergency stop ends, one that is called off, and the next that goes well.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { reportOf } from '../../contract/loop.js';
import { COMMAND, robotLink } from '../../contract/robot.js';
import { type LoopHandle, startLoop } from '../../controller/controller.js';
import { requestedSlot, SLOT } from '../../controller/policySlots.js';
import { type TrialOptions, tryPolicy } from '../../controller/trial.js';
import { divisionPolicyFixture, linearPolicyFixture, temporaryDirectory } from '../fixtures/policy.js';
import { startRobotThread } from '../fixtures/robotThread.js';

const directory = temporaryDirectory();
const { manifest } = divisionPolicyFixture(join(directory, 'division.onnx'));
const constant = (value: number) =>
  linearPolicyFixture(join(directory, 'constant.onnx'), manifest, [[0]], [value]);
const first = constant(0.25);

async function until(met: () => boolean) {
  for (let i = 0; i < 5000 && !met(); i++) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.ok(met());
}

async function activate(loop: LoopHandle) {
  loop.rearm();
  await until(() => reportOf(loop.view).mode === 'hold');
  await loop.activate();
}

test('a stop during a trial wins, and whatever ends one, the policy before acts', async () => {
  const loop = await startLoop({ policy: first, name: 'first', rateHz: 500 });
  const robot = await startRobotThread(loop.robot, 1, 1);
  const { commands } = robotLink(1, 1, loop.robot);
  const command = () => commands.read()[COMMAND.vectors];
  const asked = () => requestedSlot(Atomics.load(loop.slots.words, SLOT.request));
  const trial = (value: number, options: Partial<TrialOptions> = {}) =>
    tryPolicy({
      loop,
      policy: constant(value),
      name: String(value),
      ...{ shadow: 0, blend: 0.1, health: 60, on: () => {}, signal: new AbortController().signal },
      ...options,
    });
  try {
    await loop.activate();
    const stopped = await trial(1, { on: ({ kind }) => kind === 'acting' && loop.emergencyStop() });
    assert.ok(stopped.kind === 'rolled back');
    assert.equal(stopped.reason, 'fault: emergency stop');
    assert.equal(command(), 0);

    // The loop has not run a policy since: what is tried next still falls back to the first.
    const calledOff = new AbortController();
    const waits = trial(0.5, { signal: calledOff.signal });
    setTimeout(() => calledOff.abort(new Error('called off')), 300);
    await assert.rejects(waits, /called off/);
    assert.equal(asked(), 0);
    await activate(loop);
    await until(() => command() === 0.25);

    const acting = new AbortController();
    const ended = trial(0.5, {
      signal: acting.signal,
      on: ({ kind }) => kind === 'acting' && acting.abort(new Error('the controller stops')),
    });
    await assert.rejects(ended, /the controller stops/);
    await until(() => command() === 0.25);

    assert.equal((await trial(0.5, { health: 0.5 })).kind, 'accepted');
    assert.equal(command(), 0.5);
    assert.equal((await trial(0.75, { health: 0.5 })).kind, 'accepted');
    assert.deepEqual([asked(), command()], [2, 0.75]);
  } finally {
    await loop.stop();
    await robot.stop();
  }
});
