// The simulated robot's command topics: what a robot map sends to them, read back into the task's own order and units.
import { CdrReader } from '../../controller/ros/link/cdr.js';
import { JointStateDecoder } from '../../controller/ros/link/jointStateDecoder.js';
import {
  DECODE,
  DECODED,
  type Decoder,
  Float64MultiArrayDecoder,
} from '../../controller/ros/link/readMessages.js';
import type { CommandTopic } from '../../controller/ros/link/robotMap.js';
import type { RosNode } from '../../controller/ros/rcl/rcl.js';
import type { Task } from '../../trainer/sim/task.js';

type Kind = Task['action'][number]['kind'];

/** Messages that wait for the robot at most. */
const DEPTH = 10;
/** The vectors of a trajectory's point, in their order. */
const POINT_FIELDS = ['position', 'velocity', 'acceleration', 'effort'] as const;
const STATE_FIELDS: readonly Kind[] = ['position', 'velocity', 'effort'];
const text = new TextDecoder();

export class RobotCommandTopic {
  received = 0;
  /** Commands that could not be used, by what was wrong. */
  readonly refusals: Record<string, number> = {};
  /** When the newest usable command came; -Infinity before the first. */
  stamp = Number.NEGATIVE_INFINITY;
  /** The newest command asks the drives for no stiffness: the joints are to damp. */
  damps = false;
  /** As it is after expansion and remapping. */
  readonly topic: string;
  readonly #subscription;
  readonly #decoder: Decoder;
  readonly #joints: { action: number; sign: number; offset: number }[];
  /** Place of the first command among the decoder's values. */
  readonly #first: number;
  readonly #gains: boolean;

  constructor(node: RosNode, command: CommandTopic, task: Task) {
    const { topic, type, joints } = command;
    // Best effort hears publishers of both kinds.
    const qos = { reliability: 'bestEffort', durability: 'volatile', depth: DEPTH } as const;
    this.#subscription = node.subscription(topic, type, qos);
    this.topic = this.#subscription.topic;
    this.#gains = command.gains !== undefined;
    this.#joints = joints.map(({ joint, sign, offset }) => {
      const action = task.action.findIndex((term) => term.joint === joint);
      return { action, sign, offset: task.action[action].kind === 'position' ? offset : 0 };
    });
    const { kind } = task.action[this.#joints[0].action];
    this.#decoder = decoderOf(command, kind);
    this.#first = type === 'sensor_msgs/msg/JointState' ? STATE_FIELDS.indexOf(kind) * joints.length : 0;
  }

  /** Writes the newest command that has come by `now` into `values` `[m]`; false when none has, or none was in order. */
  take(now: number, values: Float64Array): boolean {
    let came = false;
    for (let i = 0; i < DEPTH; i++) {
      const length = this.#subscription.take();
      if (length === 0) break;
      this.received++;
      const result = this.#decoder.decode(this.#subscription.view, length);
      if (result === DECODE.decoded) {
        this.#use(values);
        came = true;
      } else this.refusals[DECODED[result]] = (this.refusals[DECODED[result]] ?? 0) + 1;
    }
    if (came) this.stamp = now;
    return came;
  }

  #use(values: Float64Array): void {
    const theirs = this.#decoder.values;
    const count = this.#joints.length;
    for (const [i, { action, sign, offset }] of this.#joints.entries()) {
      values[action] = sign * theirs[this.#first + i] + offset;
    }
    this.damps = this.#gains && theirs.subarray(count, 2 * count).every((stiffness) => stiffness === 0);
  }
}

function decoderOf({ type, joints, gains }: CommandTopic, kind: Kind): Decoder {
  const names = joints.map(({ name }) => name);
  switch (type) {
    case 'std_msgs/msg/Float64MultiArray':
      return new Float64MultiArrayDecoder(gains ? 3 * names.length : names.length);
    case 'trajectory_msgs/msg/JointTrajectory':
      return new TrajectoryDecoder(names, kind);
    case 'control_msgs/msg/MultiDOFCommand':
      return new MultiDofDecoder(names);
    case 'sensor_msgs/msg/JointState': {
      const wanted = { position: false, velocity: false, effort: false, [kind]: true };
      return new JointStateDecoder(names.map((name) => ({ name, ...wanted })));
    }
  }
}

