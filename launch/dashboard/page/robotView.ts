// The robot in three dimensions as it stands, or as it stood around a fault: its MJCF by MuJoCo's kinematics and three.js.
import loadMujoco, { type MainModule, type MjData, type MjModel } from '@mujoco/mujoco';
import type { Replay, RobotModel } from '../../../bridge/pageMessages.js';
import { FREE_JOINT, type FreeJointPlaces, freeJointNumber } from '../../../contract/freeJoint.js';
import { Stage } from '../../play/page/stage.js';
import { isDark, onTheme } from './theme.js';

/** Pixels: the picture is small. */
const SHADOW = 512;
/**
 * A picture that is not done after so long, ms, is drawn without a graphics processor: it gets coarser, down to so many pixels
 * a pixel of the page, and takes no more than this share of the time.
 */
const SLOW = 25;
const COARSEST = 0.6;
const MOST = 0.3;

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
  /** The picture has not the size that it should have. */
  stale = true;
  readonly #mujoco: MainModule;
  readonly #model: MjModel;
  readonly #data: MjData;
  readonly #stage: Stage;
  readonly #host: HTMLElement;
  readonly #observer: ResizeObserver;
  readonly #places = new Map<string, number>();
  #drawn = 0;
  /** Pixels a pixel of the page. */
  #ratio = Math.min(1.5, devicePixelRatio);
  /** What tells that the graphics processor has done its drawing, and when it began. */
  #fence: WebGLSync | null = null;
  #began = 0;
  /** Not before then, ms. */
  #next = 0;

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
    this.#stage = new Stage(canvas, { mujoco: engine, model, data: this.#data }, SHADOW);
    this.#stage.setTheme(isDark() ? 'dark' : 'light');
    onTheme(() => this.#stage.setTheme(isDark() ? 'dark' : 'light'));
    this.#host = host;
    this.#observer = new ResizeObserver(() => {
      this.stale = true;
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

  /**
   * Draws, unless the drawing before is not done, or took so long that the rest of the page needs its share of the processor
   * first. Returns whether it did.
   */
  draw(time: number): boolean {
    const context = this.#stage.renderer.getContext() as WebGL2RenderingContext;
    if (this.#fence) {
      if (context.getSyncParameter(this.#fence, context.SYNC_STATUS) !== context.SIGNALED) return false;
      context.deleteSync(this.#fence);
      this.#fence = null;
      const took = time - this.#began;
      if (took > SLOW) this.#spare(time, took);
    }
    if (time < this.#next) return false;
    // Another size empties the picture: it is drawn at once.
    if (this.stale) this.#resize();
    this.stale = false;
    this.#stage.draw(Math.min(0.25, (time - this.#drawn) / 1000));
    this.#fence = context.fenceSync(context.SYNC_GPU_COMMANDS_COMPLETE, 0);
    this.#drawn = time;
    this.#began = time;
    return true;
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

  #spare(time: number, took: number): void {
    this.#next = time + took * (1 / MOST - 1);
    if (this.#ratio <= COARSEST) return;
    this.#ratio = Math.max(COARSEST, 0.8 * this.#ratio);
    this.stale = true;
  }

  #resize(): void {
    const { clientWidth, clientHeight } = this.#host;
    if (clientWidth > 0) this.#stage.resize(clientWidth, clientHeight, this.#ratio);
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
