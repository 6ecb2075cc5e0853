// One command topic as the loop writes it: the action's commands in the robot's message, order, signs and offsets.
import { COMMAND } from '../../../contract/robot.js';
import type { TaskInterface } from '../../../contract/terms.js';
import { MODE } from '../../modes.js';
import type { Qos } from '../rcl/qos.js';
import type { MessageClock } from '../rcl/rosClock.js';
import type { Outbox } from './endpoints.js';
import type { CommandTopic } from './robotMap.js';
import {
  float64MultiArray,
  jointState,
  jointTrajectory,
  multiDofCommand,
  type OutgoingMessage,
  setFloat64,
  setStamp,
} from './writeMessages.js';

/**
 * What a topic leaves for other threads, doubles: commands sent; those that the middleware did not take, and when the
 * newest was (seconds of CLOCK_MONOTONIC, 0 for never); who listens, -1 before that was looked at.
 */
export const COMMAND_COUNTERS = { sent: 0, failed: 1, failedAt: 2, listeners: 3, length: 4 } as const;

/** What is offered when the map does not say: so many ticks, and so many seconds at least. */
const DEADLINE = { ticks: 10, seconds: 0.05 };
const LEASE = { ticks: 20, seconds: 0.1 };

/** A command topic's QoS at `rateHz` commands a second: each command says that the controller lives. */
export function offeredQos({ qos }: CommandTopic, rateHz: number): Qos {
  const byRate = ({ ticks, seconds }: typeof DEADLINE) => Math.max(ticks / rateHz, seconds);
  const { deadline = byRate(DEADLINE), lease = byRate(LEASE), ...rest } = qos;
  return {
    ...rest,
    ...(deadline > 0 && { deadline }),
    ...(lease > 0 && { liveliness: 'manual', lease }),
  };
}

export class CommandTopicWriter {
  /** Its safe command is where the robot was measured to be. */
  readonly keepsPosition: boolean;
  readonly #outbox: Outbox;
  readonly #clock: MessageClock;
  readonly #message: OutgoingMessage;
  /** Whether the message's header has the time of sending; in a trajectory it must be 0, which means at once. */
  readonly #stamped: boolean;
  /** First double of the vector of commands. */
  readonly #start: number;
  readonly #actions: Int32Array;
  readonly #sign: Float64Array;
  readonly #offset: Float64Array;
  readonly #gains: CommandTopic['gains'];

  /** `period`: seconds between two ticks, in which a trajectory's point is to be reached. */
  constructor(
    task: TaskInterface,
    command: CommandTopic,
    period: number,
    outbox: Outbox,
    clock: MessageClock,
  ) {
    const { joints, type, gains } = command;
    this.#outbox = outbox;
    this.#clock = clock;
    this.#actions = Int32Array.from(joints, ({ joint }) =>
      task.action.findIndex((term) => term.joint === joint),
    );
    const { kind } = task.action[this.#actions[0]];
    // The way back from `ours = sign · theirs + offset`.
    this.#sign = Float64Array.from(joints, ({ sign }) => sign);
    this.#offset = Float64Array.from(joints, ({ offset }) => (kind === 'position' ? offset : 0));
    this.#gains = gains;
    this.keepsPosition = kind === 'position' && gains === undefined;
    const names = joints.map(({ name }) => name);
    const laidOut = layout(type, names, kind, period, gains !== undefined);
    this.#message = laidOut.message;
    this.#start = laidOut.start;
    this.#stamped = type === 'sensor_msgs/msg/JointState';
  }

  /** Sends the commands of a cell (see COMMAND); says whether the middleware took them. */
  send(cell: Float64Array): boolean {
    const message = this.#message;
    const count = this.#actions.length;
    for (let i = 0; i < count; i++) {
      const command = cell[COMMAND.vectors + this.#actions[i]];
      setFloat64(message, this.#start, i, this.#sign[i] * (command - this.#offset[i]));
    }
    if (this.#gains) {
      const safe = cell[COMMAND.mode] === MODE.damping || cell[COMMAND.mode] === MODE.fault;
      const stiffness = safe ? 0 : this.#gains.stiffness;
      const damping = safe ? this.#gains.safeDamping : this.#gains.damping;
      for (let i = 0; i < count; i++) {
        setFloat64(message, this.#start, count + i, stiffness);
        setFloat64(message, this.#start, 2 * count + i, damping);
      }
    }
    if (this.#stamped) setStamp(message, this.#clock.stamp[0], this.#clock.stamp[1]);
    return this.#outbox.publish(message.bytes);
  }
}

function layout(
  type: CommandTopic['type'],
  names: string[],
  kind: TaskInterface['action'][number]['kind'],
  period: number,
  gains: boolean,
): { message: OutgoingMessage; start: number } {
  switch (type) {
    case 'std_msgs/msg/Float64MultiArray': {
      const message = float64MultiArray(gains ? 3 * names.length : names.length);
      return { message, start: message.data };
    }
    case 'control_msgs/msg/MultiDOFCommand': {
      const message = multiDofCommand(names);
      return { message, start: message.data };
    }
    case 'trajectory_msgs/msg/JointTrajectory': {
      const message = jointTrajectory(names, kind, period);
      return { message, start: message[kind] };
    }
    case 'sensor_msgs/msg/JointState': {
      const message = jointState(names, [kind]);
      return { message, start: message[kind] };
    }
  }
}
