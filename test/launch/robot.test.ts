// The simulated robot's thread: it holds, follows, damps, falls and starts again.
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MODES, type Mode } from '../../contract/loop.js';
import { COMMAND, robotLink, SENSOR } from '../../contract/robot.js';
import { startSimulatedRobot } from '../../launch/robot/thread.js';

const JOINTS = 2;
const POSITION = SENSOR.vectors;

function clock(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds + nanoseconds * 1e-9;
}

async function start(t: TestContext, seed: number) {
  const { sensors, commands } = robotLink(JOINTS, 1);
  const buffers = { sensors: sensors.buffer as SharedArrayBuffer, commands: commands.buffer };
  const robot = await startSimulatedRobot({ task: 'inverted-pendulum', seed, buffers });
  t.after(() => robot.stop());
  return {
    sense: () => sensors.read().slice(),
    command(mode: Mode, effort: number, age = 0) {
      const out = commands.writable;
      out[COMMAND.stamp] = clock() - age;
      out[COMMAND.mode] = MODES.indexOf(mode);
      out[COMMAND.vectors] = effort;
      commands.publish();
    },
  };
}

/** Repeats `work` every few milliseconds until it returns true; fails after ten seconds. */
async function until(what: string, work: () => boolean): Promise<void> {
  for (let i = 0; i < 5000; i++) {
    if (work()) return;
    await sleep(2);
  }
  assert.fail(`never: ${what}`);
}

test('the robot holds its start state, follows the policy, falls, and holds a new start state', async (t) => {
  const robot = await start(t, 1);
  const first = robot.sense();
  assert.ok(Math.abs(first[SENSOR.stamp] - clock()) < 10, 'the stamp is of CLOCK_MONOTONIC');
  await until('fresh sensors while holding', () => {
    robot.command('hold', 3);
    return robot.sense()[SENSOR.stamp] > first[SENSOR.stamp] + 0.1;
  });
  assert.deepEqual(robot.sense().slice(POSITION), first.slice(POSITION), 'it moved while holding');

  await until('a termination', () => {
    robot.command('policy', 3);
    return robot.sense()[SENSOR.terminal] === 1;
  });
  const fallen = robot.sense();
  assert.ok(fallen[POSITION] > first[POSITION], 'the cart went where it was pushed');
  assert.ok(Math.abs(fallen[POSITION + 1]) > 0.2);
  assert.equal(fallen[SENSOR.resets], 0);

  await until('a new start', () => robot.sense()[SENSOR.resets] === 1);
  const again = robot.sense();
  assert.equal(again[SENSOR.terminal], 0);
  assert.ok(again.slice(POSITION).every((value) => Math.abs(value) <= 0.01));
  assert.notDeepEqual(again.slice(POSITION), first.slice(POSITION), 'the start state is a new one');
  await until('fresh sensors', () => robot.sense()[SENSOR.stamp] > again[SENSOR.stamp] + 0.1);
  assert.deepEqual(robot.sense().slice(POSITION), again.slice(POSITION), 'it moved without a command');
});

describe('passive', { concurrency: true }, () => {
  for (const [name, mode, age] of [
    ['in damping', 'damping', 0],
    ['in fault', 'fault', 0],
    ['when commands are stale', 'policy', 0.2],
  ] as const) {
    test(`the robot ignores what is commanded ${name}`, async (t) => {
      const robot = await start(t, 2);
      // A stale command must still be newer than the start of the hold.
      const begin = clock();
      await until('time to be stale in', () => clock() > begin + 0.3);
      const held = robot.sense();
      await until('the end of the hold', () => {
        robot.command('policy', 0, age);
        return robot.sense()[POSITION] !== held[POSITION];
      });
      let farthest = 0;
      await until('a fall by gravity alone and a new start', () => {
        robot.command(mode, 3, age);
        const sensed = robot.sense();
        farthest = Math.max(farthest, Math.abs(sensed[POSITION] - held[POSITION]));
        return sensed[SENSOR.resets] === 1;
      });
      assert.ok(farthest < 0.4, `the cart was pushed ${farthest} m`);
    });
  }
});

test('a robot for an unknown task is refused', async () => {
  const { sensors, commands } = robotLink(JOINTS, 1);
  const buffers = { sensors: sensors.buffer as SharedArrayBuffer, commands: commands.buffer };
  await assert.rejects(startSimulatedRobot({ task: 'nope', seed: 1, buffers }), /unknown task 'nope'/);
});
