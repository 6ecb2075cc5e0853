// The loop's link to a robot on ROS 2: topics read and written by the loop's own thread, in its own tick.
import { FAULTS, WORD } from '../../../contract/loop.js';
import { COMMAND, SENSOR } from '../../../contract/robot.js';
import { jointsOf, type TaskInterface } from '../../../contract/terms.js';
import { MODE } from '../../modes.js';
import { type MessageClock, MONOTONIC } from '../rcl/rosClock.js';
import { COMMAND_COUNTERS, CommandTopicWriter } from './commandTopic.js';
import { EventTopic } from './eventTopic.js';
import { countersOf } from './linkState.js';
import type { OpenTopics } from './openTopics.js';
import { PeerWatch } from './peerWatch.js';
import type { RobotMap } from './robotMap.js';
import { SensorTopicReader } from './sensorTopic.js';

const SECOND_PUBLISHER = FAULTS.indexOf('second publisher');
const NOT_SENT = FAULTS.indexOf('commands not sent');
/** Seconds for which no command may fail to be sent while the policy acts. */
const LONGEST_FAILURE = 0.1;

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

/**
 * The sensors' half. `read` returns a cell laid out as SENSOR says, whose stamp is that of the joint that is furthest
 * behind. Its stamp stays 0 until every joint was heard.
 */
export class RosSensors {
  readonly #cell: Float64Array;
  readonly #readers: SensorTopicReader[];
  readonly #clock: MessageClock;
  readonly #peers: PeerWatch;
  readonly #words: Int32Array;
  readonly #othersAreFaults: boolean;
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
    this.#peers = new PeerWatch(topics, rows, clock);
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
    if (!this.heard) {
      this.heard = true;
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
  readonly #period: number;
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
    this.#period = 1 / rateHz;
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
    // After a silence a failure is the first one again.
    const silent = now - row[COMMAND_COUNTERS.failedAt] > LONGEST_FAILURE + 2 * this.#period;
    if (this.#failingSince[i] === 0 || silent) this.#failingSince[i] = now;
    row[COMMAND_COUNTERS.failed]++;
    row[COMMAND_COUNTERS.failedAt] = now;
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
