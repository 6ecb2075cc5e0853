// One MuJoCo model with its data: the joints and actuators that a task names, within JavaScript's reach.
import type { MainModule, MjData, MjModel } from '@mujoco/mujoco';
import { FarsightError, messageOf } from '../../contract/errors.js';
import { jointIndices, jointsOf, type ObservationTerm, observe } from '../../contract/terms.js';
import type { Random } from '../random.js';
import { mujoco } from './mujoco.js';
import type { Noise, TaskDefinition } from './task.js';

/** A state of the simulation, in MuJoCo's order. */
export interface State {
  qpos: ArrayLike<number>;
  qvel: ArrayLike<number>;
}

/** Where a joint's scalars lie in `qpos` and `qvel`; its own first one for joints of several. */
interface JointAddress {
  qpos: number;
  qvel: number;
}

/** Joint positions and velocities of one instant, in MuJoCo's order or by the joint's name. */
export class Snapshot {
  readonly qpos: Float64Array;
  readonly qvel: Float64Array;
  readonly #addresses: ReadonlyMap<string, JointAddress>;

  constructor(qposSize: number, qvelSize: number, addresses: ReadonlyMap<string, JointAddress>) {
    this.qpos = new Float64Array(qposSize);
    this.qvel = new Float64Array(qvelSize);
    this.#addresses = addresses;
  }

  /** Position of a joint, rad or m. */
  position(joint: string): number {
    return this.qpos[this.#address(joint).qpos];
  }

  /** Velocity of a joint, rad/s or m/s. */
  velocity(joint: string): number {
    return this.qvel[this.#address(joint).qvel];
  }

  #address(joint: string): JointAddress {
    const address = this.#addresses.get(joint);
    if (!address) throw new FarsightError(`there is no joint '${joint}' in the MJCF`);
    return address;
  }
}

/** The physics of one robot. `dispose` frees its memory, which the garbage collector does not see. */
export class Physics {
  readonly joints: readonly string[];
  /** Seconds that one `advance` integrates. */
  readonly timestep: number;
  readonly qposSize: number;
  readonly qvelSize: number;
  readonly #mujoco: MainModule;
  readonly #model: MjModel;
  readonly #data: MjData;
  readonly #task: TaskDefinition;
  readonly #addresses: Map<string, JointAddress>;
  readonly #jointAddresses: JointAddress[];
  readonly #termJoints: Int32Array;
  readonly #actuators: Int32Array;
  readonly #position: Float64Array;
  readonly #velocity: Float64Array;
  // Views of WebAssembly memory: detached (length 0) whenever that memory grows, then taken anew.
  #qpos: Float64Array;
  #qvel: Float64Array;
  #ctrl: Float64Array;

  /**
   * Compiles the task's MJCF. `timestep` replaces the model's own, in seconds. Throws a
   * `FarsightError` when MuJoCo refuses the model or the model lacks what the task names.
   */
  static async create(task: TaskDefinition, timestep?: number): Promise<Physics> {
    const engine = await mujoco();
    const model = compile(engine, task);
    if (timestep !== undefined) model.opt.timestep = timestep;
    try {
      return new Physics(engine, model, task);
    } catch (error) {
      model.delete();
      throw error;
    }
  }

  private constructor(engine: MainModule, model: MjModel, task: TaskDefinition) {
    this.#mujoco = engine;
    this.#model = model;
    this.#task = task;
    this.timestep = model.opt.timestep;
    this.qposSize = model.nq;
    this.qvelSize = model.nv;
    this.joints = jointsOf(task);
    this.#addresses = jointAddresses(engine, model);
    this.#jointAddresses = this.joints.map((joint) => scalarJoint(engine, model, task.name, joint));
    this.#termJoints = jointIndices(task.observation, this.joints);
    this.#actuators = Int32Array.from(task.action, (term) => actuatorOf(engine, model, task.name, term));
    this.#position = new Float64Array(this.joints.length);
    this.#velocity = new Float64Array(this.joints.length);
    this.#data = new engine.MjData(model);
    this.#qpos = this.#data.qpos;
    this.#qvel = this.#data.qvel;
    this.#ctrl = this.#data.ctrl;
  }

