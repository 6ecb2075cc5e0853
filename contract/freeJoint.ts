// A free joint (a body that floats) in an interface: each of its numbers is a joint of its own, such as `root.qw`.

export interface FreeJointPlaces {
  position?: number;
  velocity?: number;
}

/**
 * What stands behind the joint's name, with the place of its position and of its velocity in the body's state, as
 * MuJoCo orders it: position in the world (m), orientation as a unit quaternion w, x, y, z from the body to the world;
 * linear velocity in the world (m/s), angular velocity in the body (rad/s).
 *
 * `root.x` has a position and a velocity, `root.qw` a position only, `root.wx` a velocity only. What a number does not
 * have is 0 wherever joints have a place, and no term may name it.
 */
export const FREE_JOINT = {
  x: { position: 0, velocity: 0 },
  y: { position: 1, velocity: 1 },
  z: { position: 2, velocity: 2 },
  qw: { position: 3 },
  qx: { position: 4 },
  qy: { position: 5 },
  qz: { position: 6 },
  wx: { velocity: 3 },
  wy: { velocity: 4 },
  wz: { velocity: 5 },
} as const satisfies Record<string, FreeJointPlaces>;
export type FreeJointNumber = keyof typeof FREE_JOINT;

/** The free joint and which of its numbers a joint's name means; undefined when it is none. */
export function freeJointNumber(joint: string): { body: string; number: FreeJointNumber } | undefined {
  const dot = joint.lastIndexOf('.');
  const number = joint.slice(dot + 1);
  if (dot <= 0 || !Object.hasOwn(FREE_JOINT, number)) return undefined;
  return { body: joint.slice(0, dot), number: number as FreeJointNumber };
}
