// One sensor topic as the loop reads it: decodes what arrives, refuses what cannot be used, and counts both.
import { SENSOR } from '../../contract/robot.js';
import { jointsOf, type TaskInterface } from '../../contract/terms.js';
import { BodyDecoder, DECODE, DECODED, type Decoder, JointStateDecoder } from './readMessages.js';
import { neededMeasurements, type SensorTopic } from './robotMap.js';
import { type MessageClock, MONOTONIC, OFFSET } from './rosClock.js';

/** Where messages wait: a `RawSubscription`, or what a rehearsal or a test puts in its place. */
export interface Inbox {
  readonly view: DataView;
  readonly depth: number;
  take(): number;
}

/** Why a message was not used; those of DECODED first, at the same places. */
export const REFUSALS = [...DECODED, 'duplicate', 'out of order', 'stamp in the future'] as const;
const DUPLICATE = DECODED.length;
const OUT_OF_ORDER = DECODED.length + 1;
const FUTURE = DECODED.length + 2;

/**
 * What a topic leaves for other threads, doubles: messages received; the newest one's stamp and arrival (seconds of
 * CLOCK_MONOTONIC, 0 before the first); then a count for each of REFUSALS, of which the first, `decoded`, counts the
 * messages that were used.
 */
export const COUNTERS = {
  received: 0,
  stamp: 1,
  arrival: 2,
  refusals: 3,
  length: 3 + REFUSALS.length,
} as const;

/** So many unusable messages in a row, and nothing usable for this share of the timeout, are the sensor's state. */
const PERSISTENT = { messages: 3, share: 0.25 };

export interface SensorTopicOptions {
  task: TaskInterface;
  sensor: SensorTopic;
  inbox: Inbox;
  clock: MessageClock;
  /** When the messages were read before, seconds of CLOCK_MONOTONIC. `[1]` */
  before: Float64Array;
  /** `[COUNTERS.length]` */
  counters: Float64Array;
}

/**
 * `drain` takes what waits, at most the queue's depth, and writes the measurements into the sensor cell.
 *
 * A message that is not finite or out of order is refused. When the sensor sends nothing else any more, one is let
 * through, so that the envelope stops the robot for what is wrong instead of for stale sensors.
 */
export class SensorTopicReader {
  /** Stamp of the newest message used: seconds of CLOCK_MONOTONIC, or of its arrival where stamps do not count. */
  readonly newest = new Float64Array(1);
  /** The same as it was sent: seconds and nanoseconds. */
  readonly stamp = new Int32Array(2);
  heard = false;
  /** Messages used that came after a reading before whose time they are stamped. */
  late = 0;
  readonly #inbox: Inbox;
  readonly #decoder: Decoder;
  readonly #clock: MessageClock;
  readonly #before: Float64Array;
  readonly #counters: Float64Array;
  readonly #timeout: number;
  readonly #stamped: boolean;
  /** For each measurement: its place in the decoder's values and in the sensor cell, how to convert it, and if it must be. */
  readonly #source: Int32Array;
  readonly #target: Int32Array;
  readonly #sign: Float64Array;
  readonly #offset: Float64Array;
  readonly #needed: Uint8Array;
  #steps: number;
  #refusedInRow = 0;

