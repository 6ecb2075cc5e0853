// A look at the network before the loop starts: who publishes and hears the robot map's topics, and which joints.
import { setTimeout as sleep } from 'node:timers/promises';
import { policyName } from '../rcl/qosConflicts.js';
import { type RawPublisher, type RawSubscription, RosNode, type RosNodeOptions } from '../rcl/rcl.js';
import type { SeenTopic, SeenTopics } from './checkMap.js';
import { offeredQos } from './commandTopic.js';
import { readJointNames } from './jointStateDecoder.js';
import type { RobotMap } from './robotMap.js';

/** Seconds between two looks. */
const INTERVAL = 0.02;

/**
 * Opens the map's topics on a node of its own, until every sensor topic has sent what the map reads from it and every
 * command topic has a listener, for at most `seconds`, and tells what it saw. `rateHz` is that of the commands to come. Nothing is published.
 */
export async function survey(
  map: RobotMap,
  options: RosNodeOptions,
  seconds: number,
  rateHz: number,
): Promise<SeenTopics> {
  const node = new RosNode(options);
  try {
    const sensors = map.sensors.map(({ topic, type, qos, joints }) => ({
      type,
      inbox: node.subscription(topic, type, qos),
      names: new Set<string>(),
      heard: false,
      wanted: joints.flatMap((joint) => ('name' in joint ? [joint.name] : [])),
    }));
    const commands = map.commands.map((command) =>
      node.publisher(command.topic, command.type, offeredQos(command, rateHz)),
    );
    for (let waited = 0; waited < seconds; waited += INTERVAL) {
      for (const sensor of sensors) {
        const { inbox, names } = sensor;
        for (let i = 0; i < inbox.depth; i++) {
          const length = inbox.take();
          if (length === 0) break;
          sensor.heard = true;
          if (sensor.type !== 'sensor_msgs/msg/JointState') continue;
          // Several drivers may each name some.
          for (const name of readJointNames(inbox.view, length) ?? []) names.add(name);
        }
      }
      const known = ({ heard, names, wanted }: (typeof sensors)[number]) =>
        heard && wanted.every((name) => names.has(name));
      if (sensors.every(known) && commands.every(({ matched }) => matched > 0)) break;
      await sleep(1000 * INTERVAL);
    }
    const types = node.topics();
    const seen = ({ topic, matched, conflicts }: RawPublisher | RawSubscription): SeenTopic => {
      conflicts.look();
      const conflict = conflicts.total > 0 ? policyName(conflicts.policy) : undefined;
      return { topic, matched, types: types.get(topic) ?? [], conflict };
    };
    return {
      sensors: sensors.map(({ inbox, names }) => ({
        ...seen(inbox),
        names: names.size > 0 ? [...names] : undefined,
      })),
      commands: commands.map(seen),
      emergencyStop: map.emergencyStop && node.resolve(map.emergencyStop.topic),
    };
  } finally {
    node.release();
  }
}
