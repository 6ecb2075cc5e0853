// A task: one small file that says which robot, what the policy sees and does, what is rewarded and when it ends.
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { checkSafety } from '../../contract/safetyCheck.js';
import { checkStopTime } from '../../contract/stopTime.js';
import {
  interfaceSchema,
  jointsOf,
  safetySchema,
  type TaskInterface,
  termName,
} from '../../contract/terms.js';
import { type Mjcf, readMjcf } from './mjcf.js';
import { Physics, type Snapshot } from './physics.js';

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

const taskSchema = z.strictObject({
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
   * Whether the episode ends at this observation `[n]`. The planner asks it of imagined observations too, often: a
   * plain function of its argument that allocates nothing.
   */
  terminated: functionSchema<(observation: Float32Array) => boolean>(),
});
/** What a task's file writes. */
export type TaskSource = z.input<typeof taskSchema>;
/** A task's file after validation: defaults filled in, its MJCF read. */
export type TaskDefinition = Omit<z.output<typeof taskSchema>, 'mjcf'> & { mjcf: Mjcf };

/** A task that is known to fit its robot. */
export interface Task extends TaskDefinition {
  /** The name or path that `loadTask` found it by. */
  source: string;
  /** Of the physics, seconds. */
  timestep: number;
  /** Of the policy, Hz. */
  controlRate: number;
  /** Range of each joint of the terms that the MJCF limits, rad or m. */
  jointRanges: ReadonlyMap<string, readonly [number, number]>;
}

/** Gives a task's file its types; returns `task` as it is. */
export function defineTask(task: TaskSource): TaskSource {
  return task;
}

const builtIn: Record<string, () => Promise<{ default: TaskSource }>> = {
  'inverted-pendulum': () => import('./tasks/inverted-pendulum.js'),
  hopper: () => import('./tasks/hopper.js'),
  walker2d: () => import('./tasks/walker2d.js'),
  'half-cheetah': () => import('./tasks/half-cheetah.js'),
  ant: () => import('./tasks/ant.js'),
  humanoid: () => import('./tasks/humanoid.js'),
};

/** The names that `loadTask` takes beside paths. */
export const taskNames: readonly string[] = Object.keys(builtIn);

/**
 * Loads a task by its built-in name, or by the path of an ES module whose default export is the task. Throws a
 * `FarsightError` that names the task and the field at fault.
 */
export async function loadTask(nameOrPath: string): Promise<Task> {
  const isPath = /[/\\]|\.[cm]?[jt]s$/.test(nameOrPath);
  const load = isPath ? () => importFile(nameOrPath) : builtIn[nameOrPath];
  if (!load) {
    throw new UsageError(
      `unknown task '${nameOrPath}': choose one of ${taskNames.join(', ')}, or give the path of a task's file`,
    );
  }
  const parsed = taskSchema.safeParse((await load()).default);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    const field = path.length > 0 ? `field '${path.join('.')}'` : 'its default export';
    throw new FarsightError(`task '${nameOrPath}': ${field}: ${message}`);
  }
  const mjcf = await readMjcf(parsed.data.mjcf, dirname(resolve(nameOrPath)), nameOrPath);
  const definition = { ...parsed.data, mjcf };
  const physics = await Physics.create(definition);
  try {
    tryFunctions(definition, physics);
    const { timestep } = physics;
    // Whole nanohertz: 1 / (0.002 * 4) is 125, not 124.99999999999999.
    const controlRate = Math.round(1e9 / (timestep * definition.frameSkip)) / 1e9;
    const source = isPath ? resolve(nameOrPath) : nameOrPath;
    try {
      checkSafety(definition);
      checkStopTime(definition, controlRate);
      checkStart(definition, physics);
    } catch (error) {
      throw new FarsightError(`task '${nameOrPath}': ${messageOf(error)}`);
    }
    return { ...definition, source, timestep, controlRate, jointRanges: physics.jointRanges() };
  } finally {
    physics.dispose();
  }
}

/** Throws when the robot would fault where every episode starts. */
function checkStart({ observation, action, safety }: TaskDefinition, physics: Physics): void {
  const joints = jointsOf({ observation, action });
  const [position, velocity] = [new Float64Array(joints.length), new Float64Array(joints.length)];
  physics.measure(position, velocity);
  const outside = (value: number, [low, high]: readonly [number, number]) => value < low || value > high;
  for (const { joint, position: range } of safety.joints) {
    const value = position[joints.indexOf(joint)];
    if (range && outside(value, range))
      throw new FarsightError(
        `joint '${joint}' starts at ${value}, outside its safety limits [${range.join(', ')}]`,
      );
  }
  for (const { term, range } of safety.bounds ?? []) {
    const { kind, joint } = observation.find((each) => termName(each) === term)!;
    const value = (kind === 'jointPosition' ? position : velocity)[joints.indexOf(joint)];
    if (outside(value, range))
      throw new FarsightError(
        `'${term}' starts at ${value}, outside its safety bounds [${range.join(', ')}]`,
      );
  }
}

/** What the policy file and the robot need to know of a task. */
export function taskInterface(task: Task): TaskInterface {
  const { name, controlRate, observation, action, safety } = task;
  return { task: name, controlRate, observation, action, safety };
}

async function importFile(path: string): Promise<{ default: TaskSource }> {
  if (!existsSync(path)) throw new FarsightError(`task '${path}': no such file`);
  try {
    return await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ERR_UNKNOWN_FILE_EXTENSION'
        ? `Node ${process.version} does not run TypeScript; compile it to JavaScript first`
        : messageOf(error);
    throw new FarsightError(`task '${path}' cannot be loaded: ${why}`);
  }
}

/** Calls a task's functions once at the start state, so that a slip in them shows here and not hours later. */
function tryFunctions(task: TaskDefinition, physics: Physics): void {
  const start = physics.snapshot();
  physics.capture(start);
  const observation = new Float32Array(task.observation.length);
  physics.observe(observation);
  const action = new Float32Array(task.action.length);
  const dt = physics.timestep * task.frameSkip;
  const call = (name: string, wanted: string, work: () => unknown, right: (value: unknown) => boolean) => {
    let value: unknown;
    try {
      value = work();
    } catch (error) {
      throw new FarsightError(`task '${task.name}': ${name} throws at the start state: ${messageOf(error)}`);
    }
    if (!right(value)) {
      throw new FarsightError(
        `task '${task.name}': ${name} must return ${wanted}, it returns ${String(value)} at the start state`,
      );
    }
  };
  call(
    'reward',
    'a finite number',
    () => task.reward({ previous: start, next: start, action, dt }),
    Number.isFinite,
  );
  call(
    'terminated',
    'true or false',
    () => task.terminated(observation),
    (value) => typeof value === 'boolean',
  );
}
