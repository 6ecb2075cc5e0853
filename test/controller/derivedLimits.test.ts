// What the limits derived for a balancing pendulum catch in the loop, and that they leave it alone when all is well.
import assert from 'node:assert/strict';
import { before, type TestContext, test } from 'node:test';
import { WORD } from '../../contract/loop.js';
import type { Manifest } from '../../contract/manifest.js';
import { SENSOR } from '../../contract/robot.js';
import { RobotBody } from '../../launch/robot/body.js';
import { type Episode, evaluate } from '../../trainer/mpdp/evaluate.js';
import { Replay } from '../../trainer/mpdp/replay.js';
import { Random } from '../../trainer/random.js';
import { deriveSafety } from '../../trainer/run/safetyLimits.js';
import { loadTask, type Task, taskInterface } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';
import { steppedLoop } from '../fixtures/steppedLoop.js';

/** N per unit of the actuator, of slider and hinge, positions and then velocities: balances in steps of 40 ms. */
const GAINS = [0.6, 6, 0.9, 1];
const RATE = 500;

let task: Task;
let safety: Manifest['safety'];
let observationStatistics: Manifest['observationStatistics'];

const balance = (observation: Float32Array) =>
  Math.max(
    -3,
    Math.min(
      3,
      observation.reduce((sum, value, i) => sum + GAINS[i] * value, 0),
    ),
  );

/** A policy's life as training has it: exploration that falls and ends, and evaluations that do not. */
before(async () => {
  task = await loadTask('inverted-pendulum');
  const world = await World.create(task);
  const random = new Random(1);
  const replay = new Replay(4, 1, 2000);
  let observation = world.reset(random);
  for (let step = 0; step < 1500; step++) {
    const noise = step < 500 ? random.uniform(-3, 3) : 0.5 * random.normal();
    const action = step < 500 ? noise : balance(observation) + noise;
    const { observation: next, reward, terminated } = world.step([action]);
    replay.add({ observation, action: Float32Array.of(action / 3), reward, next, terminal: terminated });
    observation = terminated ? world.reset(random) : next;
  }
  const evaluated: Episode[] = [];
  const act = (seen: Float32Array) => Float32Array.of(balance(seen));
  const { mean } = await evaluate(world, act, 3, 100, {
    onEpisode: (_, episode) => evaluated.push(episode),
  });
  world.dispose();
  assert.equal(mean, 1000);
  observationStatistics = replay.observationStatistics();
  ({ safety } = deriveSafety(task, { replay, evaluated, statistics: observationStatistics }));
});

/** The loop and a robot of 2 ms steps; `spoil` changes each of the sensors' messages. */
async function balancing(t: TestContext, seed = 1) {
  const loop = steppedLoop(
    { ...taskInterface(task), safety, observationStatistics },
    RATE,
    (action, observation) => action.fill(balance(observation)),
  );
  const body = await RobotBody.create(task, 1 / RATE, seed, loop.now() / 1e9);
  t.after(() => body.dispose());
  const message = new Float64Array(SENSOR.vectors + 4);
  return {
    ...loop,
    /** Runs for so many seconds, or until a fault; the seconds that it ran. */
    run(seconds: number, spoil: (message: Float64Array, tick: number) => void = () => {}): number {
      for (let tick = 0; tick < seconds * RATE; tick++) {
        const now = loop.now() / 1e9;
        body.step(now, {
          stamp: now,
          values: Float64Array.from(loop.command()),
          releases: true,
          damp: false,
        });
        body.sense(now, message);
        const sent = message.slice();
        spoil(sent, tick);
        loop.link.sensors.writable.set(sent);
        loop.link.sensors.publish();
        if (loop.mode() === 'hold') loop.words[WORD.activate] = 1;
        loop.loop.tick();
        if (loop.fault() !== 'none') return tick / RATE;
      }
      return seconds;
    },
    state: () => `${loop.mode()}: ${loop.fault()}`,
  };
}
const [SLIDER, HINGE] = [SENSOR.vectors, SENSOR.vectors + 1];

test('a minute of balancing is no fault', async (t) => {
  for (const seed of [1, 2, 3]) {
    const robot = await balancing(t, seed);
    assert.equal(robot.run(60), 60, robot.state());
    assert.equal(robot.mode(), 'policy');
  }
});

test('a joint that teleports', async (t) => {
  for (const [joint, far] of [
    [SLIDER, 0.05],
    [HINGE, 0.1],
  ]) {
    const robot = await balancing(t);
    robot.run(1);
    const seconds = robot.run(1, (message) => {
      message[joint] += far;
    });
    assert.equal(robot.state(), 'fault: sensor jump');
    assert.equal(seconds, 0);
  }
});

test('sensors that freeze while their stamps go on', async (t) => {
  const robot = await balancing(t);
  robot.run(2);
  let frozen: Float64Array | undefined;
  const seconds = robot.run(20, (message) => {
    frozen ??= message.slice();
    message.set(frozen.subarray(SENSOR.vectors), SENSOR.vectors);
  });
  assert.equal(robot.state(), 'fault: sensor stuck');
  const timeouts = safety.joints.map(({ stuckTimeout = Infinity }) => stuckTimeout);
  assert.ok(Math.min(...timeouts) < 5, `${timeouts} s`);
  assert.ok(seconds < Math.min(...timeouts) + 0.01, `${seconds} s`);
});

test('two publishers that take turns', async (t) => {
  const robot = await balancing(t);
  robot.run(1);
  const seconds = robot.run(1, (message, tick) => {
    // The other one's robot stands still elsewhere.
    if (tick % 2 === 1) message.set([0.2, -0.05, 0, 0], SENSOR.vectors);
  });
  assert.equal(robot.state(), 'fault: sensor jump');
  assert.ok(seconds <= 0.01, `${seconds} s`);
});

test('a pole at 3 rad, from the beginning or on the way', async (t) => {
  const lying = await balancing(t);
  lying.run(1, (message) => {
    message[HINGE] = 3;
  });
  assert.equal(lying.state(), 'damping: position limit');
  const falling = await balancing(t);
  falling.run(1);
  const seconds = falling.run(1, (message, tick) => {
    message[HINGE] += 5 * (tick / RATE);
  });
  assert.match(falling.state(), /^damping: (out of distribution|position limit)$/);
  assert.ok(seconds < 0.6, `${seconds} s`);
});
