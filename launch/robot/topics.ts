// The simulated robot's ROS 2 node: what it publishes and hears. Everything is polled and sent by the robot's own thread.
import { FarsightError } from '../../contract/errors.js';
import { SENSOR } from '../../contract/robot.js';
import { CdrReader, CdrWriter } from '../../controller/ros/link/cdr.js';
import { checkMap } from '../../controller/ros/link/checkMap.js';
import { defaultRobotMap, type RobotMap, readRobotMap } from '../../controller/ros/link/robotMap.js';
import { type OutgoingMessage, setStamp } from '../../controller/ros/link/writeMessages.js';
import { NODE_NAME } from '../../controller/ros/management/node.js';
import type { Qos } from '../../controller/ros/rcl/qos.js';
import { RosNode } from '../../controller/ros/rcl/rcl.js';
import { onBehalfOf } from '../../controller/ros/rcl/topicNames.js';
import { type Task, taskInterface } from '../../trainer/sim/task.js';
import { COMMAND_TIMEOUT } from './body.js';
import { RobotCommandTopic } from './commands.js';
import { RobotSensorTopic } from './sensors.js';

const RELIABLE: Qos = { reliability: 'reliable', durability: 'volatile', depth: 10 };
/** For events: who comes later is told the newest one. */
const LATCHED: Qos = { reliability: 'reliable', durability: 'transientLocal', depth: 1 };

export interface RobotTopicsOptions {
  /** In the order of the sensor cell. */
  joints: readonly string[];
  /** Path of the map that the controller has for this robot; the default one when left out. */
  robotMap?: string;
  /** `--ros-args …` */
  arguments: readonly string[];
}

/** The node `farsight_robot`. Stamps that it publishes are `time + offset`, in seconds. */
export class RobotTopics {
  published = 0;
  /** Seconds from the robot's clock to that of the stamps. */
  offset = 0;
  readonly names: { sensors: string[]; commands: string[]; faults: string };
  readonly #node: RosNode;
  readonly #sensors: RobotSensorTopic[];
  readonly #commands: RobotCommandTopic[];
  readonly #faults;
  readonly #faultReader = new CdrReader();
  readonly #resets;
  readonly #terminations;
  readonly #resetCalls;
  /** None yet: the first start is told too, for whoever listened to a robot before this one. */
  #resetsTold = -1;
  #terminalTold = 0;