/**
 * `trajectory_msgs/msg/JointTrajectory`: the last point's position, velocity or effort of each joint. Where it is to be
 * reached later, the robot goes there at once.
 */
export class TrajectoryDecoder implements Decoder {
  readonly stamp = new Int32Array(2);
  readonly values: Float64Array;
  readonly #names: readonly string[];
  readonly #kind: Kind;
  readonly #reader = new CdrReader();

  constructor(names: readonly string[], kind: Kind) {
    this.#names = names;
    this.#kind = kind;
    this.values = new Float64Array(names.length);
  }

  decode(view: DataView, length: number): number {
    const reader = this.#reader;
    reader.begin(view, length);
    reader.skip(8, 4);
    reader.skipString();
    const places = readPlaces(reader, view, this.#names);
    const points = reader.int32();
    if (!reader.ok || points < 0 || points > length) return DECODE.malformed;
    if (points === 0) return DECODE['wrong size'];
    if (!places) return DECODE['wrong names'];
    let wrongSize = false;
    for (let point = 0; point < points && reader.ok; point++) {
      for (const field of POINT_FIELDS) {
        const count = reader.skipFloat64Sequence();
        if (!reader.ok) return DECODE.malformed;
        if (field !== this.#kind) continue;
        if (count !== places.count) wrongSize = true;
        else copy(view, reader, places.at, this.values);
      }
      reader.skip(8, 4);
    }
    if (!reader.ended) return DECODE.malformed;
    if (wrongSize) return DECODE['wrong size'];
    return this.values.every(Number.isFinite) ? DECODE.decoded : DECODE['not finite'];
  }
}

/** `control_msgs/msg/MultiDOFCommand`: a reference for each joint, by name. */
export class MultiDofDecoder implements Decoder {
  readonly stamp = new Int32Array(2);
  readonly values: Float64Array;
  readonly #names: readonly string[];
  readonly #reader = new CdrReader();

  constructor(names: readonly string[]) {
    this.#names = names;
    this.values = new Float64Array(names.length);
  }

  decode(view: DataView, length: number): number {
    const reader = this.#reader;
    reader.begin(view, length);
    const places = readPlaces(reader, view, this.#names);
    const count = reader.skipFloat64Sequence();
    if (places && reader.ok && count === places.count) copy(view, reader, places.at, this.values);
    reader.skipFloat64Sequence();
    if (!reader.ended) return DECODE.malformed;
    if (!places) return DECODE['wrong names'];
    if (count !== places.count) return DECODE['wrong size'];
    return this.values.every(Number.isFinite) ? DECODE.decoded : DECODE['not finite'];
  }
}

/** Reads a sequence of names: how many they are, and where those `wanted` stand; undefined when one is not there. */
function readPlaces(reader: CdrReader, view: DataView, wanted: readonly string[]) {
  const count = reader.int32();
  const names: string[] = [];
  for (let i = 0; i < count && reader.ok; i++) {
    const start = reader.skipString();
    if (start < 0) break;
    names.push(text.decode(new Uint8Array(view.buffer, view.byteOffset + start, reader.stringLength)));
  }
  const at = wanted.map((name) => names.indexOf(name));
  return at.includes(-1) ? undefined : { count, at };
}

/** Copies those of the doubles that the reader passed last which stand at `places`. */
function copy(view: DataView, reader: CdrReader, places: readonly number[], out: Float64Array): void {
  for (const [i, place] of places.entries()) {
    out[i] = view.getFloat64(reader.sequenceStart + 8 * place, reader.littleEndian);
  }
}
