// The simulated robot's thread as a ROS 2 node: real-time physics between the commands that it hears and what it publishes.
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, UsageError } from '../../contract/errors.js';
import { SENSOR } from '../../contract/robot.js';
import type { Clock } from '../../controller/realtime.js';
import { withRealtimeThreads } from '../../controller/ros/rcl/middlewareThreads.js';
import { OFFSET, RosClock } from '../../controller/ros/rcl/rosClock.js';
import { loadTask, type Task } from '../../trainer/sim/task.js';
import { COMMAND_TIMEOUT, LONGEST_STEP, RobotBody, type RobotCommand } from './body.js';
import { changeFaults, describeFaults, HEALTHY } from './faults.js';
import type { RobotNodeAnswer, RobotNodeData } from './node.js';
import { type PaceResult, pace, takeRobotThread } from './pace.js';
import { RobotTopics } from './topics.js';

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
    this.#faults = changeFaults(HEALTHY, data.faults, body.joints, '--set');
    body.setFaults(this.#faults);
    const { joints } = body;
    const { robotMap, rosArguments } = data;
    // Its middleware as the controller's: hardware does not wait either when the computer is busy.
    this.#topics = withRealtimeThreads(
      () => new RobotTopics(task, { joints, robotMap, arguments: rosArguments }),
    ).made;
  }

  get topics(): RobotTopics {
    return this.#topics;
  }

  /** One physics step at `now`. */
  step(now: number): void {
    const command = this.#command;
    if (this.#topics.takeCommand(now, this.#values)) {
      command.stamp = now;
      command.damp = this.#topics.damps;
    }
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

/** Runs the physics until the stop word is set. */
function run(node: RobotNode, body: RobotBody, stepsPerMessage: number, clock: Clock): PaceResult {
  const system = new RosClock();
  let offsetDue = 0;
  let steps = 0;
  const step = (now: number) => {
    steps++;
    if (now >= offsetDue) {
      system.read();
      node.topics.offset = system.times[OFFSET];
      offsetDue = now + OFFSET_EVERY * 1e9;
    }
    node.step(now / 1e9);
    if (steps % stepsPerMessage === 0) node.publish(now / 1e9);
  };
  const stop = new Int32Array(data.stop);
  const behind = () => say('the physics falls behind real time, and lost time is dropped');
  return pace(clock, body.timestep, stop, step, behind);
}

async function main(): Promise<void> {
  const task = await loadTask(data.task);
  const stepsPerMessage = Math.ceil(1 / (data.rate * LONGEST_STEP) - 1e-9);
  const timestep = 1 / (data.rate * stepsPerMessage);
  const body = await RobotBody.create(task, timestep, data.seed, Number.NEGATIVE_INFINITY);
  const node = new RobotNode(task, body);
  const { topics } = node;
  try {
    const { clock, fifo, notes } = takeRobotThread();
    for (const note of notes) say(`note: ${note}`);
    answer({ kind: 'ready', task: task.name, joints: body.joints, topics: topics.names });
    const ran = run(node, body, stepsPerMessage, clock);
    const { published } = topics;
    const { received, refusals } = topics.counts;
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
