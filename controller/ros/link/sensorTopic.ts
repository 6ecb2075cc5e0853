// One sensor topic as the loop reads it: decodes what arrives, refuses what cannot be used, and counts both.
import { SENSOR } from '../../../contract/robot.js';
import { jointsOf, type TaskInterface } from '../../../contract/terms.js';
import { type MessageClock, MONOTONIC, OFFSET } from '../rcl/rosClock.js';
import { BodyDecoder } from './bodyDecoder.js';
import type { Inbox } from './endpoints.js';
import { JointStateDecoder } from './jointStateDecoder.js';
import { PublisherWatch } from './publisherWatch.js';
import { DECODE, DECODED, type SensorDecoder } from './readMessages.js';
import { neededMeasurements, type SensorTopic } from './robotMap.js';

/** What became of a message, by its first flaw; those of DECODED first, at the same places. */
export const REFUSALS = [...DECODED, 'duplicate', 'out of order', 'stamp in the future'] as const;
const DUPLICATE = DECODED.length;
const OUT_OF_ORDER = DECODED.length + 1;
const FUTURE = DECODED.length + 2;

/**
 * What a topic leaves for other threads, doubles. Times are seconds of CLOCK_MONOTONIC, 0 before the first; a joint is
 * its place among the topic's in the map.
 */