  /** Puts the robot to a start state: the model's own, with the task's reset noise. */
  reset(random: Random): void {
    this.#mujoco.mj_resetData(this.#model, this.#data);
    this.#refresh();
    addNoise(this.#qpos, this.#task.reset.position, random);
    addNoise(this.#qvel, this.#task.reset.velocity, random);
    this.#mujoco.mj_forward(this.#model, this.#data);
  }

  /** Puts the robot to a given state, everything else (time, actuator state, warm start) to its beginning. */
  setState({ qpos, qvel }: State): void {
    this.#mujoco.mj_resetData(this.#model, this.#data);
    this.#refresh();
    this.#qpos.set(qpos);
    this.#qvel.set(qvel);
    this.#mujoco.mj_forward(this.#model, this.#data);
  }

  /** Sets the actuators to `command` `[m]` in their units, clipped to the task's limits. */
  actuate(command: ArrayLike<number>): void {
    this.#refresh();
    const terms = this.#task.action;
    for (let i = 0; i < terms.length; i++) {
      const [low, high] = terms[i].limits;
      this.#ctrl[this.#actuators[i]] = Math.min(high, Math.max(low, command[i]));
    }
  }

  /** Integrates `steps` timesteps. */
  advance(steps: number): void {
    for (let i = 0; i < steps; i++) this.#mujoco.mj_step(this.#model, this.#data);
  }

  /** Writes the observation of the present state into `out` `[n]`. */
  observe(out: Float32Array | Float64Array): void {
    this.measure(this.#position, this.#velocity);
    observe(this.#task.observation, this.#termJoints, this.#position, this.#velocity, out);
  }

  /** Writes position and velocity of `joints`, in that order, at `position[offset…]` and `velocity[offset…]`. */
  measure(position: Float64Array, velocity: Float64Array, positionOffset = 0, velocityOffset = 0): void {
    this.#refresh();
    const addresses = this.#jointAddresses;
    for (let i = 0; i < addresses.length; i++) {
      position[positionOffset + i] = this.#qpos[addresses[i].qpos];
      velocity[velocityOffset + i] = this.#qvel[addresses[i].qvel];
    }
  }

  /**
   * What an observation `[n]` tells of the state, into `out`: the inverse of `observe`. What no term holds, and what
   * was clipped, becomes NaN.
   */
  recall(observation: ArrayLike<number>, out: Snapshot): void {
    out.qpos.fill(Number.NaN);
    out.qvel.fill(Number.NaN);
    for (const [i, term] of this.#task.observation.entries()) {
      if (isClipped(term, observation[i])) continue;
      const address = this.#jointAddresses[this.#termJoints[i]];
      const value = observation[i] / term.scale + term.offset;
      if (term.kind === 'jointPosition') out.qpos[address.qpos] = value;
      else out.qvel[address.qvel] = value;
    }
  }

  /** The MJCF's range of each of `joints` that has one, rad or m. */
  jointRanges(): Map<string, [number, number]> {
    const ranges = new Map<string, [number, number]>();
    for (const joint of this.joints) {
      const accessor = this.#model.jnt(joint);
      if (accessor.limited) ranges.set(joint, [accessor.range[0], accessor.range[1]]);
      accessor.delete();
    }
    return ranges;
  }

  /** An empty snapshot of this robot's size, for `capture`. */
  snapshot(): Snapshot {
    return new Snapshot(this.qposSize, this.qvelSize, this.#addresses);
  }

  /** Copies the present state into `out`. */
  capture(out: Snapshot): void {
    this.#refresh();
    out.qpos.set(this.#qpos);
    out.qvel.set(this.#qvel);
  }

  /** Lets `change` edit the compiled model, and recomputes what MuJoCo derives from it. The robot's state stays. */
  alter(change: (model: MjModel) => void): void {
    this.#refresh();
    const position = this.#qpos.slice();
    change(this.#model);
    // It leaves the model's own start position behind.
    this.#mujoco.mj_setConst(this.#model, this.#data);
    this.#refresh();
    this.#qpos.set(position);
    this.#mujoco.mj_forward(this.#model, this.#data);
  }

  dispose(): void {
    this.#data.delete();
    this.#model.delete();
  }

  #refresh(): void {
    if (this.#qpos.length > 0) return;
    this.#qpos = this.#data.qpos;
    this.#qvel = this.#data.qvel;
    this.#ctrl = this.#data.ctrl;
  }
}

/** Whether a number of an observation, float32, stands at its term's clip: the value behind it is not known. */
export function isClipped({ clip }: ObservationTerm, value: number): boolean {
  return clip !== undefined && Math.abs(value) >= Math.fround(clip);
}

function compile(engine: MainModule, { name, mjcf }: TaskDefinition): MjModel {
  const files = new engine.MjVFS();
  try {
    for (const [path, content] of mjcf.assets) files.addBuffer(path, content);
    return engine.MjModel.from_xml_string(mjcf.xml, files);
  } catch (error) {
    throw new FarsightError(`task '${name}': bad MJCF: ${messageOf(error)}`);
  } finally {
    files.delete();
  }
}

function addNoise(values: Float64Array, { distribution, scale }: Noise, random: Random): void {
  for (let i = 0; i < values.length; i++) {
    values[i] += distribution === 'uniform' ? random.uniform(-scale, scale) : scale * random.normal();
  }
}

function jointAddresses(engine: MainModule, model: MjModel): Map<string, JointAddress> {
  const addresses = new Map<string, JointAddress>();
  for (let id = 0; id < model.njnt; id++) {
    const name = engine.mj_id2name(model, engine.mjtObj.mjOBJ_JOINT.value, id);
    if (name) addresses.set(name, { qpos: model.jnt_qposadr[id], qvel: model.jnt_dofadr[id] });
  }
  return addresses;
}

function jointId(engine: MainModule, model: MjModel, task: string, joint: string): number {
  const id = engine.mj_name2id(model, engine.mjtObj.mjOBJ_JOINT.value, joint);
  if (id < 0) {
    const known = [...jointAddresses(engine, model).keys()].join(', ');
    throw new FarsightError(`task '${task}': there is no joint '${joint}' in the MJCF; it names ${known}`);
  }
  return id;
}

function scalarJoint(engine: MainModule, model: MjModel, task: string, joint: string): JointAddress {
  const id = jointId(engine, model, task, joint);
  const { mjJNT_HINGE, mjJNT_SLIDE } = engine.mjtJoint;
  const type = model.jnt_type[id];
  if (type !== mjJNT_HINGE.value && type !== mjJNT_SLIDE.value) {
    throw new FarsightError(
      `task '${task}': joint '${joint}' is a free or ball joint; terms take hinge and slide joints`,
    );
  }
  return { qpos: model.jnt_qposadr[id], qvel: model.jnt_dofadr[id] };
}

/** The one actuator that drives an action term's joint. */
function actuatorOf(
  engine: MainModule,
  model: MjModel,
  task: string,
  { joint, limits }: TaskDefinition['action'][number],
): number {
  const id = jointId(engine, model, task, joint);
  const drives: number[] = [];
  for (let i = 0; i < model.nu; i++) {
    const isJoint = model.actuator_trntype[i] === engine.mjtTrn.mjTRN_JOINT.value;
    if (isJoint && model.actuator_trnid[2 * i] === id) drives.push(i);
  }
  if (drives.length !== 1) {
    throw new FarsightError(
      `task '${task}': joint '${joint}' has ${drives.length} actuators in the MJCF; an action term wants exactly one`,
    );
  }
  const [low, high]: [number, number] = [
    model.actuator_ctrlrange[2 * drives[0]],
    model.actuator_ctrlrange[2 * drives[0] + 1],
  ];
  if (low < high && (limits[0] < low || limits[1] > high)) {
    throw new FarsightError(
      `task '${task}': limits ${limits[0]} … ${limits[1]} of action '${joint}' leave its actuator's ctrlrange ${low} … ${high}`,
    );
  }
  return drives[0];
}
