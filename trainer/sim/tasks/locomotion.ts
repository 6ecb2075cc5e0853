// What the planar walking robots share: how fast they went forward, what they see of themselves and what they do.
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

/** The effort of each driven joint, as a share of what its motor can do. */
export function motorAction(driven: readonly string[]): TaskSource['action'] {
  return driven.map((joint) => ({ kind: 'effort', joint, limits: [-1, 1] }));
}
