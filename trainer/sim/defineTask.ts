// What a task's file says: which robot, what the policy sees and does, what is rewarded and when it ends. Alone what a
// user's own task imports from the package.
import { z } from 'zod';
import { interfaceSchema, safetySchema } from '../../contract/terms.js';
import type { Mjcf } from './mjcf.js';
import type { Snapshot } from './snapshot.js';

/** One control step, as a reward sees it. */
export interface Transition {
  previous: Snapshot;
  next: Snapshot;
  /**
   * The command that the actuators were told `[m]`, within the robot's limits, as on a real one; but an action beyond
   * the actuators' range as it was given, as in Gymnasium.
   */
  action: ArrayLike<number>;
  /** Seconds between `previous` and `next`. */
  dt: number;
}

const noiseSchema = z.strictObject({
  distribution: z.enum(['uniform', 'normal']),
  /** Half width of the uniform distribution, standard deviation of the normal one. */
  scale: z.number().nonnegative(),
});
/** Independent noise on each entry of `qpos` or `qvel` of the model's start state. */
export type Noise = z.infer<typeof noiseSchema>;

const functionSchema = <T>() =>
  z.custom<T>((value) => typeof value === 'function', { error: 'must be a function' });

export const taskSchema = z.strictObject({
  name: z.string().min(1),
  /**
   * The robot: MJCF as XML text, or the path of an MJCF file relative to the task's file. Meshes, textures and
   * included files that it names lie relative to it.
   */
  mjcf: z.string().min(1),
  /** Physics steps (the MJCF's timestep) in one control step; they give the control rate. */
  frameSkip: z.int().positive(),
  /** An episode is cut here; a cut is not a termination. */
  maxEpisodeSteps: z.int().positive(),
  observation: interfaceSchema.shape.observation,
  action: interfaceSchema.shape.action,
  safety: safetySchema.prefault({}),
  /** Noise of the start state. */
  reset: z.strictObject({ position: noiseSchema, velocity: noiseSchema }),
  /** Reward of one control step; must be finite. */
  reward: functionSchema<(transition: Transition) => number>(),
  /**
   * Whether the episode ends at this observation `[n]`, which simulation gives it before its terms' clips. The planner asks it of imagined observations too, often: a
   * plain function of its argument that allocates nothing.
   */
  terminated: functionSchema<(observation: Float32Array) => boolean>(),
});
/** What a task's file writes. */
export type TaskSource = z.input<typeof taskSchema>;
/** A task's file after validation: defaults filled in, its MJCF read. */
export type TaskDefinition = Omit<z.output<typeof taskSchema>, 'mjcf'> & { mjcf: Mjcf };

/** Gives a task's file its types; returns `task` as it is. */
export function defineTask(task: TaskSource): TaskSource {
  return task;
}
