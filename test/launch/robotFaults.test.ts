// The faults of the simulated robot: each does what it says, the same for the same seed, and ends when it is healed.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MODES } from '../../contract/loop.js';
import { COMMAND, robotLink, SENSOR } from '../../contract/robot.js';
import { RobotBody } from '../../launch/robot/body.js';
import { changeFaults, describeFaults, HEALTHY } from '../../launch/robot/faults.js';
import { startSimulatedRobot } from '../../launch/robot/thread.js';
import { loadTask } from '../../trainer/sim/task.js';

const STEP = 0.001;
const task = await loadTask('inverted-pendulum');
const joints = ['slider', 'hinge'];
const [slider, hinge, sliderVelocity] = [SENSOR.vectors, SENSOR.vectors + 1, SENSOR.vectors + 2];

/** A robot in a time of its own, one millisecond a step, with `settings` as its faults. */
async function start(t: TestContext, settings: string[], seed = 3) {
  const body = await RobotBody.create(task, STEP, seed, 0);
  t.after(() => body.dispose());
  let faults = changeFaults(HEALTHY, settings, body.joints);
  body.setFaults(faults);
  const message = new Float64Array(SENSOR.vectors + 4);
  const values = new Float64Array(1);
  let now = 0;
  return {
    suffer(...changes: string[]) {
      faults = changeFaults(faults, changes, body.joints);
      body.setFaults(faults);
    },
    /** Pushes the cart for `steps` steps and returns the sensors' messages. */
    run(steps: number, effort = 0.3): Float64Array[] {
      values[0] = effort;
      const messages: Float64Array[] = [];
      for (let i = 0; i < steps; i++) {
        now += STEP;
        body.step(now, { stamp: now, values, releases: true, damp: false });
        if (body.sense(now, message)) messages.push(message.slice());
      }
      return messages;
    },
  };
}

