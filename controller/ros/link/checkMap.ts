// What keeps a robot map from carrying a policy, and from reaching the robot: everything at once, in sentences.
import { type ActionTerm, jointsOf, type TaskInterface } from '../../../contract/terms.js';
import { type CommandTopic, neededMeasurements, type RobotMap, type SensorTopic } from './robotMap.js';

/** Measurements that a sensor topic is mapped to. */
function suppliedMeasurements(sensor: SensorTopic) {
  return sensor.joints.flatMap((entry) => {
    const named = 'name' in entry;
    const supplied = [];
    if (named || entry.position !== undefined)
      supplied.push({ joint: entry.joint, kind: 'position' as const });
    if (named || entry.velocity !== undefined)
      supplied.push({ joint: entry.joint, kind: 'velocity' as const });
    return supplied;
  });
}

/** What the network shows of a topic of the map. */
export interface SeenTopic {
  /** Its name after expansion and remapping. */
  topic: string;
  /** Types that it has on the network, that of the map among them. */
  types: string[];
  /** Publishers or subscriptions that ours is connected with. */
  matched: number;
  /** What of the QoS of somebody there does not fit, if that is known. */
  conflict?: string;
  /** The joints that its JointStates named; undefined when none came. */
  names?: string[];
}
/** The map's topics as the network shows them, in the map's order. */
export interface SeenTopics {
  sensors: SeenTopic[];
  commands: SeenTopic[];
  /** The name of the emergency stop's topic, after expansion and remapping. */
  emergencyStop?: string;
}

/**
 * Everything that keeps `map` from carrying `task`, one sentence each, and, with what was `seen` on the network, from
 * reaching the robot. Empty when nothing does.
 */
export function checkMap(task: TaskInterface, map: RobotMap, seen?: SeenTopics): string[] {
  const wrong = [
    ...checkSensors(task, map.sensors),
    ...checkCommands(task.action, map.commands),
    ...checkShared(map, seen),
  ];
  if (!seen) return wrong;
  map.sensors.forEach((sensor, i) => {
    wrong.push(...checkSeen(sensor, seen.sensors[i], 'published by nobody', 'publishers'));
    const names = seen.sensors[i].names;
    if (names === undefined) return;
    const absent = sensor.joints.flatMap((entry) =>
      'name' in entry && !names.includes(entry.name as string) ? [`'${entry.name}'`] : [],
    );
    if (absent.length > 0) {
      wrong.push(
        `topic ${seen.sensors[i].topic} does not name joint ${absent.join(', ')}; it names ${names.join(', ')}`,
      );
    }
  });
  map.commands.forEach((command, i) => {
    wrong.push(...checkSeen(command, seen.commands[i], 'heard by nobody', 'subscriptions'));
  });
  return wrong;
}

function checkSeen(
  mapped: SensorTopic | CommandTopic,
  { topic: name, types, matched, conflict }: SeenTopic,
  alone: string,
  others: string,
): string[] {
  if (matched > 0) return [];
  const other = types.filter((type) => type !== mapped.type);
  if (other.length > 0) {
    return [`topic ${name} is ${other.join(' and ')} on the network, ${mapped.type} in the map`];
  }
  const { reliability, durability } = mapped.qos;
  const found = conflict
    ? `has ${others} whose ${conflict} does`
    : `is ${alone}, or by ${others} whose QoS does`;
  return [`topic ${name} ${found} not fit ${reliability}, ${durability} (see: ros2 topic info -v ${name})`];
}

