// What the walking robots share: how fast they went forward, what they see of themselves and what they do.
import type { TaskSource, Transition } from '../task.js';

/** The base of a robot in the plane: along x, along z, and its rotation about y. */
const BASE = ['rootx', 'rootz', 'rooty'];

/**
 * Mean forward speed of a step, m/s. Recordings of a robot do not hold how far it went, only what the policy saw: there
 * it is the mean of the speeds at both ends.
 */
export function forwardSpeed({ previous, next, dt }: Transition): number {
  const moved = next.position('rootx') - previous.position('rootx');
  if (!Number.isNaN(moved)) return moved / dt;
  return (previous.velocity('rootx') + next.velocity('rootx')) / 2;
}

/**
 * The same of a robot that floats: mean speed along x, m/s, of what `where` takes from a state (m). Recordings hold
 * neither where its bodies are nor its centre of mass: there it is the mean of the torso's speeds at both ends.
 */
export function floatingSpeed(
  { previous, next, dt }: Transition,
  where: (state: Transition['next']) => number,
): number {
  const moved = where(next) - where(previous);
  if (!Number.isNaN(moved)) return moved / dt;
  return (previous.velocity('root.x') + next.velocity('root.x')) / 2;
}

/** Sum of the action's squares. */
export function effort({ action }: Transition): number {
  let sum = 0;
  for (let i = 0; i < action.length; i++) sum += action[i] ** 2;
  return sum;
}

/** Positions of the base but for x, and of the driven joints; then velocities of all, cut off at `clip` when given. */
export function planarObservation(driven: readonly string[], clip?: number): TaskSource['observation'] {
  const joints = [...BASE, ...driven];
  return [
    ...joints.slice(1).map((joint) => ({ kind: 'jointPosition' as const, joint })),
    ...joints.map((joint) => ({ kind: 'jointVelocity' as const, joint, clip })),
  ];
}

/** Positions of a robot that floats, but for x and y, and of its hinges; then velocities of all: `qpos[2:]` and `qvel`. */
export function floatingObservation(hinges: readonly string[]): TaskSource['observation'] {
  const root = (numbers: string) => numbers.split(' ').map((number) => `root.${number}`);
  const positions = [...root('z qw qx qy qz'), ...hinges];
  const velocities = [...root('x y z wx wy wz'), ...hinges];
  return [
    ...positions.map((joint) => ({ kind: 'jointPosition' as const, joint })),
    ...velocities.map((joint) => ({ kind: 'jointVelocity' as const, joint })),
  ];
}

/** Any heading is as good as another: the components of the torso's orientation have no limit. */
export const anyOrientation = ['root.qw', 'root.qx', 'root.qy', 'root.qz'].map((joint) => ({
  joint,
  position: [-2, 2] as [number, number],
}));

/** The effort of each driven joint, as a share of what its motor can do. */
export function motorAction(driven: readonly string[], share = 1): TaskSource['action'] {
  return driven.map((joint) => ({ kind: 'effort', joint, limits: [-share, share] }));
}
