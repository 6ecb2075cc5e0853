// The loop's link to a robot on ROS 2: topics read and written by the loop's own thread, in its own tick.
import { FAULTS, WORD } from '../../contract/loop.js';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { jointsOf, type TaskInterface } from '../../contract/terms.js';
import { MODE } from '../modes.js';
import { CdrReader } from './cdr.js';
import { CommandTopicWriter, type Outbox } from './commandTopic.js';
import { CONTEST } from './publisherWatch.js';
import type { RosNode } from './rcl.js';
import { readBool } from './readMessages.js';
import { type RobotMap, secondPublisher } from './robotMap.js';
import { type MessageClock, MONOTONIC } from './rosClock.js';
import { COUNTERS, type Inbox, REFUSALS, SensorTopicReader } from './sensorTopic.js';

const HEARTBEAT_LOST = FAULTS.indexOf('heartbeat lost');
const SECOND_PUBLISHER = FAULTS.indexOf('second publisher');

/** The topics of a map, in its order, opened. */
export interface OpenTopics {
  sensors: Inbox[];
  commands: Outbox[];
  emergencyStop?: Inbox;
  episodes?: { resets: Inbox; terminations: Inbox };
}

export interface RosLinkParts {
  task: TaskInterface;
  map: RobotMap;
  topics: OpenTopics;
  /** Ticks a second. */
  rateHz: number;
  words: Int32Array;
  /** As `linkCounters` makes them. */
  counters: Float64Array;
  clock: MessageClock;
}

/** Shared memory for what a link of `map` counts: COUNTERS for each sensor topic, then commands sent and not sent. */
export function linkCounters(map: RobotMap): Float64Array {
  return new Float64Array(new SharedArrayBuffer(8 * (COUNTERS.length * map.sensors.length + 2)));
}

/**
 * The sensors' half. `read` returns a cell laid out as SENSOR says, whose stamp is that of the joint that is furthest
 * behind. Its stamp stays 0 until every joint was heard, and the emergency stop too if that has a timeout.
 */
export class RosSensors {
  readonly #cell: Float64Array;
  readonly #readers: SensorTopicReader[];
  readonly #clock: MessageClock;
  readonly #words: Int32Array;
  readonly #othersAreFaults: boolean;
  readonly #emergencyStop: Inbox | undefined;
  readonly #stopTimeout: number;
  readonly #stopHeard = new Float64Array(1);
  /** When the topics were read before, seconds of CLOCK_MONOTONIC. */
  readonly #before = new Float64Array(1);
  readonly #resets: EventTopic | undefined;
  readonly #terminations: EventTopic | undefined;
  /** Everything was heard that must be. */
  heard = false;

