// The simulated robot's ROS 2 node: what it publishes and hears. Everything is polled and sent by the robot's own thread.
import { SENSOR } from '../contract/robot.js';
import { CdrReader, CdrWriter } from '../controller/ros/cdr.js';
import { type Qos, RosNode } from '../controller/ros/rcl.js';
import { DECODE, DECODED } from '../controller/ros/readMessages.js';
import {
  clockMessage,
  jointState,
  type OutgoingMessage,
  setFloat64,
  setStamp,
} from '../controller/ros/writeMessages.js';
import type { Task } from '../trainer/sim/task.js';
import { COMMAND_KINDS, type CommandKind } from './robotCommands.js';

const RELIABLE: Qos = { reliability: 'reliable', durability: 'volatile', depth: 10 };
/** For events: who comes later is told the newest one. */
const LATCHED: Qos = { reliability: 'reliable', durability: 'transientLocal', depth: 1 };
/** Hears publishers of every kind. */
const ANY: Qos = { reliability: 'bestEffort', durability: 'volatile', depth: 10 };

export interface RobotTopicsOptions {
  joints: readonly string[];
  command: CommandKind;
  /** Whether to publish `/clock`. */
  clock: boolean;
  /** `--ros-args …` */
  arguments: readonly string[];
}

/** The node `farsight_robot`. Stamps that it publishes are `time + offset`, in seconds. */
export class RobotTopics {
  published = 0;
  received = 0;
  readonly refusals: Record<string, number> = {};
  /** Seconds from the robot's clock to that of the stamps. */
  offset = 0;
  readonly names: { joints: string; commands: string; faults: string };
  readonly #node: RosNode;
  readonly #joints: ReturnType<typeof publishJoints>;
  readonly #clock;
  readonly #commands;
  readonly #decoder;
  readonly #faults;
  readonly #faultReader = new CdrReader();
  readonly #resets;
  readonly #terminations;
  readonly #resetCalls;
  /** None yet: the first start is told too, for whoever listened to a robot before this one. */
  #resetsTold = -1;
  #terminalTold = 0;

  /** Throws a `FarsightError` when ROS 2 is not sourced or refuses an argument. */
  constructor(task: Task, options: RobotTopicsOptions) {
    const node = new RosNode({ name: 'farsight_robot', arguments: options.arguments });
    this.#node = node;
    try {
      const kind = COMMAND_KINDS[options.command];
      this.#decoder = kind.decoder(task);
      this.#commands = node.subscription(kind.topic, kind.type, ANY);
      this.#faults = node.subscription('~/fault', 'std_msgs/msg/String', RELIABLE);
      this.#resetCalls = node.trigger('~/reset');
      this.#joints = publishJoints(node, options.joints);
      this.#resets = publishEvents(node, '~/resets');
      this.#terminations = publishEvents(node, '~/terminations');
      this.#clock = options.clock
        ? {
            publisher: node.publisher('/clock', 'rosgraph_msgs/msg/Clock', { ...RELIABLE, depth: 1 }),
            message: clockMessage(),
          }
        : undefined;
    } catch (error) {
      node.release();
      throw error;
    }
    const [joints, commands, faults] = [this.#joints.publisher, this.#commands, this.#faults];
    this.names = { joints: joints.topic, commands: commands.topic, faults: faults.topic };
  }

  /** Writes the newest command that has come into `values` `[m]`; false when none has, or none was in order. */
  takeCommand(values: Float64Array): boolean {
    let came = false;
    for (let i = 0; i < this.#commands.depth; i++) {
      const length = this.#commands.take();
      if (length === 0) break;
      this.received++;
      const result = this.#decoder.decode(this.#commands.view, length);
      if (result === DECODE.decoded) {
        values.set(this.#decoder.values);
        came = true;
      } else this.refusals[DECODED[result]] = (this.refusals[DECODED[result]] ?? 0) + 1;
    }
    return came;
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
    const { message, count } = this.#joints;
    for (let i = 0; i < count; i++) {
      setFloat64(message, message.position, i, sensors[SENSOR.vectors + i]);
      setFloat64(message, message.velocity, i, sensors[SENSOR.vectors + count + i]);
    }
    send(this.#joints, time);
    this.published++;
  }

  publishClock(time: number): void {
    if (this.#clock) send(this.#clock, time + this.offset);
  }

  release(): void {
    this.#node.release();
  }
}

function publishJoints(node: RosNode, joints: readonly string[]) {
  return {
    publisher: node.publisher('joint_states', 'sensor_msgs/msg/JointState', RELIABLE),
    message: jointState(joints, ['position', 'velocity']),
    count: joints.length,
  };
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
  const seconds = Math.floor(time);
  setStamp(message, seconds, Math.min(Math.round((time - seconds) * 1e9), 999_999_999));
  publisher.publish(message.bytes);
}
