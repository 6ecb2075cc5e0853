// The message of a recording: one row of the loop's trace as a ROS 2 message (ros2msg definition, CDR bytes).
import rosmsg from '@foxglove/rosmsg';
import rosmsg2 from '@foxglove/rosmsg2-serialization';
import { FAULTS, FLAG, INTERVENTIONS, MODES, ROW, rowLayout } from './loop.js';

export const SCHEMA_NAME = 'farsight_msgs/msg/Tick';
export const TOPIC = '/farsight/tick';

/** The named values of an integer field, as ROS 2 constants in front of it: viewers show the name. */
function constants(type: string, prefix: string, values: readonly (readonly [string, number])[]): string {
  const name = (text: string) =>
    `${prefix}_${text.replace(/([a-z])([A-Z])/g, '$1_$2').replace(/ /g, '_')}`.toUpperCase();
  return values.map(([text, value]) => `${type} ${name(text)}=${value}\n`).join('');
}
const indexed = (names: readonly string[]) => names.map((name, i) => [name, i] as const);

/** One tick of the loop as a ROS 2 message: the scalars of ROW in their order, then the vectors of `rowLayout`. */
export const MESSAGE_DEFINITION = `# One tick of the control loop.
uint64 tick
# When the tick was due, s of CLOCK_MONOTONIC
float64 scheduled
# When the sensors were read, s of CLOCK_MONOTONIC
float64 sensor_stamp
# Where the time went, ns; wake and total count from the deadline
float32 wake
float32 observe
float32 infer
float32 limit
float32 write
float32 total
${constants('uint8', 'mode', indexed(MODES))}uint8 mode
${constants('uint8', 'fault', indexed(FAULTS))}uint8 fault
# Bits
${constants('uint16', 'flag', Object.entries(FLAG))}uint16 flags
# Bits
${constants(
  'uint16',
  'intervention',
  INTERVENTIONS.map((name, i) => [name, 1 << i] as const),
)}uint16 interventions
uint32 missed
# |z| of the observation against training: largest and mean over its terms
float32 largest_score
float32 mean_score
# What the policy saw, what it asked for, and the command as sent
float32[] observation
float32[] action
float64[] command
`;

interface TickMessage {
  tick: bigint;
  scheduled: number;
  sensor_stamp: number;
  wake: number;
  observe: number;
  infer: number;
  limit: number;
  write: number;
  total: number;
  mode: number;
  fault: number;
  flags: number;
  interventions: number;
  missed: number;
  /** The scores are not in recordings of version 1. */
  largest_score?: number;
  mean_score?: number;
  observation: Float32Array;
  action: Float32Array;
  command: Float64Array;
}
const PLAIN = ['wake', 'observe', 'infer', 'limit', 'write', 'total', 'mode', 'fault', 'flags'] as const;

/** Turns trace rows into messages and back; times of phases and scores lose what float32 does not hold, the rest is exact. */
export class RowCodec {
  readonly layout: ReturnType<typeof rowLayout>;
  readonly #writer: rosmsg2.MessageWriter;
  readonly #reader: rosmsg2.MessageReader<TickMessage>;

  /** Reads messages of `definition`, which an earlier version may have written, and writes those of this version. */
  constructor(observationSize: number, actionSize: number, definition = MESSAGE_DEFINITION) {
    this.layout = rowLayout(observationSize, actionSize);
    this.#writer = new rosmsg2.MessageWriter(rosmsg.parse(MESSAGE_DEFINITION, { ros2: true }));
    this.#reader = new rosmsg2.MessageReader<TickMessage>(rosmsg.parse(definition, { ros2: true }));
  }

  encode(row: Float64Array): Uint8Array {
    const { observation, action, command, length } = this.layout;
    const message: Partial<TickMessage> = {
      tick: BigInt(row[ROW.tick]),
      scheduled: row[ROW.scheduled],
      sensor_stamp: row[ROW.sensorStamp],
      interventions: row[ROW.interventions],
      missed: row[ROW.missed],
      largest_score: row[ROW.largestScore],
      mean_score: row[ROW.meanScore],
      observation: Float32Array.from(row.subarray(observation, action)),
      action: Float32Array.from(row.subarray(action, command)),
      command: row.subarray(command, length),
    };
    for (const name of PLAIN) message[name] = row[ROW[name]];
    return this.#writer.writeMessage(message);
  }

  /** The row of a message, a new array. Throws when its vectors have other sizes than this codec's. */
  decode(bytes: Uint8Array): Float64Array {
    const { observation, action, command, length } = this.layout;
    const message = this.#reader.readMessage(bytes);
    if (
      message.observation.length !== action - observation ||
      message.action.length !== command - action ||
      message.command.length !== length - command
    ) {
      throw new Error("a message's vectors do not have the sizes of the recorded task");
    }
    const row = new Float64Array(length);
    row[ROW.tick] = Number(message.tick);
    row[ROW.scheduled] = message.scheduled;
    row[ROW.sensorStamp] = message.sensor_stamp;
    row[ROW.interventions] = message.interventions;
    row[ROW.missed] = message.missed;
    row[ROW.largestScore] = message.largest_score ?? 0;
    row[ROW.meanScore] = message.mean_score ?? 0;
    for (const name of PLAIN) row[ROW[name]] = message[name];
    row.set(message.observation, observation);
    row.set(message.action, action);
    row.set(message.command, command);
    return row;
  }
}
