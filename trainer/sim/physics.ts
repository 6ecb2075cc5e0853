// One MuJoCo model with its data: the joints and actuators that a task names, within JavaScript's reach.
import type { MainModule, MjData, MjModel } from '@mujoco/mujoco';
import { FarsightError, messageOf } from '../../contract/errors.js';
import { FREE_JOINT, type FreeJointPlaces } from '../../contract/freeJoint.js';
import { jointIndices, jointsOf, type ObservationTerm, observe, termName } from '../../contract/terms.js';
import type { Random } from '../random.js';
import type { Noise, TaskDefinition } from './defineTask.js';
import { mujoco } from './mujoco.js';
import { type JointAddress, type Layout, Snapshot } from './snapshot.js';

/** A state of the simulation, in MuJoCo's order. */
export interface State {
  qpos: ArrayLike<number>;
  qvel: ArrayLike<number>;
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
  readonly #layout: Layout;
  readonly #jointAddresses: JointAddress[];
  readonly #termJoints: Int32Array;
  readonly #unclippedTerms: readonly ObservationTerm[];
  readonly #unclipped: Float32Array;
  readonly #actuators: Int32Array;
  readonly #position: Float64Array;
  readonly #velocity: Float64Array;
  // Views of WebAssembly memory: detached (length 0) whenever that memory grows, then taken anew.
  #qpos: Float64Array;
  #qvel: Float64Array;
  #ctrl: Float64Array;
  #xpos: Float64Array;
  #subtreeCentres: Float64Array;

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
    this.#layout = layoutOf(engine, model);
    this.#jointAddresses = this.joints.map((joint) =>
      scalarJoint(engine, model, this.#layout, task.name, joint),
    );
    this.#termJoints = jointIndices(task.observation, this.joints);
    for (const [i, term] of task.observation.entries()) {
      const { qpos, qvel } = this.#jointAddresses[this.#termJoints[i]];
      if ((term.kind === 'jointPosition' ? qpos : qvel) < 0) {
        throw new FarsightError(`task '${task.name}': there is no '${termName(term)}' of a free joint`);
      }
    }
    this.#unclippedTerms = task.observation.map(({ clip: _, ...term }) => term);
    this.#unclipped = new Float32Array(task.observation.length);
    this.#actuators = Int32Array.from(task.action, (term) => actuatorOf(engine, model, task.name, term));
    this.#position = new Float64Array(this.joints.length);
    this.#velocity = new Float64Array(this.joints.length);
    this.#data = new engine.MjData(model);
    this.#qpos = this.#data.qpos;
    this.#qvel = this.#data.qvel;
    this.#ctrl = this.#data.ctrl;
    this.#xpos = this.#data.xpos;
    this.#subtreeCentres = this.#data.subtree_com;
  }

  /** Puts the robot to a start state: the model's own, with the task's reset noise; quaternions are of unit length again. */
  reset(random: Random): void {
    this.#mujoco.mj_resetData(this.#model, this.#data);
    this.#refresh();
    addNoise(this.#qpos, this.#task.reset.position, random);
    addNoise(this.#qvel, this.#task.reset.velocity, random);
    this.#mujoco.mj_normalizeQuat(this.#model, this.#qpos);
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

  /** Everything that decides what comes next, as numbers: MuJoCo's whole integration state, the warm start included. */
  save(): Float64Array {
    const { mjSTATE_INTEGRATION } = this.#mujoco.mjtState;
    const state = new this.#mujoco.DoubleBuffer(
      this.#mujoco.mj_stateSize(this.#model, mjSTATE_INTEGRATION.value),
    );
    try {
      this.#mujoco.mj_getState(this.#model, this.#data, state, mjSTATE_INTEGRATION.value);
      return Float64Array.from(state.GetView());
    } finally {
      state.delete();
    }
  }

  /** Goes back to where `save` was called; what MuJoCo derives from that state is as after a step only from the next on. */
  restore(saved: Float64Array): void {
    const { mjSTATE_INTEGRATION } = this.#mujoco.mjtState;
    this.#mujoco.mj_setState(this.#model, this.#data, Array.from(saved), mjSTATE_INTEGRATION.value);
    this.#refresh();
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

  /** Whether the task's termination holds for what the observation measures, before any clip. */
  ended(): boolean {
    this.measure(this.#position, this.#velocity);
    observe(this.#unclippedTerms, this.#termJoints, this.#position, this.#velocity, this.#unclipped);
    return this.#task.terminated(this.#unclipped);
  }

  /** Writes position and velocity of `joints`, in that order, at `position[offset…]` and `velocity[offset…]`. */
  measure(position: Float64Array, velocity: Float64Array, positionOffset = 0, velocityOffset = 0): void {
    this.#refresh();
    const addresses = this.#jointAddresses;
    for (let i = 0; i < addresses.length; i++) {
      const { qpos, qvel } = addresses[i];
      position[positionOffset + i] = qpos < 0 ? 0 : this.#qpos[qpos];
      velocity[velocityOffset + i] = qvel < 0 ? 0 : this.#qvel[qvel];
    }
  }

  /**
   * What an observation `[n]` tells of the state, into `out`: the inverse of `observe`. What no term holds, and what
   * was clipped, becomes NaN.
   */
  recall(observation: ArrayLike<number>, out: Snapshot): void {
    out.qpos.fill(Number.NaN);
    out.qvel.fill(Number.NaN);
    out.xpos.fill(Number.NaN);
    out.centreOfMass.fill(Number.NaN);
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
    for (const [i, joint] of this.joints.entries()) {
      const accessor = this.#model.jnt(this.#jointAddresses[i].id);
      if (accessor.limited) ranges.set(joint, [accessor.range[0], accessor.range[1]]);
      accessor.delete();
    }
    return ranges;
  }

  /** An empty snapshot of this robot's size, for `capture`. */
  snapshot(): Snapshot {
    return new Snapshot(this.#layout);
  }

  /** Copies the present state into `out`. */
  capture(out: Snapshot): void {
    this.#refresh();
    out.qpos.set(this.#qpos);
    out.qvel.set(this.#qvel);
    out.xpos.set(this.#xpos);
    for (let i = 0; i < 3; i++) out.centreOfMass[i] = this.#subtreeCentres[i];
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

  /** MuJoCo's own objects, for who draws the robot or pushes it; valid until `dispose`. */
  get parts(): { mujoco: MainModule; model: MjModel; data: MjData } {
    return { mujoco: this.#mujoco, model: this.#model, data: this.#data };
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
    this.#xpos = this.#data.xpos;
    this.#subtreeCentres = this.#data.subtree_com;
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

function layoutOf(engine: MainModule, model: MjModel): Layout {
  const { mjOBJ_JOINT, mjOBJ_BODY } = engine.mjtObj;
  const { mjJNT_FREE, mjJNT_HINGE, mjJNT_SLIDE } = engine.mjtJoint;
  const joints = new Map<string, JointAddress>();
  for (const [id, name] of namesOf(engine, model, mjOBJ_JOINT.value, model.njnt).entries()) {
    if (name === '') continue;
    const [qpos, qvel]: [number, number] = [model.jnt_qposadr[id], model.jnt_dofadr[id]];
    const type = model.jnt_type[id];
    joints.set(name, { id, qpos, qvel, scalar: type === mjJNT_HINGE.value || type === mjJNT_SLIDE.value });
    if (type !== mjJNT_FREE.value) continue;
    for (const [number, { position, velocity }] of Object.entries<FreeJointPlaces>(FREE_JOINT)) {
      joints.set(`${name}.${number}`, {
        id,
        qpos: position === undefined ? -1 : qpos + position,
        qvel: velocity === undefined ? -1 : qvel + velocity,
        scalar: true,
      });
    }
  }
  const bodies = namesOf(engine, model, mjOBJ_BODY.value, model.nbody);
  return { qpos: model.nq, qvel: model.nv, joints, bodies };
}

/** The names of all parts of a kind (`mjtObj`), in MuJoCo's order; '' of one that has none. */
function namesOf(engine: MainModule, model: MjModel, kind: number, count: number): string[] {
  return Array.from({ length: count }, (_, id) => engine.mj_id2name(model, kind, id) ?? '');
}

function unknownJoint(engine: MainModule, model: MjModel, task: string, joint: string): FarsightError {
  const names = namesOf(engine, model, engine.mjtObj.mjOBJ_JOINT.value, model.njnt);
  const known = names.filter((name) => name !== '').join(', ');
  return new FarsightError(`task '${task}': there is no joint '${joint}' in the MJCF; it names ${known}`);
}

/** A joint of the interface: a hinge or slide joint, or a number of a free one. */
function scalarJoint(
  engine: MainModule,
  model: MjModel,
  { joints }: Layout,
  task: string,
  joint: string,
): JointAddress {
  const address = joints.get(joint);
  if (!address) throw unknownJoint(engine, model, task, joint);
  if (!address.scalar) {
    throw new FarsightError(
      `task '${task}': joint '${joint}' is a free or ball joint; terms take hinge and slide joints, and the numbers of a free joint (${joint}.x, ${joint}.qw, ${joint}.wx)`,
    );
  }
  return address;
}

/** The one actuator that drives an action term's joint. */
function actuatorOf(
  engine: MainModule,
  model: MjModel,
  task: string,
  { joint, limits }: TaskDefinition['action'][number],
): number {
  const id = engine.mj_name2id(model, engine.mjtObj.mjOBJ_JOINT.value, joint);
  if (id < 0) throw unknownJoint(engine, model, task, joint);
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
