// The simulated robot's thread: commands in, one physics step, sensors out, paced on absolute deadlines.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { MODES } from '../../contract/loop.js';
import { COMMAND, robotLink } from '../../contract/robot.js';
import { loadTask } from '../../trainer/sim/task.js';
import { LONGEST_STEP, RobotBody, type RobotCommand } from './body.js';
import type { Faults } from './faults.js';
import { pace, takeRobotThread } from './pace.js';
import type { RobotThreadData } from './thread.js';

const POLICY = MODES.indexOf('policy');
const DAMPING = MODES.indexOf('damping');
const FAULT = MODES.indexOf('fault');

const { task: source, seed, buffers, stop } = workerData as RobotThreadData;
const task = await loadTask(source);
// A rounding error in the quotient must not cost a step.
const stepsPerTimestep = Math.ceil(task.timestep / LONGEST_STEP - 1e-9);
const present = () => Number(process.hrtime.bigint()) / 1e9;
/** Of the present step, seconds of CLOCK_MONOTONIC. */
let now = present();
const body = await RobotBody.create(task, task.timestep / stepsPerTimestep, seed, now);
const { sensors, commands } = robotLink(body.joints.length, task.action.length, buffers);
const command: RobotCommand = {
  stamp: Number.NEGATIVE_INFINITY,
  values: new Float64Array(task.action.length),
  releases: false,
  damp: false,
};

takeFaults();
const thread = takeRobotThread();
// To make the robot took time, and who hears that it is ready must not find it stale.
now = present();
publish();
parentPort?.postMessage('ready');

pace(thread.clock, body.timestep, new Int32Array(stop), (ns) => {
  now = ns / 1e9;
  takeFaults();
  readCommand();
  body.step(now, command);
  publish();
});
body.dispose();

/** The thread's event loop never turns, so that its messages are fetched. */
function takeFaults(): void {
  for (;;) {
    const received = parentPort && receiveMessageOnPort(parentPort);
    if (!received) return;
    body.setFaults(received.message as Faults);
  }
}

function readCommand(): void {
  const newest = commands.read();
  const mode = newest[COMMAND.mode];
  command.stamp = newest[COMMAND.stamp];
  for (let i = 0; i < command.values.length; i++) command.values[i] = newest[COMMAND.vectors + i];
  command.releases = mode === POLICY;
  command.damp = mode === DAMPING || mode === FAULT;
}

function publish(): void {
  if (body.sense(now, sensors.writable)) sensors.publish();
}
