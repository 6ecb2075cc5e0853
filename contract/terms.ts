// What a policy sees and does: observation terms and action terms, shared word for word by simulation and robot.
import { z } from 'zod';

/**
 * One number of the observation. Its raw value (rad, m, rad/s, m/s) becomes
 * `clip((raw - offset) * scale, ±clip)`; the order of terms is the order of the network's input. `joint` is a hinge or
 * slide joint, or one number of a free joint (see `FREE_JOINT`).
 */
export const observationTermSchema = z.strictObject({
  kind: z.enum(['jointPosition', 'jointVelocity']),
  joint: z.string().min(1),
  scale: z.number().default(1),
  offset: z.number().default(0),
  clip: z.number().positive().optional(),
});
export type ObservationTerm = z.infer<typeof observationTermSchema>;

const limits = z
  .tuple([z.number(), z.number()])
  .refine(([low, high]) => low < high, { message: 'the lower limit must be below the upper one' });

/** One number of the action, in the unit of the joint's actuator command; `limits` are the actuator's. */
export const actionTermSchema = z.strictObject({
  kind: z.enum(['effort', 'position', 'velocity']),
  joint: z.string().min(1),
  limits,
});
export type ActionTerm = z.infer<typeof actionTermSchema>;

/**
 * Limits that the robot must stay inside, beside those of its actuators. A joint without an entry, or a field left
 * out, has no limit of that kind.
 *
 * Where a task leaves `position`, `velocity`, `jumpMargin`, `jumpAllowance`, `stuckTimeout`, `outOfDistribution` or
 * `limiting` out, the export derives it from training (see `deriveSafety`). A task that wants none states a value that
 * is never reached, such as 1e9.
 */
const jointSafetySchema = z
  .strictObject({
    joint: z.string().min(1),
    /** Allowed measured position, rad or m. Outside it the controller faults; position commands stay inside. */
    position: limits.optional(),
    /** Largest allowed measured speed, rad/s or m/s; velocity commands stay inside. */
    velocity: z.number().positive().optional(),
    /** Largest change of the command per second, in command units. */
    commandRate: z.number().positive().optional(),
    /** Largest change of that change per second: command units/s². */
    commandAcceleration: z.number().positive().optional(),
    /**
     * Largest change of that in turn per second: command units/s³. The command then comes later, by
     * commandAcceleration / commandJerk seconds (half of what its smoothing spans).
     */
    commandJerk: z.number().positive().optional(),
    /**
     * Position and velocity commands approach a limit of `position` no faster than this, 1/s, times the measured
     * distance to it.
     */
    approachGain: z.number().positive().optional(),
    /**
     * Of position commands: the drive's gains (effort per position, effort per velocity) and the effort that
     * `stiffness (command - position) - damping velocity` may reach. The command goes where that holds as fast as the
     * other limits let it.
     */
    effort: z
      .strictObject({
        limit: z.number().positive(),
        stiffness: z.number().positive(),
        damping: z.number().nonnegative().default(0),
      })
      .optional(),
    /** A measured position that moves faster than this many times `velocity` between two stamps is a fault. */
    jumpMargin: z.number().min(1).optional(),
    /** Noise and resolution of the sensor: how far it may move beyond that, rad or m; 0 when left out. */
    jumpAllowance: z.number().nonnegative().optional(),
    /**
     * While the policy acts, a measured position that stays the same to the last bit for so long is a fault, seconds.
     * For sensors whose reading never stands still.
     */
    stuckTimeout: z.number().positive().optional(),
    /**
     * How the command comes to the safe one when the robot is stopped: at once, or within the limits of its change.
     * Left out: efforts at once (a motor without current), positions and velocities within the limits (a drive that
     * brakes). A velocity that takes longer than a second to come to rest within its limits is refused.
     */
    stop: z.enum(['immediate', 'limited']).optional(),
  })
  .refine((entry) => entry.jumpMargin === undefined || entry.velocity !== undefined, {
    message: 'jumpMargin needs a velocity limit',
    path: ['jumpMargin'],
  })
  .refine((entry) => entry.commandJerk === undefined || entry.commandAcceleration !== undefined, {
    message: 'commandJerk needs a commandAcceleration',
    path: ['commandJerk'],
  })
  .refine((entry) => entry.approachGain === undefined || entry.position !== undefined, {
    message: 'approachGain needs a position limit',
    path: ['approachGain'],
  });

