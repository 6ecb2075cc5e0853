// What the loop's thread calls to be linked with a robot on ROS 2, for good and for its rehearsals.
import type { TaskInterface } from '../../../contract/terms.js';
import { withRealtimeThreads } from '../rcl/middlewareThreads.js';
import { RosNode, type RosNodeOptions } from '../rcl/rcl.js';
import { RosClock } from '../rcl/rosClock.js';
import { linkCounters } from './linkState.js';
import { openTopics } from './openTopics.js';
import { type RosRehearsal, rosRehearsal } from './rehearsal.js';
import type { RobotMap } from './robotMap.js';
import { type RosLink, rosLink } from './rosLink.js';

/** Of what another thread may send with a worker's data. */
export interface RosLinkOptions {
  node: RosNodeOptions;
  map: RobotMap;
  /** As `linkCounters(map)` makes them. */
  counters: Float64Array;
}

export interface OpenRosLink {
  link: RosLink;
  /**
   * A link of the same making for a rehearsal of the loop; `task` and `words` are the rehearsal's own. All of them are
   * on one node, which `endRehearsals` takes away.
   */
  rehearse(task: TaskInterface, rateHz: number, words: Int32Array): RosRehearsal;
  endRehearsals(): void;
  /** Names of the command topics after expansion and remapping. */
  commandTopics: string[];
  /** What the system did not grant, one sentence each. */
  notes: string[];
  release(): void;
}

/**
 * Opens the robot's topics on the calling thread, which alone may use them. `realtime`: give the middleware's threads
 * real-time priority below the loop's. Throws a `FarsightError` when ROS 2 is not sourced or refuses something.
 */
export function openRosLink(
  { node: options, map, counters }: RosLinkOptions,
  task: TaskInterface,
  rateHz: number,
  words: Int32Array,
  realtime: boolean,
): OpenRosLink {
  const open = () => {
    const node = new RosNode(options);
    try {
      return { node, topics: openTopics(node, map, rateHz) };
    } catch (error) {
      node.release();
      throw error;
    }
  };
  const { made, refused } = realtime ? withRealtimeThreads(open) : { made: open(), refused: 0 };
  const { node, topics } = made;
  const parts = { map, clock: new RosClock() };
  let rehearsals: RosNode | undefined;
  return {
    link: rosLink({ ...parts, task, rateHz, words, counters, topics }),
    rehearse(rehearsed, rate, rehearsedWords) {
      // No two processes rehearse on the same topics.
      rehearsals ??= new RosNode({ name: `${options.name}_rehearsal_${process.pid}` });
      return rosRehearsal(rehearsals, {
        ...parts,
        task: rehearsed,
        rateHz: rate,
        words: rehearsedWords,
        counters: linkCounters(map),
      });
    },
    endRehearsals() {
      rehearsals?.release();
      rehearsals = undefined;
    },
    commandTopics: map.commands.map(({ topic }) => node.resolve(topic)),
    notes:
      refused > 0
        ? [
            `${refused} of the ROS middleware's threads have no real-time priority: give the user rtprio in /etc/security/limits.d`,
          ]
        : [],
    release() {
      rehearsals?.release();
      node.release();
    },
  };
}
