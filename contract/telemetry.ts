// What crosses MQTT: a robot's connection, its telemetry once a second, its events and its pose at once; topics and schemas.
import { hostname } from 'node:os';
import { z } from 'zod';
import { type HistogramSample, upperEdge } from './histogram.js';
import { FAULTS, INTERVENTIONS, MODES, PHASES } from './loop.js';
import { findingsOf } from './schemaErrors.js';

/** Raised, in topics and messages, whenever a reader of the previous version could misunderstand a message. */
export const TELEMETRY_VERSION = 1;

/** A robot's name is one level of a topic. */
export const robotNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'wants 1 to 64 letters, digits, or any of _ . : -');

/** This computer's name as a robot's: what a topic cannot hold becomes `-`. */
export function robotNameOf(hostName = hostname()): string {
  return hostName.slice(0, 64).replaceAll(/[^A-Za-z0-9_.:-]/g, '-') || 'robot';
}

export const KINDS = ['connection', 'telemetry', 'event', 'transfer', 'pose'] as const;
export type Kind = (typeof KINDS)[number];

/** `farsight/v1/<robot>/<kind>`; `+` as robot for all of them. */
export function topicOf(robot: string, kind: Kind | 'offer'): string {
  return `farsight/v${TELEMETRY_VERSION}/${robot}/${kind}`;
}

const count = z.int().nonnegative();
/** Where the last bucket of a LatencyHistogram ends, ns. */
const LARGEST_EDGE = 2 ** 36;

const histogramSchema: z.ZodType<HistogramSample> = z.object({
  counts: z
    .array(count)
    .refine((counts) => counts.length % 2 === 0, { message: 'wants pairs of bucket and count' })
    .refine((counts) => counts.every((bucket, i) => i % 2 === 1 || upperEdge(bucket) <= LARGEST_EDGE), {
      message: 'a bucket is out of range',
    }),
  max: z.number().nonnegative(),
});

function perName<N extends string, V extends z.ZodType>(names: readonly N[], value: V) {
  return z.object(Object.fromEntries(names.map((name) => [name, value])) as Record<N, V>);
}

const envelope = z.object({
  version: z.literal(TELEMETRY_VERSION),
  robot: robotNameSchema,
  /** One run of the controller. */
  boot: z.string().min(1),
  /** Wall time of the robot. */
  time: z.iso.datetime(),
});
/** The one that acts, or that the loop goes over to; while none acts, the last one. */
const policy = z.object({ sha256: z.string(), task: z.string() });

/** Retained: whether the robot is there. */
export const connectionSchema = envelope.extend({
  /** `lost` is the last will, which was written when the connection began: it broke without a word. */
  state: z.enum(['online', 'offline', 'lost']),
  rateHz: z.number().positive(),
  policy,
});
export type Connection = z.infer<typeof connectionSchema>;

/** Values since the loop's start, and since the last telemetry that was sent. */
const signalSchema = z.object({ total: histogramSchema, window: histogramSchema });

const faultCounts = z.object({ minor: count, major: count });
/** Of the controller's computer and process; null is what its system does not tell. */
const machineSchema = z.object({
  /** Page faults since the process began, and of them the real-time loop's thread's. */
  pageFaults: z.object({ process: faultCounts, loop: faultCounts.nullable() }),
  /** Resident, bytes. */
  memory: count,
  /** Of the slowest processor. */
  megahertz: z.number().nullable(),
  /** Of the hottest zone. */
  celsius: z.number().nullable(),
});

const recordingStateSchema = z.object({
  /** Rows on the disk, lost, and waiting for the disk. */
  rows: count,
  lost: count,
  waiting: count,
  blackBoxes: count,
  /** Why the disk takes nothing; null while it does. */
  trouble: z.string().nullable(),
});
export type RecordingState = z.infer<typeof recordingStateSchema>;

const stopSchema = z.object({
  /** The robot must be stopped: it was pressed, and no person has rearmed since. */
  set: z.boolean(),
  /** Sources whose newest word is stop. */
  held: count,
  /** Whether a source that is configured was heard as it must be. */
  heard: z.boolean(),
  /** On its topic; null: none is configured. */
  publishers: count.nullable(),
  /** Seconds since it was heard. */
  age: z.number().nullable(),
});
export type StopState = z.infer<typeof stopSchema>;

/** Once a second. */
export const telemetrySchema = envelope.extend({
  /** Counts the telemetry of this boot from 0, dropped ones too: a hole is a message that did not arrive. */
  sequence: count,
  rateHz: z.number().positive(),
  scheduling: z.enum(['fifo', 'other']),
  mode: z.enum(MODES),
  fault: z.enum(FAULTS),
  ticks: count,
  missed: count,
  longestMiss: count,
  garbageCollections: count,
  interventions: perName(INTERVENTIONS, count),
  policy,
  /** Histograms since the start of the loop, ns: whatever was not delivered before is in here. */
  phases: perName(PHASES, histogramSchema),
  /** The same since the last telemetry that was sent; `max` is exact only when it is the largest since the start. */
  window: z.object({
    seconds: z.number().nonnegative(),
    ticks: count,
    missed: count,
    phases: perName(PHASES, histogramSchema),
  }),
  /** Messages of this boot that could not be delivered in time. */
  dropped: z.object({ telemetry: count, events: count }),
  /** How old a tick's measurement was when the tick had it, ns. Robots of before that was told leave out what follows. */
  sensorAge: signalSchema.optional(),
  /** How far apart two wake-ups were from the time between their ticks, ns. */
  jitter: signalSchema.optional(),
  machine: machineSchema.optional(),
  /** Null: nothing is recorded. */
  recording: recordingStateSchema.nullable().optional(),
  emergencyStop: stopSchema.nullable().optional(),
});
export type Telemetry = z.infer<typeof telemetrySchema>;

