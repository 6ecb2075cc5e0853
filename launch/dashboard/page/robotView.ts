// The robot in three dimensions as it stands, or as it stood around a fault: its MJCF by MuJoCo's kinematics and three.js.
import loadMujoco, { type MainModule, type MjData, type MjModel } from '@mujoco/mujoco';
import type { Replay, RobotModel } from '../../../bridge/pageMessages.js';
import { FREE_JOINT, type FreeJointPlaces, freeJointNumber } from '../../../contract/freeJoint.js';
import { Stage } from '../../play/page/stage.js';
import { isDark, onTheme } from './theme.js';

type Position = Replay['poses'][number]['position'];

let loading: Promise<MainModule> | undefined;

function mujoco(): Promise<MainModule> {
  loading ??= fetch('/mujoco.wasm').then(async (response) => {
    const wasmBinary = await response.arrayBuffer();
    const remark = (line: string) => console.info(`mujoco: ${line}`);
    return (loadMujoco as (options: object) => Promise<MainModule>)({
      wasmBinary,
      print: remark,
      printErr: remark,
    });
  });
  return loading;
}

/** Ends with `dispose`. */
export class RobotView {
  readonly #mujoco: MainModule;
  readonly #model: MjModel;
  readonly #data: MjData;
  readonly #stage: Stage;
  readonly #observer: ResizeObserver;
  readonly #places = new Map<string, number>();
  #drawn = 0;

  /** Compiles the model; throws what MuJoCo says of one that it refuses. */
  static async create(host: HTMLElement, robot: RobotModel): Promise<RobotView> {
    const engine = await mujoco();
    const files = new engine.MjVFS();
    try {
      for (const [name, content] of robot.assets)
        files.addBuffer(
          name,
          Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)),
        );
      return new RobotView(host, engine, engine.MjModel.from_xml_string(robot.xml, files));
    } finally {
      files.delete();
    }
  }

  private constructor(host: HTMLElement, engine: MainModule, model: MjModel) {
    this.#mujoco = engine;
    this.#model = model;
    this.#data = new engine.MjData(model);
    this.#kinematics();
    const canvas = document.createElement('canvas');
    canvas.tabIndex = 0;
    canvas.setAttribute('aria-label', 'The robot as it stands; drag to look around');
    host.replaceChildren(canvas);
    this.#stage = new Stage(canvas, { mujoco: engine, model, data: this.#data });
    this.#stage.setTheme(isDark() ? 'dark' : 'light');
    onTheme(() => this.#stage.setTheme(isDark() ? 'dark' : 'light'));
    this.#observer = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = host;
      if (clientWidth > 0) this.#stage.resize(clientWidth, clientHeight, Math.min(1.5, devicePixelRatio));
    });
    this.#observer.observe(host);
  }

  /** Puts the joints that have a value there; the others stay where they are, as where the robot walks to is not measured. */
  put(joints: readonly string[], position: Position): void {
    const { qpos }: { qpos: Float64Array } = this.#data;
    for (const [i, joint] of joints.entries()) {
      const place = this.#place(joint);
      const value = position[i];
      if (place >= 0 && value !== null) qpos[place] = value;
    }
    this.#kinematics();
  }

  /** Places of the bodies, for those who test it: x, y, z of each. */
  get bodies(): number[] {
    return Array.from(this.#data.xpos as Float64Array);
  }

  draw(time: number): void {
    this.#stage.draw(Math.min(0.25, (time - this.#drawn) / 1000));
    this.#drawn = time;
  }

  home(): void {
    this.#stage.home();
  }

  dispose(): void {
    this.#observer.disconnect();
    this.#stage.renderer.dispose();
    this.#stage.renderer.forceContextLoss();
    this.#data.delete();
    this.#model.delete();
  }

  #kinematics(): void {
    this.#mujoco.mj_kinematics(this.#model, this.#data);
    this.#mujoco.mj_comPos(this.#model, this.#data);
  }

  /** Of a joint's position in the model's state; -1 of one that the model does not have. */
  #place(joint: string): number {
    let place = this.#places.get(joint);
    if (place === undefined) {
      const free = freeJointNumber(joint);
      const id = this.#mujoco.mj_name2id(
        this.#model,
        this.#mujoco.mjtObj.mjOBJ_JOINT.value,
        free?.body ?? joint,
      );
      const within: FreeJointPlaces = free ? FREE_JOINT[free.number] : { position: 0 };
      place = id < 0 || within.position === undefined ? -1 : this.#model.jnt_qposadr[id] + within.position;
      this.#places.set(joint, place!);
    }
    return place!;
  }
}