const near = (actual: number, wanted: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${actual} is not ${wanted}`);

test('sensor faults change the messages and nothing else', async (t) => {
  const truth = (await start(t, [])).run(40);
  assert.equal(truth.length, 40);
  assert.ok(truth[39][slider] - truth[0][slider] > 1e-4, 'it moves');

  const late = (await start(t, ['delay=0.01'])).run(40);
  assert.deepEqual(late, truth.slice(0, 30), 'old values with their old stamps');

  const [one, same, other] = await Promise.all(
    [3, 3, 4].map(async (seed) => (await start(t, ['loss=0.5'], seed)).run(40).map(([stamp]) => stamp)),
  );
  assert.deepEqual(one, same);
  assert.notDeepEqual(one, other);
  assert.ok(one.length > 8 && one.length < 32, `${one.length} of 40 came through`);

  const noise = await start(t, ['positionNoise=0.1', 'velocityNoise=2']);
  const noisy = noise.run(40);
  const deviation = (index: number) =>
    Math.sqrt(noisy.reduce((sum, message, i) => sum + (message[index] - truth[i][index]) ** 2, 0) / 40);
  near(deviation(hinge), 0.1, 0.05);
  near(deviation(sliderVelocity), 2, 1);
  noise.suffer('none');
  const healed = await start(t, []);
  assert.deepEqual(noise.run(5), healed.run(45).slice(40), 'the robot itself went the same way');

  const nan = (await start(t, ['nan=hinge'])).run(1)[0];
  assert.ok(Number.isNaN(nan[hinge]) && Number.isNaN(nan[hinge + 2]) && Number.isFinite(nan[slider]));
});

test('faults begin and end while the robot runs', async (t) => {
  const healthy = await start(t, []);
  const truth = healthy.run(70);
  const robot = await start(t, []);
  robot.run(10);

  robot.suffer('stuck=slider');
  const stuck = robot.run(10);
  for (const [i, message] of stuck.entries()) {
    assert.deepEqual(
      [message[slider], message[sliderVelocity]],
      [truth[9][slider], truth[9][sliderVelocity]],
    );
    assert.deepEqual(
      [message[SENSOR.stamp], message[hinge]],
      [truth[10 + i][SENSOR.stamp], truth[10 + i][hinge]],
    );
  }
  robot.suffer('stuck=none', 'jump=0.5');
  near(robot.run(10)[9][hinge], truth[29][hinge] + 0.5);
  robot.suffer('jump=0', 'freeze=true');
  assert.deepEqual(robot.run(10), []);
  robot.suffer('freeze=false', 'backward=0.2');
  const backward = robot.run(10);
  near(backward[0][SENSOR.stamp], truth[40][SENSOR.stamp] - 0.2);
  assert.equal(backward[0][slider], truth[40][slider]);
  robot.suffer('none');
  assert.deepEqual(robot.run(10), truth.slice(50, 60));

  // A longer delay lets nothing come twice, a shorter one drops what is overtaken.
  robot.suffer('delay=0.005');
  const slowed = robot.run(10).map(([stamp]) => stamp);
  assert.deepEqual(
    slowed,
    truth.slice(60, 65).map(([stamp]) => stamp),
  );
});

test('faults of the body: weaker and later actuators, other masses, friction', async (t) => {
  const speed = async (settings: string[], effort = 1) =>
    (await start(t, settings)).run(40, effort)[39][sliderVelocity];
  const [none, full] = [await speed([], 0), await speed([])];
  const push = full - none;
  assert.ok(push > 0.1);
  near((await speed(['gain=0.5'])) - none, push / 2, push / 50);
  near(await speed(['gain=0']), none);
  near((await speed(['mass=2'])) - none, push / 2, push / 50);
  near(await speed(['mass=2', 'gain=2']), full, push / 50);
  assert.ok(Math.abs(await speed(['jointFriction=150'])) < push / 20, 'dry friction holds the cart');
  near((await speed(['actuatorDelay=0.02'])) - none, push / 2, push / 20);

  const robot = await start(t, ['mass=4', 'gain=0.1', 'jointFriction=3', 'contactFriction=2']);
  robot.suffer('none');
  assert.equal(robot.run(40, 1)[39][sliderVelocity], full, 'healed in full');
});

test('a running robot takes faults', async (t) => {
  const { sensors, commands } = robotLink(2, 1);
  const robot = await startSimulatedRobot({
    task: 'inverted-pendulum',
    seed: 1,
    buffers: { sensors: sensors.buffer, commands: commands.buffer },
  });
  t.after(() => robot.stop());
  const until = async (what: string, holds: (message: Float64Array) => boolean) => {
    for (let i = 0; i < 2000; i++) {
      const out = commands.writable;
      out[COMMAND.stamp] = Number(process.hrtime.bigint()) / 1e9;
      out[COMMAND.mode] = MODES.indexOf('hold');
      commands.publish();
      if (holds(sensors.read())) return;
      await sleep(5);
    }
    assert.fail(`never: ${what}`);
  };
  robot.setFaults(changeFaults(HEALTHY, ['jump=7'], joints));
  await until('a jump', (message) => message[hinge] > 6.9);
  robot.setFaults(HEALTHY);
  await until('health', (message) => message[hinge] < 0.1);
});

test('settings that mean nothing are refused, each with what it wants', () => {
  for (const [setting, wanted] of [
    ['dely=1', /^fault 'dely': no such fault; the faults are delay, loss/],
    ['delay', /^fault 'delay': wants key=value, or none/],
    ['delay=soon', /^fault delay: must be a number$/],
    ['delay=', /^fault delay: must be a number$/],
    ['delay=2', /^fault delay: must be at most 1$/],
    ['loss=NaN', /^fault loss: .*number/],
    ['jump=Infinity', /^fault jump: must be a finite number$/],
    ['freeze=1', /^fault freeze: must be true or false$/],
    ['stuck=knee', /^fault stuck: there is no joint 'knee'; choose slider, hinge, all or none$/],
    ['toString=1', /^fault 'toString': no such fault/],
  ] as const) {
    assert.throws(() => changeFaults(HEALTHY, [setting], joints), { message: wanted }, setting);
  }
  const faults = changeFaults(HEALTHY, ['loss=0.5', 'none', 'delay=0.01', 'stuck=hinge'], joints);
  assert.equal(describeFaults(faults), 'delay=0.01 stuck=hinge');
  assert.equal(describeFaults(HEALTHY), 'none');
});