/** What becomes of a policy that is delivered; the last four end it. */
export const DELIVERY_STATES = [
  'verified',
  'shadowed',
  'acting',
  'accepted',
  'rolled back',
  'refused',
  'interrupted',
] as const;
const delivery = z.object({
  kind: z.literal('delivery'),
  state: z.enum(DELIVERY_STATES),
  /** Its name in the repository; null when what was announced is no name. */
  target: z.string().nullable(),
  /** SHA-256 of the policy file; null while it is not verified. */
  policy: z.string().nullable(),
  /** Why it was refused or rolled back, or what its shadow came to. */
  reason: z.string().nullable(),
});
export type DeliveryEvent = z.infer<typeof delivery>;

const happening = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('policy loaded'), policy }),
  z.object({ kind: z.literal('mode'), from: z.enum(MODES), to: z.enum(MODES), fault: z.enum(FAULTS) }),
  z.object({ kind: z.literal('fault'), fault: z.enum(FAULTS), mode: z.enum(MODES) }),
  /** An intervention after at least a second without one of its kind; `count` since the start. */
  z.object({ kind: z.literal('intervention'), intervention: z.enum(INTERVENTIONS), count }),
  /** `missed` ticks since the last event of this kind, `total` since the start. */
  z.object({ kind: z.literal('missed ticks'), missed: count, total: count }),
  delivery,
]);
export type Happening = z.infer<typeof happening>;

/** At once; delivered at least once, so a reader knows a repeated one by its boot and sequence. */
export const eventSchema = envelope.extend({ sequence: count, event: happening });
export type RobotEvent = z.infer<typeof eventSchema>;

/** How a robot's recordings stand: on its disk, on their way, and at the collector. */
export const transferStateSchema = z.object({
  /** Of the recordings' directory, and what is free beside it; bytes. */
  disk: z.object({ used: count, quota: count, free: count }),
  /** Null: recordings stay on the robot. */
  collector: z.string().nullable(),
  /** Files that take no more rows and that the collector does not have. */
  waiting: z.object({ files: count, bytes: count }),
  /** The file under way. */
  current: z.object({ name: z.string(), sent: count, bytes: count }).nullable(),
  /** Since the bridge's start: bytes that the collector took, files by what became of them, rows that were new. */
  sent: count,
  stored: count,
  quarantined: count,
  rows: count,
  /** Ever deleted here before the collector had it. */
  dropped: z.object({ files: count, rows: count, bytes: count }),
  /** Why nothing goes on; null while it does. */
  trouble: z.string().nullable(),
});
export type TransferState = z.infer<typeof transferStateSchema>;

/** Once a second, from the bridge's process; its `boot` is that process's. */
export const transferSchema = envelope.extend({ sequence: count, ...transferStateSchema.shape });
export type Transfer = z.infer<typeof transferSchema>;

/** Many a second: where the joints of the newest tick's observation are. */
export const poseSchema = envelope
  .extend({
    joints: z.array(z.string().min(1)).max(256),
    /** rad or m, in the order of `joints`; null is what was not finite. */
    position: z.array(z.number().nullable()),
  })
  .refine(({ joints, position }) => joints.length === position.length, {
    message: 'wants a position for each joint',
    path: ['position'],
  });
export type Pose = z.infer<typeof poseSchema>;

export type Received =
  | { kind: 'connection'; message: Connection }
  | { kind: 'telemetry'; message: Telemetry }
  | { kind: 'event'; message: RobotEvent }
  | { kind: 'transfer'; message: Transfer }
  | { kind: 'pose'; message: Pose };

/** The message in a payload, or why it is refused; never throws, whatever arrives. */
export function readMessage(topic: string, payload: Uint8Array): Received | { refused: string } {
  const [, version, robot, kind, ...rest] = topic.split('/');
  if (rest.length > 0 || version !== `v${TELEMETRY_VERSION}`) return { refused: `unknown topic '${topic}'` };
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(payload));
  } catch {
    return { refused: `'${topic}': not JSON` };
  }
  const schemas = {
    connection: connectionSchema,
    telemetry: telemetrySchema,
    event: eventSchema,
    transfer: transferSchema,
    pose: poseSchema,
  };
  if (!Object.hasOwn(schemas, kind)) return { refused: `unknown topic '${topic}'` };
  const parsed = schemas[kind as Kind].safeParse(json);
  if (!parsed.success) return { refused: `'${topic}': ${findingsOf(parsed.error)}` };
  if (parsed.data.robot !== robot)
    return { refused: `'${topic}': the message names robot '${parsed.data.robot}'` };
  return { kind, message: parsed.data } as Received;
}
