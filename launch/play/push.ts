// A push: a force on a point of the simulated robot, as of a spring that a hand holds the other end of.
import type { Physics } from '../../trainer/sim/physics.js';

/** A force on a body's point: towards `target` in the world, as of a spring that knows the body's mass. */
export interface Push {
  /** Index in the MJCF. */
  body: number;
  /** On the body, in its frame, m `[3]`. */
  point: ArrayLike<number>;
  /** In the world, m `[3]`. */
  target: ArrayLike<number>;
}

/** Of a push by a spring, 1/s² and 1/s. */
const STIFFNESS = 25;
const DAMPING = 8;

/** Lets the physics' next steps feel the push as a force and a torque about its body's centre of mass; none ends it. */
export function applyPush(physics: Physics, push: Push | undefined): void {
  const { data, model } = physics.parts;
  const forces: Float64Array = data.xfrc_applied;
  forces.fill(0);
  if (!push) return;
  const { body, point, target } = push;
  const pose: Float64Array = data.xmat.subarray(9 * body, 9 * body + 9);
  const origin: Float64Array = data.xpos.subarray(3 * body, 3 * body + 3);
  const centre: Float64Array = data.xipos.subarray(3 * body, 3 * body + 3);
  const mass: number = model.body_subtreemass[model.body_rootid[body]];
  const velocity: Float64Array = data.cvel.subarray(6 * body + 3, 6 * body + 6);
  const arm = [0, 1, 2].map(
    (i) =>
      origin[i] +
      pose[3 * i] * point[0] +
      pose[3 * i + 1] * point[1] +
      pose[3 * i + 2] * point[2] -
      centre[i],
  );
  const force = arm.map(
    (from, i) => mass * (STIFFNESS * (target[i] - from - centre[i]) - DAMPING * velocity[i]),
  );
  for (let i = 0; i < 3; i++) {
    const [j, k] = [(i + 1) % 3, (i + 2) % 3];
    forces[6 * body + i] = force[i];
    forces[6 * body + 3 + i] = arm[j] * force[k] - arm[k] * force[j];
  }
}