  constructor({ task, map, topics, words, counters, clock }: RosLinkParts) {
    this.#cell = new Float64Array(SENSOR.vectors + 2 * jointsOf(task).length);
    this.#clock = clock;
    this.#words = words;
    this.#othersAreFaults = map.otherPublishers === 'fault';
    this.#readers = map.sensors.map(
      (sensor, i) =>
        new SensorTopicReader({
          task,
          sensor,
          inbox: topics.sensors[i],
          clock,
          before: this.#before,
          counters: counters.subarray(i * COUNTERS.length, (i + 1) * COUNTERS.length),
        }),
    );
    this.#emergencyStop = topics.emergencyStop;
    this.#stopTimeout = map.emergencyStop?.timeout ?? Infinity;
    if (topics.episodes) {
      this.#resets = new EventTopic(topics.episodes.resets);
      this.#terminations = new EventTopic(topics.episodes.terminations);
    }
  }

  read(): Float64Array {
    const cell = this.#cell;
    const readers = this.#readers;
    this.#clock.read();
    cell[SENSOR.late] = 0;
    let contested = false;
    for (let i = 0; i < readers.length; i++) {
      readers[i].drain(cell);
      cell[SENSOR.late] += readers[i].late;
      if (readers[i].contested) contested = true;
    }
    if (contested && this.#othersAreFaults && Atomics.load(this.#words, WORD.mode) === MODE.policy) {
      Atomics.store(this.#words, WORD.trip, SECOND_PUBLISHER);
    }
    this.#before[0] = this.#clock.times[MONOTONIC];
    // After the sensors: an event that comes early waits for its stamp, one that comes late would be marked late.
    this.#resets?.drain();
    this.#terminations?.drain();
    const allowed = this.#readEmergencyStop();
    if (!this.heard) {
      this.heard = allowed;
      for (let i = 0; i < readers.length; i++) if (!readers[i].heard) this.heard = false;
      if (!this.heard) return cell;
    }
    cell[SENSOR.stamp] = readers[0].newest[0];
    for (let i = 1; i < readers.length; i++) {
      if (readers[i].newest[0] < cell[SENSOR.stamp]) cell[SENSOR.stamp] = readers[i].newest[0];
    }
    if (this.#resets && this.#terminations) {
      if (this.#terminations.holdsAt(readers[0].stamp)) cell[SENSOR.terminal] = 1;
      if (this.#resets.holdsAt(readers[0].stamp)) {
        cell[SENSOR.resets]++;
        cell[SENSOR.terminal] = 0;
      }
    }
    return cell;
  }

  /** Stops the robot when the topic says so, or has been silent for too long; false until it was heard, if it must be. */
  #readEmergencyStop(): boolean {
    const inbox = this.#emergencyStop;
    if (!inbox) return true;
    const now = this.#clock.times[MONOTONIC];
    const heard = this.#stopHeard;
    for (let i = 0; i < inbox.depth; i++) {
      const length = inbox.take();
      if (length === 0) break;
      heard[0] = now;
      // Anything but a clear `false` stops the robot.
      if (readBool(inbox.view, length) !== 0) Atomics.store(this.#words, WORD.emergencyStop, 1);
    }
    if (heard[0] === 0) return this.#stopTimeout === Infinity;
    if (now - heard[0] > this.#stopTimeout) Atomics.store(this.#words, WORD.trip, HEARTBEAT_LOST);
    return true;
  }
}

/** Events by `std_msgs/msg/Header`: each holds from the sensor message with its stamp on. */
class EventTopic {
  readonly #inbox: Inbox;
  readonly #reader = new CdrReader();
  readonly #stamp = new Int32Array(2);
  #waiting = false;

  constructor(inbox: Inbox) {
    this.#inbox = inbox;
  }

  drain(): void {
    const reader = this.#reader;
    for (let i = 0; i < this.#inbox.depth; i++) {
      const length = this.#inbox.take();
      if (length === 0) return;
      reader.begin(this.#inbox.view, length);
      const seconds = reader.int32();
      const nanoseconds = reader.int32();
      reader.skipString();
      if (!reader.ended) continue;
      this.#stamp[0] = seconds;
      this.#stamp[1] = nanoseconds;
      this.#waiting = true;
    }
  }

  /** Whether an event begins to hold with the sensor message of this stamp; true once for each. */
  holdsAt(sensor: Int32Array): boolean {
    if (!this.#waiting) return false;
    const stamp = this.#stamp;
    if (sensor[0] < stamp[0] || (sensor[0] === stamp[0] && sensor[1] < stamp[1])) return false;
    this.#waiting = false;
    return true;
  }
}

/**
 * The commands' half: `publish` sends the cell `writable`, laid out as COMMAND says, to every command topic; positions
 * only once the robot was measured, as nobody knows before which are safe.
 */
export class RosCommands {
  readonly writable: Float64Array;
  readonly #writers: CommandTopicWriter[];
  readonly #counters: Float64Array;
  readonly #sensors: RosSensors;

  constructor({ task, map, topics, rateHz, counters, clock }: RosLinkParts, sensors: RosSensors) {
    this.#sensors = sensors;
    this.writable = new Float64Array(COMMAND.vectors + task.action.length);
    this.#writers = map.commands.map(
      (command, i) => new CommandTopicWriter(task, command, 1 / rateHz, topics.commands[i], clock),
    );
    this.#counters = counters.subarray(COUNTERS.length * map.sensors.length);
  }

  publish(): void {
    const writers = this.#writers;
    for (let i = 0; i < writers.length; i++) {
      if (writers[i].keepsPosition && !this.#sensors.heard) continue;
      this.#counters[writers[i].send(this.writable) ? 0 : 1]++;
    }
  }
}

/** Both halves: a `RobotLink`, as the loop takes it. */
export interface RosLink {
  sensors: RosSensors;
  commands: RosCommands;
}

export function rosLink(parts: RosLinkParts): RosLink {
  const sensors = new RosSensors(parts);
  return { sensors, commands: new RosCommands(parts, sensors) };
}

/** Opens the topics of `map` on `node`. Throws a `FarsightError` that names the topic which does not open. */
export function openTopics(node: RosNode, map: RobotMap): OpenTopics {
  const latched = { reliability: 'reliable', durability: 'transientLocal', depth: 1 } as const;
  const event = (topic: string) => node.subscription(topic, 'std_msgs/msg/Header', latched);
  const { sensors, commands, emergencyStop, episodes } = map;
  return {
    sensors: sensors.map(({ topic, type, qos }) => node.subscription(topic, type, qos)),
    commands: commands.map(({ topic, type, qos }) => node.publisher(topic, type, qos)),
    emergencyStop:
      emergencyStop && node.subscription(emergencyStop.topic, 'std_msgs/msg/Bool', emergencyStop.qos),
    episodes: episodes && { resets: event(episodes.resets), terminations: event(episodes.terminations) },
  };
}

/** What the counters say of each sensor topic at `now`, seconds of CLOCK_MONOTONIC; ages are null before the first. */
export function sensorStates(map: RobotMap, counters: Float64Array, now: number) {
  return map.sensors.map((sensor, i) => {
    const row = counters.subarray(i * COUNTERS.length, (i + 1) * COUNTERS.length);
    // This clock may have been read before the loop counted.
    const since = (time: number) => (time > 0 ? Math.max(0, now - time) : null);
    const joint = (place: number) =>
      sensor.type === 'sensor_msgs/msg/JointState' ? sensor.joints[place].joint : null;
    const [, others, ...refused] = row.subarray(COUNTERS.refusals);
    const contest = since(row[COUNTERS.contestedAt]);
    return {
      topic: sensor.topic,
      age: since(row[COUNTERS.stamp]),
      arrivalAge: since(row[COUNTERS.arrival]),
      behind: joint(row[COUNTERS.behind]),
      received: row[COUNTERS.received],
      others,
      refused: Object.fromEntries(REFUSALS.slice(2).map((reason, k) => [reason, refused[k]])),
      contested: {
        now: contest !== null && contest < CONTEST,
        joint: joint(row[COUNTERS.contested]),
        messages: row[COUNTERS.contests],
      },
    };
  });
}

/** What of the map's sensors somebody else publishes too at `now`, one sentence each; empty when nobody does. */
export function contestedSensors(map: RobotMap, counters: Float64Array, now: number): string[] {
  return sensorStates(map, counters, now)
    .filter(({ contested }) => contested.now)
    .map(({ topic, contested: { joint } }) => secondPublisher(topic, joint));
}