  /** Throws a `FarsightError` when ROS 2 is not sourced or refuses an argument, or the map does not fit the task. */
  constructor(task: Task, options: RobotTopicsOptions) {
    const map = mapOf(task, options.robotMap);
    const node = new RosNode({ name: 'farsight_robot', arguments: options.arguments });
    this.#node = node;
    try {
      this.#commands = map.commands.map((command) => new RobotCommandTopic(node, command, task));
      this.#faults = node.subscription('~/fault', 'std_msgs/msg/String', RELIABLE);
      this.#resetCalls = node.trigger('~/reset');
      this.#sensors = map.sensors.map((sensor) => new RobotSensorTopic(node, sensor, options.joints));
      this.#resets = publishEvents(node, map.episodes?.resets ?? '~/resets');
      this.#terminations = publishEvents(node, map.episodes?.terminations ?? '~/terminations');
    } catch (error) {
      node.release();
      throw error;
    }
    const topics = (of: readonly { topic: string }[]) => of.map(({ topic }) => topic);
    this.names = {
      sensors: topics(this.#sensors),
      commands: topics(this.#commands),
      faults: this.#faults.topic,
    };
  }

  /**
   * Writes what has come by `now` into `values` `[m]`. True when something has and no command topic has been silent for
   * longer than the robot's patience: only all of them together are a command.
   */
  takeCommand(now: number, values: Float64Array): boolean {
    let came = false;
    for (const command of this.#commands) if (command.take(now, values)) came = true;
    return came && this.#commands.every(({ stamp }) => now - stamp <= COMMAND_TIMEOUT);
  }

  /** Whether the newest commands ask the robot to damp. */
  get damps(): boolean {
    return this.#commands.some(({ damps }) => damps);
  }

  /** Commands that arrived, and those that could not be used, by what was wrong with them. */
  get counts(): { received: number; refusals: Record<string, number> } {
    const refusals: Record<string, number> = {};
    let received = 0;
    for (const command of this.#commands) {
      received += command.received;
      for (const [reason, count] of Object.entries(command.refusals)) {
        refusals[reason] = (refusals[reason] ?? 0) + count;
      }
    }
    return { received, refusals };
  }

  /** The next order to change faults, `key=value …`; undefined when none has come. */
  takeFault(): string | undefined {
    const length = this.#faults.take();
    if (length === 0) return undefined;
    const reader = this.#faultReader;
    const { view } = this.#faults;
    reader.begin(view, length);
    const start = reader.skipString();
    if (start < 0) return undefined;
    return Buffer.from(view.buffer, view.byteOffset + start, reader.stringLength).toString('utf8');
  }

  /** Whether a new start is asked for; answers that it comes. */
  takeResetCall(): boolean {
    if (!this.#resetCalls.take()) return false;
    this.#resetCalls.answer(true, 'the robot holds a new start state');
    return true;
  }

  /** Publishes a message of the sensors, laid out as `SENSOR` says; before it, what happened to the robot. */
  publishSensors(sensors: Float64Array): void {
    const time = sensors[SENSOR.stamp] + this.offset;
    if (sensors[SENSOR.resets] !== this.#resetsTold) {
      this.#resetsTold = sensors[SENSOR.resets];
      send(this.#resets, time);
    }
    if (sensors[SENSOR.terminal] !== this.#terminalTold) {
      this.#terminalTold = sensors[SENSOR.terminal];
      if (this.#terminalTold === 1) send(this.#terminations, time);
    }
    const seconds = Math.floor(time);
    for (const sensor of this.#sensors) sensor.publish(sensors, seconds, nanosecondsOf(time));
    this.published++;
  }

  release(): void {
    this.#node.release();
  }
}

/** The map at `path`, or the default one. Throws a `FarsightError` that says all that is wrong with it. */
function mapOf(task: Task, path: string | undefined): RobotMap {
  const carried = taskInterface(task);
  if (path === undefined) return defaultRobotMap(carried);
  const map = readRobotMap(path);
  // What is private there is the controller's.
  for (const entry of [...map.sensors, ...map.commands]) entry.topic = onBehalfOf(NODE_NAME, entry.topic);
  if (map.episodes) {
    const { resets, terminations } = map.episodes;
    map.episodes = {
      resets: onBehalfOf(NODE_NAME, resets),
      terminations: onBehalfOf(NODE_NAME, terminations),
    };
  }
  const wrong = checkMap(carried, map);
  if (wrong.length > 0) {
    throw new FarsightError(`robot map ${path} does not fit task '${task.name}': ${wrong.join('; ')}`);
  }
  return map;
}

/** `std_msgs/msg/Header`: its stamp is that of the first sensor message for which the event holds. */
function publishEvents(node: RosNode, topic: string) {
  const writer = new CdrWriter();
  const stamp = writer.reserve(8, 4);
  writer.string('');
  const bytes = writer.bytes();
  const message: OutgoingMessage = { bytes, view: new DataView(bytes.buffer), stamp };
  return { publisher: node.publisher(topic, 'std_msgs/msg/Header', LATCHED), message };
}

function send(
  { publisher, message }: { publisher: ReturnType<RosNode['publisher']>; message: OutgoingMessage },
  time: number,
): void {
  setStamp(message, Math.floor(time), nanosecondsOf(time));
  publisher.publish(message.bytes);
}

/** Of a time's last second. */
function nanosecondsOf(time: number): number {
  return Math.min(Math.round((time - Math.floor(time)) * 1e9), 999_999_999);
}
