// The robot map: one YAML file that says which ROS topic carries which joint of the manifest, in and out.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { FarsightError, messageOf } from '../../../contract/errors.js';
import { type FreeJointNumber, freeJointNumber } from '../../../contract/freeJoint.js';
import { findingsOf } from '../../../contract/schemaErrors.js';
import { jointsOf, type TaskInterface } from '../../../contract/terms.js';
import { topicNameProblem } from '../rcl/topicNames.js';
import { bodyNumbers } from './bodyDecoder.js';

const topic = z.string().refine((name) => topicNameProblem(name) === undefined, {
  error: ({ input }) => `'${input}' is not the name of a ROS topic: ${topicNameProblem(input as string)}`,
});
const durability = z.enum(['volatile', 'transientLocal']).default('volatile');
const qosSchema = (reliability: 'reliable' | 'bestEffort', depth: number) =>
  z.strictObject({
    reliability: z.enum(['reliable', 'bestEffort']).default(reliability),
    durability,
    depth: z.int().min(1).max(256).default(depth),
  });
/** Longest deadline and lease, seconds: more is a slip of units. */
const LONGEST = 3600;

/** An entry whose `type` may leave out its folder: `std_msgs/Bool` is `std_msgs/msg/Bool`. */
const typed = <Schema extends z.ZodType>(schema: Schema) =>
  z.preprocess((entry) => {
    if (typeof entry !== 'object' || entry === null || !('type' in entry)) return entry;
    const { type } = entry;
    return { ...entry, type: typeof type === 'string' ? type.replace(/^(\w+)\/(\w+)$/, '$1/msg/$2') : type };
  }, schema);

/**
 * How the robot counts a joint: `ours = sign · theirs + offset` for a position (rad or m), `sign · theirs` for a
 * velocity or an effort; commands go the other way.
 */
const mounting = {
  sign: z.literal([1, -1]).default(1),
  offset: z.number().default(0),
};
/** Joints by their name in the manifest: a list, or an object that says more of each. */
const jointsSchema = <Shape extends z.core.$ZodShape>(shape: Shape) =>
  z
    .preprocess(
      (joints) =>
        Array.isArray(joints) && new Set(joints).size === joints.length
          ? Object.fromEntries(joints.map((joint) => [joint, null]))
          : joints,
      z.record(
        z.string(),
        z.preprocess((value) => value ?? {}, z.strictObject(shape)),
        {
          error: 'must be a list of different joints, or an object of joints',
        },
      ),
    )
    .refine((joints) => Object.keys(joints).length > 0, 'names no joint')
    .transform((joints) => Object.entries(joints).map(([joint, rest]) => ({ joint, ...rest })));
/** Joints whose messages have names: `name` is the joint's there, when it is not the manifest's. */
const namedJoints = jointsSchema({ name: z.string().min(1).optional(), ...mounting }).transform((joints) =>
  joints.map((entry) => ({ ...entry, name: entry.name ?? entry.joint })),
);
const bodyJoints = (fields: readonly string[]) =>
  jointsSchema({
    position: z.enum(fields).optional(),
    velocity: z.enum(fields).optional(),
    ...mounting,
  });

const sensor = {
  topic,
  /** `arrival`: the robot's stamps are not to be used (unset, or of a clock that is not set); age is by arrival. */
  stamp: z.enum(['header', 'arrival']).default('header'),
  qos: qosSchema('bestEffort', 32).prefault({}),
};
const sensorSchema = z.discriminatedUnion('type', [
  z.strictObject({ ...sensor, type: z.literal('sensor_msgs/msg/JointState'), joints: namedJoints }),
  z.strictObject({
    ...sensor,
    type: z.literal('sensor_msgs/msg/Imu'),
    joints: bodyJoints(bodyNumbers('Imu')),
  }),
  z.strictObject({
    ...sensor,
    type: z.literal('nav_msgs/msg/Odometry'),
    joints: bodyJoints(bodyNumbers('Odometry')),
  }),
]);
export type SensorTopic = z.infer<typeof sensorSchema>;

const commandSchema = z.strictObject({
  topic,
  type: z.enum([
    'std_msgs/msg/Float64MultiArray',
    'trajectory_msgs/msg/JointTrajectory',
    'sensor_msgs/msg/JointState',
    'control_msgs/msg/MultiDOFCommand',
  ]),
  /** In the order in which the robot takes them. */
  joints: namedJoints,
  /**
   * Positions with gains, in a Float64MultiArray: all positions, then all stiffnesses, then all dampings. In `damping`
   * and `fault` stiffness is 0 and damping `safeDamping`.
   */
  gains: z
    .strictObject({
      stiffness: z.number().nonnegative(),
      damping: z.number().nonnegative(),
      safeDamping: z.number().positive(),
    })
    .optional(),
  qos: qosSchema('reliable', 1)
    .extend({
      /** Seconds between two commands at most, as offered to the robot; 0: none is offered; left out: by the rate. */
      deadline: z.number().min(0).max(LONGEST).optional(),
      /** Seconds without a command after which the controller is dead to the robot; 0 and left out as above. */
      lease: z.number().min(0).max(LONGEST).optional(),
    })
    .prefault({}),
});
export type CommandTopic = z.infer<typeof commandSchema>;

const emergencyStopSchema = z.strictObject({
  topic,
  /** Seconds without a message after which the robot is stopped as if it had said true; left out: never. */
  timeout: z.number().positive().optional(),
  /** Its publishers are heard whatever their reliability, and every message counts. */
  qos: z.strictObject({ durability }).prefault({}),
});