  constructor({ task, sensor, inbox, clock, before, counters }: SensorTopicOptions) {
    this.#inbox = inbox;
    this.#clock = clock;
    this.#before = before;
    this.#counters = counters;
    this.#timeout = task.safety.sensorTimeout;
    this.#stamped = sensor.stamp === 'header';
    this.#steps = clock.steps;
    const { decoder, measurements } = decoderOf(task, sensor);
    this.#decoder = decoder;
    const joints = jointsOf(task);
    this.#source = Int32Array.from(measurements, ({ source }) => source);
    this.#target = Int32Array.from(
      measurements,
      ({ joint, kind }) => SENSOR.vectors + joints.indexOf(joint) + (kind === 'velocity' ? joints.length : 0),
    );
    this.#sign = Float64Array.from(measurements, ({ sign }) => sign);
    this.#offset = Float64Array.from(measurements, ({ kind, offset }) => (kind === 'position' ? offset : 0));
    this.#needed = Uint8Array.from(measurements, ({ joint, kind }) =>
      neededMeasurements(task, joint)[kind] ? 1 : 0,
    );
  }

  drain(cell: Float64Array): void {
    const inbox = this.#inbox;
    const counters = this.#counters;
    for (let i = 0; i < inbox.depth; i++) {
      const length = inbox.take();
      if (length === 0) return;
      counters[COUNTERS.received]++;
      const refusal = this.#judge(length);
      counters[COUNTERS.refusals + refusal]++;
      if (refusal === DECODE.decoded || this.#persists(refusal)) this.#use(cell);
    }
  }

  /** Decodes the message in the inbox and returns what is wrong with it, an index in REFUSALS. */
  #judge(length: number): number {
    const { stamp } = this.#decoder;
    const result = this.#decoder.decode(this.#inbox.view, length);
    if (result !== DECODE.decoded || !this.#stamped) return result;
    const { times, steps } = this.#clock;
    const monotonic = stamp[0] + stamp[1] * 1e-9 - times[OFFSET];
    if (monotonic > times[MONOTONIC] + PERSISTENT.share * this.#timeout) return FUTURE;
    // After the system's clock was set, stamps begin anew.
    if (steps !== this.#steps) {
      this.#steps = steps;
      return DECODE.decoded;
    }
    if (!this.heard) return DECODE.decoded;
    const later = stamp[0] - this.stamp[0];
    if (later > 0) return DECODE.decoded;
    if (later < 0) return OUT_OF_ORDER;
    if (stamp[1] > this.stamp[1]) return DECODE.decoded;
    return stamp[1] === this.stamp[1] ? DUPLICATE : OUT_OF_ORDER;
  }

  /** Whether a message refused for this is by now all that the sensor sends. */
  #persists(refusal: number): boolean {
    this.#refusedInRow++;
    return (
      this.heard &&
      (refusal === DECODE['not finite'] || refusal === OUT_OF_ORDER) &&
      this.#refusedInRow >= PERSISTENT.messages &&
      this.#clock.times[MONOTONIC] - this.#counters[COUNTERS.arrival] > PERSISTENT.share * this.#timeout
    );
  }

  /** Writes the decoded message's measurements into the cell. */
  #use(cell: Float64Array): void {
    const { values, stamp } = this.#decoder;
    const { times } = this.#clock;
    for (let i = 0; i < this.#source.length; i++) {
      const value = values[this.#source[i]];
      if (this.#needed[i] === 1 || Number.isFinite(value)) {
        cell[this.#target[i]] = this.#sign[i] * value + this.#offset[i];
      }
    }
    this.heard = true;
    this.#refusedInRow = 0;
    this.stamp[0] = stamp[0];
    this.stamp[1] = stamp[1];
    const arrival = times[MONOTONIC];
    const measured = !this.#stamped ? arrival : stamp[0] + stamp[1] * 1e-9 - times[OFFSET];
    this.newest[0] = Math.min(measured, arrival);
    if (this.newest[0] < this.#before[0]) this.late++;
    this.#counters[COUNTERS.stamp] = this.newest[0];
    this.#counters[COUNTERS.arrival] = arrival;
  }
}

/** One of a joint's numbers: where it is among the decoder's values, and how the robot counts it. */
interface Measurement {
  joint: string;
  kind: 'position' | 'velocity';
  source: number;
  sign: number;
  offset: number;
}

function decoderOf(
  task: TaskInterface,
  sensor: SensorTopic,
): { decoder: Decoder; measurements: Measurement[] } {
  if (sensor.type === 'sensor_msgs/msg/JointState') {
    const { joints } = sensor;
    return {
      decoder: new JointStateDecoder(
        joints.map(({ joint, name }) => ({ name, ...neededMeasurements(task, joint), effort: false })),
      ),
      measurements: (['position', 'velocity'] as const).flatMap((kind, k) =>
        joints.map((entry, i) => ({ ...entry, kind, source: k * joints.length + i })),
      ),
    };
  }
  const measurements = sensor.joints.flatMap((entry) =>
    (['position', 'velocity'] as const).flatMap((kind) => {
      const field = entry[kind];
      return field === undefined ? [] : [{ ...entry, kind, field }];
    }),
  );
  const type = sensor.type === 'sensor_msgs/msg/Imu' ? 'Imu' : 'Odometry';
  return {
    decoder: new BodyDecoder(
      type,
      measurements.map(({ field }) => field),
    ),
    measurements: measurements.map((entry, source) => ({ ...entry, source })),
  };
}
