// The loop's link to a robot on ROS 2: topics read and written by the loop's own thread, in its own tick.
import { FAULTS, WORD } from '../../contract/loop.js';
import { COMMAND, SENSOR } from '../../contract/robot.js';
import { jointsOf, type TaskInterface } from '../../contract/terms.js';
import { MODE } from '../modes.js';
import { CdrReader } from './cdr.js';
import { COMMAND_COUNTERS, CommandTopicWriter, type Outbox, offeredQos } from './commandTopic.js';
import { PeerWatch } from './peerWatch.js';
import { CONTEST } from './publisherWatch.js';
import type { RosNode } from './rcl.js';
import { readBool } from './readMessages.js';
import { type RobotMap, secondPublisher } from './robotMap.js';
import { type MessageClock, MONOTONIC } from './rosClock.js';
import { COUNTERS, type Inbox, REFUSALS, SensorTopicReader } from './sensorTopic.js';

const HEARTBEAT_LOST = FAULTS.indexOf('heartbeat lost');
const SECOND_PUBLISHER = FAULTS.indexOf('second publisher');
const NOT_SENT = FAULTS.indexOf('commands not sent');
/** Seconds for which no command may fail to be sent while the policy acts. */
const LONGEST_FAILURE = 0.1;
/** Seconds for which a command that was not sent is news. */
const RECENT = 1;

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

/** Shared memory for what a link of `map` counts. */
export function linkCounters(map: RobotMap): Float64Array {
  const doubles = COUNTERS.length * map.sensors.length + COMMAND_COUNTERS.length * map.commands.length;
  return new Float64Array(new SharedArrayBuffer(8 * doubles));
}

/** What is whose of a link's counters: COUNTERS of each sensor topic, COMMAND_COUNTERS of each command topic. */
function countersOf(map: RobotMap, counters: Float64Array) {
  let end = 0;
  const next = (length: number) => {
    end += length;
    return counters.subarray(end - length, end);
  };
  return {
    sensors: map.sensors.map(() => next(COUNTERS.length)),
    commands: map.commands.map(() => next(COMMAND_COUNTERS.length)),
  };
}

/**
 * The sensors' half. `read` returns a cell laid out as SENSOR says, whose stamp is that of the joint that is furthest
 * behind. Its stamp stays 0 until every joint was heard, and the emergency stop too if that has a timeout.
 */
export class RosSensors {
  readonly #cell: Float64Array;
  readonly #readers: SensorTopicReader[];
  readonly #clock: MessageClock;
  readonly #peers: PeerWatch;
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
    const rows = countersOf(map, counters);
    this.#peers = new PeerWatch(topics.commands, rows.commands, clock);
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
          counters: rows.sensors[i],
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
    this.#peers.look();
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
  /** Of each topic, and since when nothing was sent on it, 0 where something was. */
  readonly #counters: readonly Float64Array[];
  readonly #failingSince: Float64Array;
  readonly #clock: MessageClock;
  readonly #words: Int32Array;
  readonly #sensors: RosSensors;

  constructor({ task, map, topics, rateHz, words, counters, clock }: RosLinkParts, sensors: RosSensors) {
    this.#sensors = sensors;
    this.writable = new Float64Array(COMMAND.vectors + task.action.length);
    this.#writers = map.commands.map(
      (command, i) => new CommandTopicWriter(task, command, 1 / rateHz, topics.commands[i], clock),
    );
    this.#counters = countersOf(map, counters).commands;
    this.#failingSince = new Float64Array(this.#writers.length);
    this.#clock = clock;
    this.#words = words;
  }

  publish(): void {
    const writers = this.#writers;
    for (let i = 0; i < writers.length; i++) {
      if (writers[i].keepsPosition && !this.#sensors.heard) continue;
      const row = this.#counters[i];
      if (writers[i].send(this.writable)) {
        row[COMMAND_COUNTERS.sent]++;
        this.#failingSince[i] = 0;
      } else this.#fail(row, i);
    }
  }

  #fail(row: Float64Array, i: number): void {
    const now = this.#clock.times[MONOTONIC];
    row[COMMAND_COUNTERS.failed]++;
    row[COMMAND_COUNTERS.failedAt] = now;
    if (this.#failingSince[i] === 0) this.#failingSince[i] = now;
    if (now - this.#failingSince[i] >= LONGEST_FAILURE && this.writable[COMMAND.mode] === MODE.policy) {
      Atomics.store(this.#words, WORD.trip, NOT_SENT);
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

/** Opens the topics of `map`, for `rateHz` ticks a second, on `node`. Throws a `FarsightError` that names the topic which does not open. */
export function openTopics(node: RosNode, map: RobotMap, rateHz: number): OpenTopics {
  const latched = { reliability: 'reliable', durability: 'transientLocal', depth: 1 } as const;
  const event = (topic: string) => node.subscription(topic, 'std_msgs/msg/Header', latched);
  const { sensors, commands, emergencyStop, episodes } = map;
  return {
    sensors: sensors.map(({ topic, type, qos }) => node.subscription(topic, type, qos)),
    commands: commands.map((command) =>
      node.publisher(command.topic, command.type, offeredQos(command, rateHz)),
    ),
    emergencyStop:
      emergencyStop && node.subscription(emergencyStop.topic, 'std_msgs/msg/Bool', emergencyStop.qos),
    episodes: episodes && { resets: event(episodes.resets), terminations: event(episodes.terminations) },
  };
}

/** What the counters say of each sensor topic at `now`, seconds of CLOCK_MONOTONIC; ages are null before the first. */
export function sensorStates(map: RobotMap, counters: Float64Array, now: number) {
  const rows = countersOf(map, counters).sensors;
  return map.sensors.map((sensor, i) => {
    const row = rows[i];
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

/** What the counters say of each command topic at `now`, seconds of CLOCK_MONOTONIC. */
export function commandStates(map: RobotMap, counters: Float64Array, now: number) {
  const rows = countersOf(map, counters).commands;
  return map.commands.map(({ topic }, i) => {
    const row = rows[i];
    const failedAt = row[COMMAND_COUNTERS.failedAt];
    const listeners = row[COMMAND_COUNTERS.listeners];
    return {
      topic,
      sent: row[COMMAND_COUNTERS.sent],
      failed: row[COMMAND_COUNTERS.failed],
      failing: failedAt > 0 && now - failedAt < RECENT,
      listeners: listeners < 0 ? null : listeners,
    };
  });
}
