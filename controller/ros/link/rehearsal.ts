// A link like the loop's own, on hidden topics and fed by itself: the loop rehearses its code through the real middleware.
import type { RosNode } from '../rcl/rcl.js';
import { openTopics } from './openTopics.js';
import { type RobotMap, robotMapSchema, type SensorTopic } from './robotMap.js';
import { type RosLink, type RosLinkParts, rosLink } from './rosLink.js';
import { bodyMessage, jointState, type OutgoingMessage, setFloat64, setStamp } from './writeMessages.js';

export interface RosRehearsal {
  link: RosLink;
  /** Publishes a new message on every sensor topic; what a JointState measures is `value` throughout. */
  sense(value: number): void;
}

const RELIABLE = { reliability: 'reliable', durability: 'volatile', depth: 8 } as const;
let rehearsals = 0;

/** Belongs to `node`, which also takes it off the network: give it a node of its own. */
export function rosRehearsal(node: RosNode, parts: Omit<RosLinkParts, 'topics'>): RosRehearsal {
  const { clock } = parts;
  // Hidden from `ros2 topic list`, and no two alike.
  const prefix = `~/_rehearsal${rehearsals++}`;
  const hidden = <Entry>(entries: Entry[], name: string) =>
    entries.map((entry, i) => ({ ...entry, topic: `${prefix}/${name}${i}`, qos: RELIABLE }));
  const map: RobotMap = robotMapSchema.parse({
    sensors: hidden(parts.map.sensors, 'sensor').map((sensor) => ({
      ...sensor,
      joints: Object.fromEntries(sensor.joints.map(({ joint, ...rest }) => [joint, rest])),
    })),
    commands: hidden(parts.map.commands, 'command').map((command) => ({
      ...command,
      joints: Object.fromEntries(command.joints.map(({ joint, ...rest }) => [joint, rest])),
    })),
  });
  const link = rosLink({ ...parts, map, topics: openTopics(node, map, parts.rateHz) });
  const publishers = map.sensors.map(({ topic, type }) => node.publisher(topic, type, RELIABLE));
  const messages = map.sensors.map(atRest);
  return {
    link,
    sense(value) {
      clock.read();
      for (let i = 0; i < messages.length; i++) {
        const { message, starts, count } = messages[i];
        setStamp(message, clock.stamp[0], clock.stamp[1]);
        for (let k = 0; k < starts.length; k++) {
          for (let joint = 0; joint < count; joint++) setFloat64(message, starts[k], joint, value);
        }
        publishers[i].publish(message.bytes);
      }
    },
  };
}

/** A message of a robot that is upright, at zero and still; `starts`: its vectors of `count` joints. */
function atRest(sensor: SensorTopic): { message: OutgoingMessage; starts: number[]; count: number } {
  if (sensor.type === 'sensor_msgs/msg/JointState') {
    const names = sensor.joints.map(({ name }) => name);
    const message = jointState(names, ['position', 'velocity']);
    return { message, starts: [message.position, message.velocity], count: names.length };
  }
  return {
    message: bodyMessage(sensor.type === 'sensor_msgs/msg/Imu' ? 'Imu' : 'Odometry'),
    starts: [],
    count: 0,
  };
}