export const robotMapSchema = z.strictObject({
  sensors: z.array(typed(sensorSchema)).min(1),
  commands: z.array(typed(commandSchema)).min(1),
  /** A `std_msgs/msg/Bool`; true stops the robot. */
  emergencyStop: emergencyStopSchema.optional(),
  /**
   * Topics on which a simulated robot says, by a `std_msgs/msg/Header`, with the stamp of the first sensor message for
   * which it holds, that it was put to a new start state, or that the task's termination holds.
   */
  episodes: z.strictObject({ resets: topic, terminations: topic }).optional(),
  /**
   * What a second publisher of the same measurements, or of the commands, leads to: `refuse`: the controller is not
   * activated while it lasts; `fault`: and a policy that acts is stopped; `ignore`: it is shown, no more.
   */
  otherPublishers: z.enum(['fault', 'refuse', 'ignore']).default('fault'),
  /** What is commanded while the controller is not active: nothing, or what keeps the robot where it is. */
  whenInactive: z.enum(['silent', 'hold']).default('silent'),
});
export type RobotMap = z.infer<typeof robotMapSchema>;

/** How a contested measurement is said to people; `joint` is null where the topic measures a body. */
export function secondPublisher(topic: string, joint: string | null): string {
  return `${joint === null ? topic : `joint '${joint}' of ${topic}`} has a second publisher (see: ros2 topic info -v ${topic})`;
}

/** Reads a map; throws a `FarsightError` that lists every entry that is wrong, in one line. */
export function readRobotMap(path: string): RobotMap {
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new FarsightError(`robot map ${path}: ${messageOf(error)}`);
  }
  const parsed = robotMapSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  throw new FarsightError(`robot map ${path}: ${findingsOf(parsed.error)}`);
}

/** What of an Imu (orientation, angular velocity) and an Odometry (all) a number of a free joint is. */
const FREE_JOINT_FIELDS: Record<FreeJointNumber, { position?: string; velocity?: string }> = {
  x: { position: 'position.x', velocity: 'worldVelocity.x' },
  y: { position: 'position.y', velocity: 'worldVelocity.y' },
  z: { position: 'position.z', velocity: 'worldVelocity.z' },
  qw: { position: 'orientation.w' },
  qx: { position: 'orientation.x' },
  qy: { position: 'orientation.y' },
  qz: { position: 'orientation.z' },
  wx: { velocity: 'angularVelocity.x' },
  wy: { velocity: 'angularVelocity.y' },
  wz: { velocity: 'angularVelocity.z' },
};

/**
 * The map of a robot that follows ros2_control's names: `joint_states` in, and out what forward_command_controller
 * takes, one controller for each kind of action when there are several. A free joint comes from `odom`, all of it, so
 * that it is of one frame and one moment; from `imu/data` when neither where it is nor its linear velocity is needed;
 * of several, each from topics under its name. It hears the events of `farsight robot` too.
 */
export function defaultRobotMap(task: TaskInterface): RobotMap {
  const kinds = [...new Set(task.action.map(({ kind }) => kind))];
  const hinges = jointsOf(task).filter((joint) => freeJointNumber(joint) === undefined);
  const bodies = [...new Set(jointsOf(task).flatMap((joint) => freeJointNumber(joint)?.body ?? []))];
  return robotMapSchema.parse({
    sensors: [
      ...(hinges.length > 0
        ? [{ topic: 'joint_states', type: 'sensor_msgs/msg/JointState', joints: hinges }]
        : []),
      ...bodies.map((body) => bodySensor(task, body, bodies.length === 1 ? '' : `${body}/`)),
    ],
    commands: kinds.map((kind) => ({
      topic: `${kinds.length === 1 ? 'forward_command_controller' : `forward_${kind}_controller`}/commands`,
      type: 'std_msgs/msg/Float64MultiArray',
      joints: task.action.filter((term) => term.kind === kind).map(({ joint }) => joint),
    })),
    episodes: { resets: 'farsight_robot/resets', terminations: 'farsight_robot/terminations' },
  });
}

/** The topic that carries what is needed of a free joint. */
function bodySensor(task: TaskInterface, body: string, prefix: string) {
  const joints: Record<string, { position?: string; velocity?: string }> = {};
  for (const joint of jointsOf(task)) {
    const free = freeJointNumber(joint);
    if (free?.body !== body) continue;
    const needed = neededMeasurements(task, joint);
    const { position, velocity } = FREE_JOINT_FIELDS[free.number];
    joints[joint] = { ...(needed.position && { position }), ...(needed.velocity && { velocity }) };
  }
  const imu = bodyNumbers('Imu');
  const fields = Object.values(joints).flatMap(({ position, velocity }) => [position, velocity]);
  return fields.every((field) => field === undefined || imu.includes(field))
    ? { topic: `${prefix}imu/data`, type: 'sensor_msgs/msg/Imu', joints }
    : { topic: `${prefix}odom`, type: 'nav_msgs/msg/Odometry', joints };
}

/** Which of a joint's measurements the controller needs. */
export function neededMeasurements(
  task: TaskInterface,
  joint: string,
): { position: boolean; velocity: boolean } {
  const observed = (kind: string) =>
    task.observation.some((term) => term.joint === joint && term.kind === kind);
  const limits = task.safety.joints.find((entry) => entry.joint === joint);
  return {
    position:
      observed('jointPosition') ||
      limits?.position !== undefined ||
      task.action.some((term) => term.joint === joint && term.kind === 'position'),
    velocity: observed('jointVelocity') || limits?.velocity !== undefined,
  };
}
