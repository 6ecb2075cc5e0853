// The simulated robot's thread as a ROS 2 node: real-time physics between the commands that it hears and what it publishes.
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, UsageError } from '../contract/errors.js';
import { SENSOR } from '../contract/robot.js';
import { type Clock, takeRealtimeThread } from '../controller/realtime.js';
import { OFFSET, RosClock } from '../controller/ros/rosClock.js';
import { COMMAND_TIMEOUT, LONGEST_STEP, RobotBody, type RobotCommand } from '../trainer/sim/robotBody.js';
import { changeFaults, describeFaults, HEALTHY } from '../trainer/sim/robotFaults.js';
import { loadTask, type Task } from '../trainer/sim/task.js';
import type { RobotNodeAnswer, RobotNodeData } from './robotNode.js';
import { RobotTopics } from './robotTopics.js';

/** Simulated time behind the clock that is made up, seconds; more is dropped. */
const LARGEST_BACKLOG = 0.05;
/** Under SCHED_FIFO: below the controller's loop and the middleware's threads beside it. */
const PRIORITY = 70;
/** After a reset, commands that were on their way before it are not followed, seconds. */
const SETTLING = 0.02;
/** A position command further than this from the measured position means to move, rad or m. */
const STANDING = 1e-3;
/** Seconds between two looks at the system's time, which may be set while the robot runs. */
const OFFSET_EVERY = 1;

const data = workerData as RobotNodeData;
const answer = (message: RobotNodeAnswer) => parentPort?.postMessage(message);
const say = (line: string) => answer({ kind: 'said', line });

/** The robot, its node, and what passes between them. */
class RobotNode {
  readonly #task: Task;
  readonly #body: RobotBody;
  readonly #topics: RobotTopics;
  readonly #command: RobotCommand;
  readonly #values: Float64Array;
  readonly #sensors: Float64Array;
  /** Index of each action's joint among the sensors' positions. */
  readonly #driven: number[];
  #faults;
  #following = false;

  constructor(task: Task, body: RobotBody) {
    this.#task = task;
    this.#body = body;
    this.#values = new Float64Array(task.action.length);
    this.#command = { stamp: Number.NEGATIVE_INFINITY, values: this.#values, releases: false, damp: false };
    this.#sensors = new Float64Array(SENSOR.vectors + 2 * body.joints.length);
    this.#driven = task.action.map(({ joint }) => SENSOR.vectors + body.joints.indexOf(joint));
    this.#faults = changeFaults(HEALTHY, data.faults, body.joints);
    body.setFaults(this.#faults);
    this.#topics = new RobotTopics(task, {
      joints: body.joints,
      command: data.command,
      clock: data.clock,
      arguments: data.rosArguments,
    });
  }

  get topics(): RobotTopics {
    return this.#topics;
  }

  /** One physics step at `now`. */
  step(now: number): void {
    const command = this.#command;
    if (this.#topics.takeCommand(this.#values)) command.stamp = now;
    command.releases = command.stamp > this.#body.heldSince + SETTLING && this.#means();
    this.#body.step(now, command);
    const following = now - command.stamp <= COMMAND_TIMEOUT;
    if (following !== this.#following) {
      this.#following = following;
      say(following ? 'commands come' : `no command for ${COMMAND_TIMEOUT} s: the robot damps`);
    }
  }

  /** Whether the newest command means to move a robot that stands still. */
  #means(): boolean {
    const { action } = this.#task;
    for (let i = 0; i < action.length; i++) {
      const rest = action[i].kind === 'position' ? this.#sensors[this.#driven[i]] : 0;
      if (Math.abs(this.#values[i] - rest) > (action[i].kind === 'position' ? STANDING : 0)) return true;
    }
    return false;
  }

  /** Publishes what the sensors say at `now`, and takes orders that have come. */
  publish(now: number): void {
    if (this.#topics.takeResetCall()) this.#body.reset(now);
    this.#topics.publishClock(now);
    if (this.#body.sense(now, this.#sensors)) this.#topics.publishSensors(this.#sensors);
    const order = this.#topics.takeFault();
    if (order !== undefined) this.#suffer(order);
  }

  #suffer(order: string): void {
    try {
      this.#faults = changeFaults(this.#faults, order.split(/\s+/).filter(Boolean), this.#body.joints);
      this.#body.setFaults(this.#faults);
      say(`faults: ${describeFaults(this.#faults)}`);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      say(`refused: ${messageOf(error)}`);
    }
  }

  release(): void {
    this.#topics.release();
    this.#body.dispose();
  }
}

/** Paces the physics until the stop word is set. Returns the seconds that passed, and those that were dropped. */
function run(node: RobotNode, body: RobotBody, stepsPerMessage: number, clock: Clock) {
  const stop = new Int32Array(data.stop);
  const system = new RosClock();
  const times = new Float64Array(2);
  const [now, deadline] = [0, 1];
  clock.stamp(times, now);
  const start = times[now];
  times[deadline] = start;
  let offsetDue = 0;
  let dropped = 0;
  let simulated = 0;
  for (let step = 1; Atomics.load(stop, 0) === 0; step++) {
    times[deadline] += body.timestep * 1e9;
    clock.stamp(times, now);
    const behind = (times[now] - times[deadline]) / 1e9;
    if (behind > LARGEST_BACKLOG) {
      if (dropped === 0) say('the physics falls behind real time, and lost time is dropped');
      dropped += behind;
      // Not at once: a thread of real-time priority that never sleeps starves the machine.
      times[deadline] = times[now] + body.timestep * 1e9;
    }
    clock.sleepUntil(times, deadline);
    clock.stamp(times, now);
    simulated += body.timestep;
    const time = data.clock ? simulated : times[now] / 1e9;
    if (!data.clock && times[now] >= offsetDue) {
      system.read();
      node.topics.offset = system.times[OFFSET];
      offsetDue = times[now] + OFFSET_EVERY * 1e9;
    }
    node.step(time);
    if (step % stepsPerMessage === 0) node.publish(time);
  }
  return { seconds: (times[now] - start) / 1e9, dropped };
}

async function main(): Promise<void> {
  const task = await loadTask(data.task);
  const stepsPerMessage = Math.ceil(1 / (data.rate * LONGEST_STEP) - 1e-9);
  const timestep = 1 / (data.rate * stepsPerMessage);
  const body = await RobotBody.create(task, timestep, data.seed, Number.NEGATIVE_INFINITY);
  const node = new RobotNode(task, body);
  const { topics } = node;
  try {
    const { clock, fifo, notes } = takeRealtimeThread([], PRIORITY);
    for (const note of notes) say(`note: ${note}`);
    answer({ kind: 'ready', task: task.name, joints: body.joints, topics: topics.names });
    const ran = run(node, body, stepsPerMessage, clock);
    const { published, received, refusals } = topics;
    const refused = Object.values(refusals).reduce((sum, count) => sum + count, 0);
    const counts = { published, received, refused, refusals, resets: body.resets };
    const scheduling = fifo ? 'fifo' : 'other';
    answer({ kind: 'ended', result: { task: task.name, ...ran, scheduling, ...counts } });
  } finally {
    node.release();
  }
}

main().catch((error) =>
  answer({ kind: 'failed', message: messageOf(error), usage: error instanceof UsageError }),
);
