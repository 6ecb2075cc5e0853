// What a link counts in memory that it shares with other threads, and what these make of it.

import { policyName } from '../rcl/qosConflicts.js';
import { COMMAND_COUNTERS } from './commandTopic.js';
import { CONFLICT_COUNTERS } from './peerWatch.js';
import { CONTEST } from './publisherWatch.js';
import { type RobotMap, secondPublisher } from './robotMap.js';
import { COUNTERS, REFUSALS } from './sensorTopic.js';

/** Seconds for which a command that was not sent is news. */
const RECENT = 1;

/** All topics of a map, in the order in which their peers are watched; undefined for those that it does not have. */
function topicsOf({ sensors, commands, episodes }: RobotMap) {
  return [
    ...sensors.map(({ topic }) => ({ topic, ours: 'subscription' as const })),
    ...commands.map(({ topic }) => ({ topic, ours: 'publisher' as const })),
    ...[episodes?.resets, episodes?.terminations].map(
      (topic) => topic && { topic, ours: 'subscription' as const },
    ),
  ];
}

/** Shared memory for what a link of `map` counts. */
export function linkCounters(map: RobotMap): Float64Array {
  const sensors = COUNTERS.length * map.sensors.length;
  const commands = COMMAND_COUNTERS.length * map.commands.length;
  const conflicts = CONFLICT_COUNTERS.length * topicsOf(map).length;
  return new Float64Array(new SharedArrayBuffer(8 * (sensors + commands + conflicts)));
}

/** What is whose of a link's counters: of each sensor topic, of each command topic, and of each of `topicsOf`. */
export function countersOf(map: RobotMap, counters: Float64Array) {
  let end = 0;
  const next = (length: number) => {
    end += length;
    return counters.subarray(end - length, end);
  };
  return {
    sensors: map.sensors.map(() => next(COUNTERS.length)),
    commands: map.commands.map(() => next(COMMAND_COUNTERS.length)),
    conflicts: topicsOf(map).map(() => next(CONFLICT_COUNTERS.length)),
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

/** Of which topics peers do not fit by their QoS, how many since the start, and by what the last one did not. */
export function conflictStates(map: RobotMap, counters: Float64Array) {
  const rows = countersOf(map, counters).conflicts;
  return topicsOf(map).flatMap((entry, i) => {
    const peers = rows[i][CONFLICT_COUNTERS.total];
    const policy = policyName(rows[i][CONFLICT_COUNTERS.policy]);
    return entry && peers > 0 ? [{ ...entry, peers, policy }] : [];
  });
}
