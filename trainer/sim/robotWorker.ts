// The simulated robot's thread: commands in, one physics step, sensors out, paced on absolute deadlines.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { MODES } from '../../contract/loop.js';
import { COMMAND, robotLink } from '../../contract/robot.js';
import type { RobotThreadData } from './robot.js';
import { LONGEST_STEP, RobotBody, type RobotCommand } from './robotBody.js';
import type { Faults } from './robotFaults.js';
import { loadTask } from './task.js';

/** Simulated time behind the clock that is made up, seconds; more is dropped. */
const LARGEST_BACKLOG = 0.05;
const POLICY = MODES.indexOf('policy');
const DAMPING = MODES.indexOf('damping');
const FAULT = MODES.indexOf('fault');

const { task: source, seed, buffers, stop } = workerData as RobotThreadData;
const task = await loadTask(source);
// A rounding error in the quotient must not cost a step.
const stepsPerTimestep = Math.ceil(task.timestep / LONGEST_STEP - 1e-9);
const body = await RobotBody.create(task, task.timestep / stepsPerTimestep, seed, clock());
const { sensors, commands } = robotLink(body.joints.length, task.action.length, buffers);
const stopWord = new Int32Array(stop);
const command: RobotCommand = {
  stamp: Number.NEGATIVE_INFINITY,
  values: new Float64Array(task.action.length),
  releases: false,
  damp: false,
};

takeFaults();
publish();
parentPort?.postMessage('ready');

let deadline = clock();
while (Atomics.load(stopWord, 0) === 0) {
  deadline += body.timestep;
  const now = clock();
  if (now < deadline) Atomics.wait(stopWord, 0, 0, (deadline - now) * 1000);
  else if (now - deadline > LARGEST_BACKLOG) deadline = now - LARGEST_BACKLOG;
  takeFaults();
  readCommand();
  body.step(clock(), command);
  publish();
}
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
  if (body.sense(clock(), sensors.writable)) sensors.publish();
}

/** CLOCK_MONOTONIC, seconds. */
function clock(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds + nanoseconds * 1e-9;
}