function checkSensors(task: TaskInterface, sensors: readonly SensorTopic[]): string[] {
  const wrong: string[] = [];
  const joints = jointsOf(task);
  const sources = new Map<string, string[]>();
  for (const sensor of sensors) {
    for (const { joint, kind } of suppliedMeasurements(sensor)) {
      if (!joints.includes(joint)) {
        wrong.push(
          `topic ${sensor.topic}: joint '${joint}' is not one of the policy's (${joints.join(', ')})`,
        );
      }
      const key = `${kind} of joint '${joint}'`;
      sources.set(key, [...(sources.get(key) ?? []), sensor.topic]);
    }
  }
  for (const joint of joints) {
    const needed = neededMeasurements(task, joint);
    for (const kind of ['position', 'velocity'] as const) {
      const found = sources.get(`${kind} of joint '${joint}'`) ?? [];
      if (needed[kind] && found.length === 0) wrong.push(`no topic carries the ${kind} of joint '${joint}'`);
      if (found.length > 1) wrong.push(`the ${kind} of joint '${joint}' comes from ${found.join(' and ')}`);
    }
  }
  return [...new Set(wrong)];
}

function checkCommands(action: readonly ActionTerm[], commands: readonly CommandTopic[]): string[] {
  const wrong: string[] = [];
  const commanded = commands.flatMap(({ joints }) => joints.map(({ joint }) => joint));
  for (const { joint } of action) {
    const times = commanded.filter((name) => name === joint).length;
    if (times === 0) wrong.push(`no topic carries the command of joint '${joint}'`);
    if (times > 1) wrong.push(`the command of joint '${joint}' goes to ${times} places`);
  }
  for (const { topic: name, type, joints, gains } of commands) {
    const kinds = new Set<string>();
    for (const { joint } of joints) {
      const term = action.find((candidate) => candidate.joint === joint);
      if (term) kinds.add(term.kind);
      else wrong.push(`topic ${name}: the policy does not command joint '${joint}'`);
    }
    if (kinds.size > 1) wrong.push(`topic ${name}: mixes ${[...kinds].join(' and ')}; give each a topic`);
    if (gains && (type !== 'std_msgs/msg/Float64MultiArray' || !kinds.has('position'))) {
      wrong.push(`topic ${name}: gains go with positions in a std_msgs/msg/Float64MultiArray`);
    }
  }
  return wrong;
}

/** Whatever two entries of the map may not have in common, by the topics' names on the network if they are known. */
function checkShared(map: RobotMap, seen: SeenTopics | undefined): string[] {
  const wrong: string[] = [];
  const sensors = map.sensors.map(({ topic }, i) => seen?.sensors[i].topic ?? topic);
  const commands = map.commands.map(({ topic }, i) => seen?.commands[i].topic ?? topic);
  const stop = seen?.emergencyStop ?? map.emergencyStop?.topic;
  for (const topic of new Set(commands)) {
    if (sensors.includes(topic))
      wrong.push(`topic ${topic} is a sensor's and a command's: the policy would hear itself`);
  }
  if (stop !== undefined && sensors.includes(stop))
    wrong.push(`topic ${stop} is the emergency stop's and a sensor's`);
  if (stop !== undefined && commands.includes(stop))
    wrong.push(`topic ${stop} is the emergency stop's and a command's`);

  const read = map.sensors.flatMap((sensor, i) =>
    sensor.joints.flatMap((entry) => {
      const names = 'name' in entry ? [entry.name] : [entry.position, entry.velocity];
      return names.map((name) => ({ joint: entry.joint, topic: sensors[i], name }));
    }),
  );
  const written = map.commands.flatMap(({ type, joints }, i) =>
    // An array has no names.
    type === 'std_msgs/msg/Float64MultiArray'
      ? []
      : joints.map((entry) => ({ ...entry, topic: commands[i] })),
  );
  for (const [what, places] of [
    ['read from', read],
    ['commanded as', written],
  ] as const) {
    places.forEach(({ joint, topic, name }, i) => {
      const first = places.slice(0, i).find((other) => other.topic === topic && other.name === name);
      if (first && name !== undefined && first.joint !== joint)
        wrong.push(`joints '${first.joint}' and '${joint}' are both ${what} '${name}' of topic ${topic}`);
    });
  }
  map.commands.forEach(({ type }, i) => {
    if (type === 'std_msgs/msg/Float64MultiArray' && commands.indexOf(commands[i]) !== i)
      wrong.push(`topic ${commands[i]} has two entries: a ${type} takes all its joints in one`);
  });
  return wrong;
}
