// One instant of the simulation, as a reward sees it.
import { FarsightError } from '../../contract/errors.js';

/**
 * Where a joint's scalars lie in `qpos` and `qvel`: -1 for what it does not have, its own first one for joints of
 * several.
 */
export interface JointAddress {
  /** In the MJCF. */
  id: number;
  qpos: number;
  qvel: number;
  scalar: boolean;
}

/** What the model calls its parts, and how much of each there is. */
export interface Layout {
  qpos: number;
  qvel: number;
  /** By the joint's name, and by those of FREE_JOINT for the numbers of a free one. */
  joints: ReadonlyMap<string, JointAddress>;
  /** In MuJoCo's order; those without a name are ''. */
  bodies: readonly string[];
}

/** Joint positions and velocities of one instant, in MuJoCo's order or by the joint's name, and where its bodies are. */
export class Snapshot {
  readonly qpos: Float64Array;
  readonly qvel: Float64Array;
  /**
   * Of the robot in the world, m. Like `body` it is as MuJoCo computed it last, within its last timestep: up to one
   * timestep older than `qpos`.
   */
  readonly centreOfMass = new Float64Array(3);
  /** Origins of all bodies in the world, m. */
  readonly xpos: Float64Array;
  readonly #joints: ReadonlyMap<string, JointAddress>;
  readonly #bodies: ReadonlyMap<string, Float64Array>;

  constructor({ qpos, qvel, joints, bodies }: Layout) {
    this.qpos = new Float64Array(qpos);
    this.qvel = new Float64Array(qvel);
    const xpos = new Float64Array(3 * bodies.length);
    this.xpos = xpos;
    this.#joints = joints;
    this.#bodies = new Map(bodies.map((name, i) => [name, xpos.subarray(3 * i, 3 * i + 3)]));
  }

  /** Position of a joint, rad or m. */
  position(joint: string): number {
    return this.qpos[this.#address(joint).qpos];
  }

  /** Velocity of a joint, rad/s or m/s. */
  velocity(joint: string): number {
    return this.qvel[this.#address(joint).qvel];
  }

  /** Origin of a body in the world, m `[3]`. */
  body(name: string): Float64Array {
    const position = this.#bodies.get(name);
    if (!position) throw new FarsightError(`there is no body '${name}' in the MJCF`);
    return position;
  }

  #address(joint: string): JointAddress {
    const address = this.#joints.get(joint);
    if (!address) throw new FarsightError(`there is no joint '${joint}' in the MJCF`);
    return address;
  }
}
