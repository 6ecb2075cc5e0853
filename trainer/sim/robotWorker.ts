// The simulated robot's thread: commands in, one physics step, sensors out, paced on absolute deadlines.
import { parentPort, workerData } from 'node:worker_threads';
import { MODES } from '../../contract/loop.js';
import { COMMAND, robotLink, SENSOR } from '../../contract/robot.js';
import { Random } from '../random.js';
import { Physics } from './physics.js';
import type { RobotThreadData } from './robot.js';
import { loadTask } from './task.js';

/** Longest physics step, seconds. */
const LONGEST_STEP = 0.002;
/** Simulated time behind the clock that is made up, seconds; more is dropped. */
const LARGEST_BACKLOG = 0.05;
/** Commands older than this are not followed, seconds. */
const COMMAND_TIMEOUT = 0.1;
/** Time between a termination and the new start state, seconds. */
const RESET_DELAY = 0.5;
const POLICY = MODES.indexOf('policy');
const DAMPING = MODES.indexOf('damping');
const FAULT = MODES.indexOf('fault');

const { task: source, seed, buffers, stop } = workerData as RobotThreadData;
const task = await loadTask(source);
// A rounding error in the quotient must not cost a step.
const stepsPerTimestep = Math.ceil(task.timestep / LONGEST_STEP - 1e-9);
const physics = await Physics.create(task, task.timestep / stepsPerTimestep);
const joints = physics.joints.length;
const { sensors, commands } = robotLink(joints, task.action.length, buffers);
const stopWord = new Int32Array(stop);
const random = new Random(seed);
const observation = new Float32Array(task.observation.length);
const values = new Float64Array(task.action.length);
const drivenJoints = task.action.map((term) => physics.joints.indexOf(term.joint));

let resets = 0;
/** When the robot began to hold its start state; NaN while it moves. */
let heldSince = clock();
/** When the termination first held; NaN before. */
let terminatedAt = Number.NaN;

physics.reset(random);
publish();
parentPort?.postMessage('ready');

let deadline = clock();
while (Atomics.load(stopWord, 0) === 0) {
  deadline += physics.timestep;
  const now = clock();
  if (now < deadline) Atomics.wait(stopWord, 0, 0, (deadline - now) * 1000);
  else if (now - deadline > LARGEST_BACKLOG) deadline = now - LARGEST_BACKLOG;
  step(clock());
  publish();
}
physics.dispose();

function step(now: number): void {
  const command = commands.read();
  if (!Number.isNaN(heldSince)) {
    if (command[COMMAND.mode] !== POLICY || command[COMMAND.stamp] <= heldSince) return;
    heldSince = Number.NaN;
  }
  if (now - terminatedAt >= RESET_DELAY) {
    physics.reset(random);
    resets++;
    heldSince = now;
    terminatedAt = Number.NaN;
    return;
  }
  follow(command, now);
  physics.advance(1);
  physics.observe(observation);
  if (Number.isNaN(terminatedAt) && task.terminated(observation)) terminatedAt = now;
}

/** Follows a command in force; otherwise lets the joints come to rest by their own damping. */
function follow(command: Float64Array, now: number): void {
  const mode = command[COMMAND.mode];
  const inForce = mode !== DAMPING && mode !== FAULT && now - command[COMMAND.stamp] <= COMMAND_TIMEOUT;
  const sensed = sensors.writable;
  if (!inForce) physics.measure(sensed, sensed, SENSOR.vectors, SENSOR.vectors + joints);
  for (let i = 0; i < values.length; i++) {
    if (inForce) values[i] = command[COMMAND.vectors + i];
    // A position actuator pulls nowhere when told to be where it is.
    else if (task.action[i].kind === 'position') values[i] = sensed[SENSOR.vectors + drivenJoints[i]];
    else values[i] = 0;
  }
  physics.actuate(values);
}

function publish(): void {
  const out = sensors.writable;
  out[SENSOR.stamp] = clock();
  out[SENSOR.resets] = resets;
  out[SENSOR.terminal] = Number.isNaN(terminatedAt) ? 0 : 1;
  physics.measure(out, out, SENSOR.vectors, SENSOR.vectors + joints);
  sensors.publish();
}

/** CLOCK_MONOTONIC, seconds. */
function clock(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds + nanoseconds * 1e-9;
}
