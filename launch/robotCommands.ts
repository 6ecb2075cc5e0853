// Commands that the simulated robot takes from ROS 2: one number for each action of its task, in the task's order.
import { CdrReader } from '../controller/ros/cdr.js';
import { DECODE, type Decoder, Float64MultiArrayDecoder } from '../controller/ros/readMessages.js';
import type { Task } from '../trainer/sim/task.js';

/** How commands come: topic, message type and decoder. */
export const COMMAND_KINDS = {
  forward: {
    topic: 'forward_command_controller/commands',
    type: 'std_msgs/msg/Float64MultiArray',
    decoder: (task: Task): Decoder => new Float64MultiArrayDecoder(task.action.length),
  },
  trajectory: {
    topic: 'joint_trajectory_controller/joint_trajectory',
    type: 'trajectory_msgs/msg/JointTrajectory',
    decoder: (task: Task): Decoder => new TrajectoryDecoder(task.action),
  },
} as const;
export type CommandKind = keyof typeof COMMAND_KINDS;

/** The vectors of a trajectory's point, in their order. */
const POINT_FIELDS = ['position', 'velocity', 'acceleration', 'effort'] as const;
const text = new TextDecoder();

/**
 * `trajectory_msgs/msg/JointTrajectory`: the last point's position, velocity or effort of each joint, by the action's
 * kind. Where it is to be reached later, the robot goes there at once.
 */
export class TrajectoryDecoder implements Decoder {
  readonly stamp = new Int32Array(2);
  readonly values: Float64Array;
  readonly #action: Task['action'];
  readonly #reader = new CdrReader();

  constructor(action: Task['action']) {
    this.#action = action;
    this.values = new Float64Array(action.length);
  }

  decode(view: DataView, length: number): number {
    const reader = this.#reader;
    reader.begin(view, length);
    reader.skip(8, 4);
    reader.skipString();
    const names = this.#names(view);
    const points = reader.int32();
    if (!reader.ok || points < 0 || points > length) return DECODE.malformed;
    if (points === 0) return DECODE['wrong size'];
    const places = this.#action.map(({ joint }) => names.indexOf(joint));
    if (places.includes(-1)) return DECODE['wrong names'];
    let wrongSize = false;
    for (let point = 0; point < points && reader.ok; point++) {
      for (const field of POINT_FIELDS) {
        const count = reader.skipFloat64Sequence();
        if (!reader.ok) return DECODE.malformed;
        for (const [i, { kind }] of this.#action.entries()) {
          if (kind !== field) continue;
          if (count !== names.length) wrongSize = true;
          else this.values[i] = view.getFloat64(reader.sequenceStart + 8 * places[i], reader.littleEndian);
        }
      }
      reader.skip(8, 4);
    }
    if (!reader.ended) return DECODE.malformed;
    if (wrongSize) return DECODE['wrong size'];
    return this.values.every(Number.isFinite) ? DECODE.decoded : DECODE['not finite'];
  }

  #names(view: DataView): string[] {
    const reader = this.#reader;
    const count = reader.int32();
    const names: string[] = [];
    for (let i = 0; i < count && reader.ok; i++) {
      const start = reader.skipString();
      if (start < 0) break;
      names.push(text.decode(new Uint8Array(view.buffer, view.byteOffset + start, reader.stringLength)));
    }
    return names;
  }
}
