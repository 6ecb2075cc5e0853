// The topics of a robot map, opened on a node.
import type { RosNode } from '../rcl/rcl.js';
import { offeredQos } from './commandTopic.js';
import type { Inbox, Outbox } from './endpoints.js';
import type { RobotMap } from './robotMap.js';

/** The topics of a map, in its order, opened. */
export interface OpenTopics {
  sensors: Inbox[];
  commands: Outbox[];
  episodes?: { resets: Inbox; terminations: Inbox };
}

/** Opens the topics of `map`, for `rateHz` ticks a second, on `node`. Throws a `FarsightError` that names the topic which does not open. */
export function openTopics(node: RosNode, map: RobotMap, rateHz: number): OpenTopics {
  const latched = { reliability: 'reliable', durability: 'transientLocal', depth: 1 } as const;
  const event = (topic: string) => node.subscription(topic, 'std_msgs/msg/Header', latched);
  const { sensors, commands, episodes } = map;
  return {
    sensors: sensors.map(({ topic, type, qos }) => node.subscription(topic, type, qos)),
    commands: commands.map((command) =>
      node.publisher(command.topic, command.type, offeredQos(command, rateHz)),
    ),
    episodes: episodes && { resets: event(episodes.resets), terminations: event(episodes.terminations) },
  };
}
