// What the walking robots share: how fast they went forward, what they see of themselves and what they do.

import type { TaskSource, Transition } from '../defineTask.js';
import type { Snapshot } from '../snapshot.js';

/** The base of a robot in the plane: along x, along z, and its rotation about y. */
const BASE = ['rootx', 'rootz', 'rooty'];

/** Mean forward speed of a step of a robot in the plane, m/s. */
export function forwardSpeed(transition: Transition): number {
  return meanSpeed(transition, (state) => state.position('rootx'), 'rootx');
}

/** The same of a robot that floats, of what `where` takes from a state: the x of its torso or of its centre of mass, m. */
export function floatingSpeed(transition: Transition, where: (state: Snapshot) => number): number {
  return meanSpeed(transition, where, 'root.x');
}

/**
 * Recordings of a robot do not hold how far it went, only what the policy saw: there it is the mean of the speeds that
 * `joint` had at both ends.
 */
function meanSpeed(
  { previous, next, dt }: Transition,
  where: (state: Snapshot) => number,
  joint: string,
): number {
  const moved = where(next) - where(previous);
  if (!Number.isNaN(moved)) return moved / dt;
  return (previous.velocity(joint) + next.velocity(joint)) / 2;
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

/** The effort of each driven joint, as a share of its motor's gear, up to `share` of it. */
export function motorAction(driven: readonly string[], share = 1): TaskSource['action'] {
  return driven.map((joint) => ({ kind: 'effort', joint, limits: [-share, share] }));
}