export const COUNTERS = {
  received: 0,
  /** When the joint that is furthest behind was measured; 0 until all that are needed were heard. */
  stamp: 1,
  /** When the newest message that was used came. */
  arrival: 2,
  /** The joint that is furthest behind, one that was not heard before all others. */
  behind: 3,
  /** Messages that show that a joint has more than one publisher, when the newest came, and which joint that is. */
  contests: 4,
  contestedAt: 5,
  contested: 6,
  /** One for each of REFUSALS: the first counts the messages that were used, the second those about other joints. */
  refusals: 7,
  length: 7 + REFUSALS.length,
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
 * `drain` takes what waits, at most the queue's depth, and writes the measurements into the sensor cell. The joints of
 * a JointState may come in messages of several drivers: each joint has an age and an order of its own.
 *
 * A message that is not finite or out of order is refused. When the sensor sends nothing else any more, one is let
 * through, so that the envelope stops the robot for what is wrong instead of for stale sensors.
 */
export class SensorTopicReader {
  /** Stamp of what is furthest behind of what is needed: seconds of CLOCK_MONOTONIC; its arrival where stamps do not count. */
  readonly newest = new Float64Array(1);
  /** Stamp of the message used last, as it was sent: seconds and nanoseconds. */
  readonly stamp = new Int32Array(2);
  /** Everything that is needed was heard. */
  heard = false;
  /** Messages used that came after a reading before whose time they are stamped. */
  late = 0;
  /** The messages of the last reading show that somebody else measures the same. */
  contested = false;
  readonly #inbox: Inbox;
  readonly #decoder: SensorDecoder;
  readonly #clock: MessageClock;
  readonly #before: Float64Array;
  readonly #counters: Float64Array;
  readonly #timeout: number;
  readonly #stamped: boolean;
  /** For each measurement: its place in the decoder's values and in the sensor cell, how to convert it, if it must be, its part. */
  readonly #source: Int32Array;
  readonly #target: Int32Array;
  readonly #sign: Float64Array;
  readonly #offset: Float64Array;
  readonly #needed: Uint8Array;
  readonly #partOf: Int32Array;
  /** For each part of the topic (see `SensorDecoder`): if it dates the whole, and its newest message. */
  readonly #dates: Uint8Array;
  readonly #heard: Uint8Array;
  readonly #stamps: Int32Array;
  readonly #measured: Float64Array;
  readonly #arrived: Float64Array;
  readonly #refusedInRow: Int32Array;
  /** Whether messages have an order to keep; not before the first, and not after the system's clock was set. */
  readonly #ordered: Uint8Array;
  /** What of the present message is used. */
  readonly #used: Uint8Array;
  readonly #publishers: PublisherWatch;
  #steps: number;

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
    this.#partOf = Int32Array.from(measurements, ({ part }) => part);
    const parts = decoder.found.length;
    this.#dates = new Uint8Array(parts);
    for (let i = 0; i < measurements.length; i++) this.#dates[this.#partOf[i]] |= this.#needed[i];
    // A topic of which nothing is needed must be heard all the same.
    if (!this.#dates.includes(1)) this.#dates.fill(1);
    this.#heard = new Uint8Array(parts);
    this.#stamps = new Int32Array(2 * parts);
    this.#measured = new Float64Array(parts).fill(Number.NEGATIVE_INFINITY);
    this.#arrived = new Float64Array(parts);
    this.#refusedInRow = new Int32Array(parts);
    this.#ordered = new Uint8Array(parts);
    this.#used = new Uint8Array(parts);
    this.#publishers = new PublisherWatch(parts);
    counters[COUNTERS.behind] = this.#dates.indexOf(1);
  }

  drain(cell: Float64Array): void {
    const inbox = this.#inbox;
    const counters = this.#counters;
    this.contested = false;
    let used = false;
    for (let i = 0; i < inbox.depth; i++) {
      const length = inbox.take();
      if (length === 0) break;
      counters[COUNTERS.received]++;
      counters[COUNTERS.refusals + this.#judge(length)]++;
      if (this.#used.includes(1)) {
        this.#use(cell);
        used = true;
      }
    }
    if (used) this.#date();
  }

  /** Decodes the message in the inbox, sets what of it is used, and returns what is wrong with it, an index in REFUSALS. */
  #judge(length: number): number {
    const { found, stamp } = this.#decoder;
    const used = this.#used.fill(0);
    const result = this.#decoder.decode(this.#inbox.view, length);
    if (result === DECODE.malformed || result === DECODE['other joints']) return result;
    this.#watchPublisher();
    if (result === DECODE.decoded && this.#stamped) {
      const { times, steps } = this.#clock;
      const monotonic = stamp[0] + stamp[1] * 1e-9 - times[OFFSET];
      if (monotonic > times[MONOTONIC] + PERSISTENT.share * this.#timeout) return FUTURE;
      // After the system's clock was set, stamps begin anew.
      if (steps !== this.#steps) this.#ordered.fill(0);
      this.#steps = steps;
    }
    let worst: number = DECODE.decoded;
    let inOrder = false;
    for (let part = 0; part < used.length; part++) {
      if (found[part] === 0) continue;
      const flaw = result === DECODE.decoded && this.#stamped ? this.#order(part) : result;
      if (flaw === DECODE.decoded) inOrder = true;
      if (flaw > worst) worst = flaw;
      if (flaw === DECODE.decoded || this.#persists(part, flaw)) used[part] = 1;
    }
    return inOrder ? DECODE.decoded : worst;
  }

  #watchPublisher(): void {
    const { found } = this.#decoder;
    const { times } = this.#clock;
    const counters = this.#counters;
    for (let part = 0; part < found.length; part++) {
      if (found[part] === 0 || !this.#publishers.hear(part, this.#inbox.publisher, times)) continue;
      this.contested = true;
      counters[COUNTERS.contests]++;
      counters[COUNTERS.contestedAt] = times[MONOTONIC];
      counters[COUNTERS.contested] = part;
    }
  }

  /** Whether the message is newer than the last of this part: an index in REFUSALS. */
  #order(part: number): number {
    if (this.#ordered[part] === 0) return DECODE.decoded;
    const { stamp } = this.#decoder;
    const later = stamp[0] - this.#stamps[2 * part];
    if (later > 0) return DECODE.decoded;
    if (later < 0) return OUT_OF_ORDER;
    const nanoseconds = this.#stamps[2 * part + 1];
    if (stamp[1] > nanoseconds) return DECODE.decoded;
    return stamp[1] === nanoseconds ? DUPLICATE : OUT_OF_ORDER;
  }

  /** Whether messages refused for this are by now all that the sensor sends of a part. */
  #persists(part: number, flaw: number): boolean {
    this.#refusedInRow[part]++;
    return (
      this.#heard[part] === 1 &&
      (flaw === DECODE['not finite'] || flaw === OUT_OF_ORDER) &&
      this.#refusedInRow[part] >= PERSISTENT.messages &&
      this.#clock.times[MONOTONIC] - this.#arrived[part] > PERSISTENT.share * this.#timeout
    );
  }

  /** Writes the decoded message's measurements that are used into the cell. */
  #use(cell: Float64Array): void {
    const { values, stamp } = this.#decoder;
    const { times } = this.#clock;
    const used = this.#used;
    for (let i = 0; i < this.#source.length; i++) {
      if (used[this.#partOf[i]] === 0) continue;
      const value = values[this.#source[i]];
      if (this.#needed[i] === 1 || Number.isFinite(value)) {
        cell[this.#target[i]] = this.#sign[i] * value + this.#offset[i];
      }
    }
    this.stamp[0] = stamp[0];
    this.stamp[1] = stamp[1];
    const arrival = times[MONOTONIC];
    const sent = this.#stamped ? stamp[0] + stamp[1] * 1e-9 - times[OFFSET] : arrival;
    const measured = Math.min(sent, arrival);
    for (let part = 0; part < used.length; part++) {
      if (used[part] === 0) continue;
      this.#heard[part] = 1;
      this.#ordered[part] = 1;
      this.#refusedInRow[part] = 0;
      this.#stamps[2 * part] = stamp[0];
      this.#stamps[2 * part + 1] = stamp[1];
      this.#measured[part] = measured;
      this.#arrived[part] = arrival;
    }
    if (measured < this.#before[0]) this.late++;
    this.#counters[COUNTERS.arrival] = arrival;
  }

  /** Finds what is furthest behind. */
  #date(): void {
    const measured = this.#measured;
    let behind = -1;
    for (let part = 0; part < measured.length; part++) {
      if (this.#dates[part] === 1 && (behind < 0 || measured[part] < measured[behind])) behind = part;
    }
    this.heard = this.#heard[behind] === 1;
    this.newest[0] = measured[behind];
    this.#counters[COUNTERS.behind] = behind;
    if (this.heard) this.#counters[COUNTERS.stamp] = measured[behind];
  }
}

/** One of a joint's numbers: where it is among the decoder's values, and how the robot counts it. */
interface Measurement {
  joint: string;
  kind: 'position' | 'velocity';
  source: number;
  /** The part of the topic that it belongs to. */
  part: number;
  sign: number;
  offset: number;
}

function decoderOf(
  task: TaskInterface,
  sensor: SensorTopic,
): { decoder: SensorDecoder; measurements: Measurement[] } {
  if (sensor.type === 'sensor_msgs/msg/JointState') {
    const { joints } = sensor;
    return {
      decoder: new JointStateDecoder(
        joints.map(({ joint, name }) => ({ name, ...neededMeasurements(task, joint), effort: false })),
        'some',
      ),
      measurements: (['position', 'velocity'] as const).flatMap((kind, k) =>
        joints.map((entry, i) => ({ ...entry, kind, source: k * joints.length + i, part: i })),
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
    measurements: measurements.map((entry, source) => ({ ...entry, source, part: 0 })),
  };
}