export const safetySchema = z.strictObject({
  joints: z.array(jointSafetySchema).default([]),
  /**
   * Where the robot may be at all, such as how far it may tilt: bounds on what an observation term measures (see
   * `termName`), before its scale, offset and clip. Outside them the controller faults.
   */
  bounds: z.array(z.strictObject({ term: z.string().min(1), range: limits })).optional(),
  /** Sensors older than this fault the controller, seconds. */
  sensorTimeout: z.number().positive().default(0.1),
  /**
   * Faults when ticks are missed for `longest` seconds on end, or for more than `share` of the newest `window` seconds.
   * In time, so that it means the same at every rate of the loop.
   */
  missed: z
    .strictObject({
      longest: z.number().positive().default(0.1),
      share: z.number().positive().max(1).default(0.3),
      window: z.number().positive().default(1),
    })
    .prefault({}),
  /** Time in which the command goes over from holding to the policy's action, and back, seconds; 0 when left out. */
  blendTime: z.number().nonnegative().optional(),
  /**
   * Faults when for so many steps of the policy on end some observation is farther than `limit` standard deviations
   * from the mean of training (`observationStatistics`).
   */
  outOfDistribution: z
    .strictObject({ limit: z.number().positive(), steps: z.int().positive().default(10) })
    .optional(),
  /** Faults when more than this share of the last `steps` steps of the policy had a limit still change their command at their end. */
  limiting: z.strictObject({ share: z.number().min(0).max(1), steps: z.int().positive() }).optional(),
});
export type Safety = z.infer<typeof safetySchema>;

/** Files told the longest run of missed ticks by its number, at the usual 500 Hz, before they told its time. */
function upgraded(safety: unknown): unknown {
  const { missedTicks, ...rest } = (safety ?? {}) as { missedTicks?: unknown };
  return typeof missedTicks === 'number' ? { ...rest, missed: { longest: missedTicks / 500 } } : safety;
}

/** Everything about a task that crosses to the robot. */
export const interfaceSchema = z.strictObject({
  task: z.string().min(1),
  /** The rate that the policy was trained at, Hz. */
  controlRate: z.number().positive(),
  observation: z.array(observationTermSchema).min(1),
  action: z.array(actionTermSchema).min(1),
  safety: z.preprocess(upgraded, safetySchema),
});
export type TaskInterface = z.infer<typeof interfaceSchema>;

/** The joints of an interface in the order of first mention: the index of a joint in every shared array. */
export function jointsOf(task: Pick<TaskInterface, 'observation' | 'action'>): string[] {
  return [...new Set([...task.observation, ...task.action].map((term) => term.joint))];
}

/** What a term is called where it is named: its kind and its joint, such as 'jointPosition hip'. */
export function termName({ kind, joint }: { kind: string; joint: string }): string {
  return `${kind} ${joint}`;
}

/**
 * Writes the observation `[n]` of a measured state into `out`. `position` and `velocity` are indexed as `jointsOf`;
 * `joints` holds that index for each term. Nothing is checked here: NaN passes through, and a clip makes an infinite
 * measurement finite, so whoever must refuse those looks at the measurement.
 */
export function observe(
  terms: readonly ObservationTerm[],
  joints: Int32Array,
  position: Float64Array,
  velocity: Float64Array,
  out: Float32Array | Float64Array,
): void {
  for (let i = 0; i < terms.length; i++) {
    const term = terms[i];
    const raw = term.kind === 'jointPosition' ? position[joints[i]] : velocity[joints[i]];
    const value = (raw - term.offset) * term.scale;
    // A variable for either would be a box on the heap: the value is a double, the clip an object's field.
    if (term.clip === undefined || !(Math.abs(value) > term.clip)) out[i] = value;
    else out[i] = value > 0 ? term.clip : -term.clip;
  }
}

/** The index in `jointsOf` of each term's joint. */
export function jointIndices(terms: readonly { joint: string }[], joints: readonly string[]): Int32Array {
  return Int32Array.from(terms, (term) => joints.indexOf(term.joint));
}

/** What keeps data of one interface from being used with the other, in words; undefined when nothing does. */
export function interfaceDifference(theirs: TaskInterface, ours: TaskInterface): string | undefined {
  for (const field of ['task', 'controlRate'] as const) {
    if (theirs[field] !== ours[field]) return `its ${field} is ${theirs[field]}, not ${ours[field]}`;
  }
  for (const field of ['observation', 'action'] as const) {
    if (JSON.stringify(theirs[field]) !== JSON.stringify(ours[field])) {
      return `its ${field} terms differ from those of '${ours.task}'`;
    }
  }
  return undefined;
}
