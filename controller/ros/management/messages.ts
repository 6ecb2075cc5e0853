// What the control process and its management process say to each other: the schema of every message.
import { z } from 'zod';
import { FAULTS, INTERVENTIONS, MODES, PHASES } from '../../../contract/loop.js';
import { STAGES } from './lifecycle.js';
import { type ManagementParameters, PARAMETER_NAMES, PARAMETERS } from './parameters.js';

const count = z.int().nonnegative();
const named = <N extends string, V extends z.ZodType>(names: readonly N[], value: V) =>
  z.strictObject(Object.fromEntries(names.map((name) => [name, value])) as Record<N, V>);

/** Microseconds. */
const percentiles = named(['p50', 'p90', 'p99', 'p999', 'p9999', 'max'], z.number().nonnegative());

const loopStateSchema = z.strictObject({
  rateHz: z.number().positive(),
  mode: z.enum(MODES),
  fault: z.enum(FAULTS),
  scheduling: z.enum(['fifo', 'other']),
  ticks: count,
  missed: count,
  longestMiss: count,
  interventions: named(INTERVENTIONS, count),
  interventionsByJoint: z.record(z.string(), z.partialRecord(z.enum(INTERVENTIONS), count)),
  score: z.number().nonnegative(),
  gc: count,
  /** Since the start of the loop. */
  phases: named(PHASES, percentiles),
  /** The last whole second or so. */
  window: z.strictObject({
    seconds: z.number().nonnegative(),
    ticks: count,
    missed: count,
    interventions: count,
    phases: named(PHASES, percentiles),
  }),
});
export type LoopState = z.infer<typeof loopStateSchema>;

const sensorStateSchema = z.strictObject({
  topic: z.string(),
  /** Seconds since the newest message was measured and since it arrived; null before the first. */
  age: z.number().nullable(),
  arrivalAge: z.number().nullable(),
  /** The joint that is furthest behind; null where the topic measures a body. */
  behind: z.string().nullable(),
  received: count,
  /** Messages about joints that are not ours. */
  others: count,
  /** Messages that were not used, by reason. */
  refused: z.record(z.string(), count),
  /** Whether a second publisher measures the same now, of which joint, and the messages that showed one so far. */
  contested: z.strictObject({ now: z.boolean(), joint: z.string().nullable(), messages: count }),
});
export type SensorState = z.infer<typeof sensorStateSchema>;

const commandStateSchema = z.strictObject({
  topic: z.string(),
  sent: count,
  /** Commands that the middleware did not take, and whether one was in the last second. */
  failed: count,
  failing: z.boolean(),
  /** Subscriptions that it reaches; null before that is known. */
  listeners: count.nullable(),
});

/** Peers of a topic that do not hear us, or that we do not hear, because of their QoS. */
const conflictSchema = z.strictObject({
  topic: z.string(),
  ours: z.enum(['publisher', 'subscription']),
  /** Since the start. */
  peers: count,
  /** What did not fit the last time. */
  policy: z.string(),
});
export type Conflict = z.infer<typeof conflictSchema>;

/** The emergency stop, as `EmergencyStop.state` has it. */
const stopStateSchema = z.strictObject({
  set: z.boolean(),
  /** Publishers whose newest word is stop. */
  held: count,
  /** The configured topic is heard as it must be. */
  heard: z.boolean(),
  /** Of the configured topic; null when none is configured. */
  publishers: count.nullable(),
  /** Seconds since it said anything; null before. */
  age: z.number().nonnegative().nullable(),
  /** Of the command topics, our own among them. */
  commandPublishers: count,
});

const managementStateSchema = z.strictObject({
  /** Where the controller is: the node's lifecycle state follows it. */
  stage: z.enum(STAGES),
  /** Its path is empty when it was delivered while the loop ran. */
  policy: z.strictObject({ path: z.string(), sha256: z.string(), task: z.string() }).nullable(),
  /** Null when no loop runs. */
  loop: loopStateSchema.nullable(),
  sensors: z.array(sensorStateSchema),
  commands: z.array(commandStateSchema),
  conflicts: z.array(conflictSchema),
  stop: stopStateSchema,
});
export type ManagementState = z.infer<typeof managementStateSchema>;

const valueSchemas = { string: z.string(), number: z.number(), boolean: z.boolean() };
const parametersSchema = z
  .object(
    Object.fromEntries(
      PARAMETER_NAMES.map((name) => [name, valueSchemas[typeof PARAMETERS[name].initial as 'string']]),
    ),
  )
  // The QoS of topics.
  .catchall(z.union(Object.values(valueSchemas))) as unknown as z.ZodType<ManagementParameters>;

/** What the node asks of the controller on behalf of a person. */
export const askSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('configure'), parameters: parametersSchema }),
  z.strictObject({ kind: z.literal('activate') }),
  z.strictObject({ kind: z.literal('deactivate') }),
  z.strictObject({ kind: z.literal('cleanup') }),
  z.strictObject({ kind: z.literal('shutdown') }),
  z.strictObject({ kind: z.literal('emergencyStop'), reason: z.string() }),
  z.strictObject({ kind: z.literal('rearm') }),
  z.strictObject({ kind: z.literal('swapPolicy'), path: z.string() }),
]);
export type Ask = z.infer<typeof askSchema>;

const answerSchema = z.strictObject({
  kind: z.literal('answer'),
  id: count,
  /** `failure`: refused, nothing changed. `error`: it went wrong halfway. */
  outcome: z.enum(['success', 'failure', 'error']),
  message: z.string(),
});
export type Answer = Omit<z.infer<typeof answerSchema>, 'kind' | 'id'>;

/** From the management process. */
export const toControlSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('heartbeat') }),
  /** All values, at the start and after each change. */
  z.strictObject({ kind: z.literal('parameters'), parameters: parametersSchema }),
  /** The node is up; its name with namespace and remappings. */
  z.strictObject({ kind: z.literal('ready'), node: z.string() }),
  /** It cannot work, and a new start would not mend that. */
  z.strictObject({ kind: z.literal('unable'), reason: z.string() }),
  z.strictObject({ kind: z.literal('request'), id: count, ask: askSchema }),
]);
export type ToControl = z.infer<typeof toControlSchema>;

/** To the management process; `start` first. */
export const toManagementSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('start'),
    rosArguments: z.array(z.string()),
    /** What parameters are when ROS's own ways of giving them say nothing. */
    defaults: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    /** What parameters were in the process before, which was lost; null for the first. */
    values: parametersSchema.nullable(),
    robot: z.string(),
  }),
  z.strictObject({ kind: z.literal('state'), state: managementStateSchema }),
  z.strictObject({ kind: z.literal('event'), level: z.enum(['info', 'warn', 'error']), text: z.string() }),
  answerSchema,
  z.strictObject({ kind: z.literal('stop') }),
]);
export type StartMessage = Extract<z.infer<typeof toManagementSchema>, { kind: 'start' }>;
export type ToManagement = z.infer<typeof toManagementSchema>;
