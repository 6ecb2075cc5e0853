// The robot in its world: its shapes, ground, light and shadow, a camera that goes along, and a hand that pushes.
import type { MainModule, MjData, MjModel } from '@mujoco/mujoco';
import {
  ArrowHelper,
  Color,
  CylinderGeometry,
  DirectionalLight,
  Fog,
  HemisphereLight,
  Matrix4,
  Mesh,
  MeshPhongMaterial,
  PCFShadowMap,
  PerspectiveCamera,
  Plane,
  Raycaster,
  Scene,
  Vector2,
  Vector3,
  WebGLRenderer,
} from 'three';
import { OrbitControls } from 'three/examples/jsm/controls/OrbitControls.js';
import type { Push } from '../push.js';
import { Ground, THEMES } from './ground.js';
import { colourOf, geometryOf } from './shapes.js';

/** What lies between MuJoCo's objects and a canvas. */
export class Stage {
  readonly renderer: WebGLRenderer;
  readonly #scene = new Scene();
  readonly #camera = new PerspectiveCamera(35, 1, 0.05, 200);
  readonly #controls: OrbitControls;
  readonly #sun = new DirectionalLight('#ffffff', 2.2);
  readonly #sky = new HemisphereLight('#ffffff', '#8896a8', 1.6);
  readonly #ground: Ground;
  readonly #shapes: { geom: number; body: number; mesh: Mesh }[] = [];
  readonly #arrow = new ArrowHelper(new Vector3(1, 0, 0), new Vector3(), 1, '#e5484d', 0.12, 0.07);
  readonly #data: MjData;
  readonly #root: number;
  readonly #target = new Vector3();
  readonly #distance: number;

  /** `shadow` is the width of the picture of the shadows, in pixels. */
  constructor(
    canvas: HTMLCanvasElement,
    { mujoco, model, data }: { mujoco: MainModule; model: MjModel; data: MjData },
    shadow = 2048,
  ) {
    this.#data = data;
    this.#root = model.nbody > 1 ? 1 : 0;
    this.renderer = new WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: false });
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = PCFShadowMap;
    this.#camera.up.set(0, 0, 1);
    this.#controls = new OrbitControls(this.#camera, canvas);
    this.#controls.enableDamping = true;
    this.#controls.enablePan = false;
    this.#controls.maxPolarAngle = Math.PI / 2 - 0.01;

    const floor = this.#addShapes(mujoco, model);
    this.#addRails(mujoco, model);
    this.#ground = new Ground(this.renderer);
    const { reach, low } = this.#measure();
    this.#ground.mesh.position.z = floor ?? low - 0.25;
    this.#distance = Math.max(2.6, 4.4 * reach);
    this.#sun.castShadow = true;
    this.#sun.shadow.mapSize.set(shadow, shadow);
    this.#sun.shadow.radius = 4;
    this.#sun.shadow.bias = -5e-4;
    const half = Math.max(1.5, 2 * reach);
    Object.assign(this.#sun.shadow.camera, { left: -half, right: half, top: half, bottom: -half, far: 40 });
    this.#arrow.visible = false;
    this.#scene.add(this.#ground.mesh, this.#sun, this.#sun.target, this.#sky, this.#arrow);
    this.setTheme('light');
    this.home();
  }

  /** Draws the floor and the air in the colours of a page that is light or dark. */
  setTheme(name: 'light' | 'dark'): void {
    const theme = THEMES[name];
    const { sky, light } = theme;
    this.#scene.background = new Color(sky);
    this.#scene.fog = new Fog(sky, 3 * this.#distance, 12 * this.#distance);
    this.#sun.intensity = 2.2 * light;
    this.#sky.intensity = 1.6 * light;
    this.#ground.setTheme(theme);
  }

  /** Where the camera stood at first: beside the robot, which walks to the right. */
  home(): void {
    this.#follow(1);
    this.#controls.target.copy(this.#target);
    const offset = new Vector3(-0.22, -1, 0.2).normalize().multiplyScalar(this.#distance);
    this.#camera.position.copy(this.#target).add(offset);
    this.#controls.update();
  }

  resize(width: number, height: number, ratio: number): void {
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(width, height, false);
    this.#camera.aspect = width / height;
    // A narrow picture shows as much to the sides as a square one.
    this.#camera.fov = 35 * Math.min(1.7, Math.max(1, 1 / this.#camera.aspect));
    this.#camera.updateProjectionMatrix();
  }

  /** Draws the present state; `seconds` since the last picture. */
  draw(seconds: number, push?: Push): void {
    const places: Float64Array = this.#data.geom_xpos;
    const turns: Float64Array = this.#data.geom_xmat;
    for (const { geom, mesh } of this.#shapes) {
      const [p, r] = [3 * geom, 9 * geom];
      // biome-ignore format: a matrix
      mesh.matrix.set(
        turns[r], turns[r + 1], turns[r + 2], places[p],
        turns[r + 3], turns[r + 4], turns[r + 5], places[p + 1],
        turns[r + 6], turns[r + 7], turns[r + 8], places[p + 2],
        0, 0, 0, 1,
      );
    }
    const before = this.#target.clone();
    this.#follow(1 - Math.exp(-6 * seconds));
    const moved = this.#target.clone().sub(before);
    this.#camera.position.add(moved);
    this.#controls.target.add(moved);
    this.#controls.update();
    this.#ground.goTo(this.#target.x, this.#target.y);
    this.#sun.target.position.copy(this.#target);
    this.#sun.position.copy(this.#target).add(new Vector3(-4, -5, 9));
    this.#drawPush(push);
    this.renderer.render(this.#scene, this.#camera);
  }

  /** What a pointer at `x`, `y` (from -1 to 1) grabs: the body, the point on it, and a way to drag that about. */
  grab(x: number, y: number): { push: Push; drag: (x: number, y: number) => Push['target'] } | undefined {
    const ray = new Raycaster();
    ray.setFromCamera(new Vector2(x, y), this.#camera);
    const movable = this.#shapes.filter(({ body }) => body > 0).map(({ mesh }) => mesh);
    const [hit] = ray.intersectObjects(movable, false);
    if (!hit) return undefined;
    const { body } = this.#shapes.find(({ mesh }) => mesh === hit.object)!;
    const point = hit.point.clone().applyMatrix4(this.#pose(body).invert()).toArray();
    const plane = new Plane().setFromNormalAndCoplanarPoint(
      this.#camera.getWorldDirection(new Vector3()),
      hit.point,
    );
    const drag = (toX: number, toY: number) => {
      ray.setFromCamera(new Vector2(toX, toY), this.#camera);
      return (ray.ray.intersectPlane(plane, new Vector3()) ?? hit.point).toArray();
    };
    return { push: { body, point, target: hit.point.toArray() }, drag };
  }

  /** Whether the camera turns with the pointer. */
  set turns(enabled: boolean) {
    this.#controls.enabled = enabled;
  }

  /** Adds what has a shape; returns the height of a level floor that the robot stands on. */
  #addShapes(mujoco: MainModule, model: MjModel): number | undefined {
    let floor: number | undefined;
    for (let geom = 0; geom < model.ngeom; geom++) {
      const body: number = model.geom_bodyid[geom];
      const isPlane = model.geom_type[geom] === mujoco.mjtGeom.mjGEOM_PLANE.value;
      if (isPlane && body === 0 && this.#data.geom_xmat[9 * geom + 8] > 0.999) {
        floor ??= this.#data.geom_xpos[3 * geom + 2];
        continue;
      }
      // Groups from 3 on are hidden by custom: what collides and is not to be seen.
      if (model.geom_group[geom] > 2) continue;
      const geometry = geometryOf(mujoco, model, geom);
      if (!geometry) continue;
      const { colour, opacity } = colourOf(model, geom);
      if (opacity === 0) continue;
      const material = new MeshPhongMaterial({ color: colour, shininess: 40, specular: '#333333' });
      material.transparent = opacity < 1;
      material.opacity = opacity;
      const mesh = new Mesh(geometry, material);
      mesh.castShadow = true;
      mesh.receiveShadow = true;
      mesh.matrixAutoUpdate = false;
      this.#scene.add(mesh);
      this.#shapes.push({ geom, body, mesh });
    }
    return floor;
  }

  /** The rails of bodies that slide in the world within a range. */
  #addRails(mujoco: MainModule, model: MjModel): void {
    for (let joint = 0; joint < model.njnt; joint++) {
      const body: number = model.jnt_bodyid[joint];
      const slides = model.jnt_type[joint] === mujoco.mjtJoint.mjJNT_SLIDE.value;
      const [low, high]: number[] = model.jnt_range.subarray(2 * joint, 2 * joint + 2);
      if (!slides || !(low < high) || model.body_parentid[body] !== 0) continue;
      const axis = new Vector3(...model.jnt_axis.subarray(3 * joint, 3 * joint + 3));
      const start = new Vector3(...model.body_pos.subarray(3 * body, 3 * body + 3));
      const rail = new Mesh(
        new CylinderGeometry(0.02, 0.02, high - low, 16),
        new MeshPhongMaterial({ color: '#8a94a3' }),
      );
      rail.quaternion.setFromUnitVectors(new Vector3(0, 1, 0), axis);
      rail.position.copy(start).addScaledVector(axis, (low + high) / 2);
      rail.castShadow = true;
      this.#scene.add(rail);
    }
  }

  /** How far the robot reaches from its root, and how low, m. */
  #measure(): { reach: number; low: number } {
    this.#follow(1);
    let [reach, low] = [0, 0];
    for (const { geom, mesh } of this.#shapes) {
      mesh.geometry.computeBoundingSphere();
      const { radius } = mesh.geometry.boundingSphere!;
      const place = new Vector3(...this.#data.geom_xpos.subarray(3 * geom, 3 * geom + 3));
      reach = Math.max(reach, Math.min(20, place.distanceTo(this.#target) + radius));
      low = Math.min(low, place.z - radius);
    }
    return { reach, low };
  }

  /** Moves what is looked at by `share` of the way to the robot. */
  #follow(share: number): void {
    const centre: Float64Array = this.#data.subtree_com;
    const wanted = new Vector3(...centre.subarray(3 * this.#root, 3 * this.#root + 3));
    if (wanted.toArray().every(Number.isFinite)) {
      // One that fell, or was put back, is there at once.
      if (wanted.distanceTo(this.#target) > 5) share = 1;
      this.#target.x += share * (wanted.x - this.#target.x);
      this.#target.y += share * (wanted.y - this.#target.y);
      this.#target.z += share * 0.3 * (wanted.z - this.#target.z);
      if (share === 1) this.#target.z = wanted.z;
    }
  }

  #pose(body: number): Matrix4 {
    const r: Float64Array = this.#data.xmat.subarray(9 * body, 9 * body + 9);
    const p: Float64Array = this.#data.xpos.subarray(3 * body, 3 * body + 3);
    return new Matrix4().set(
      r[0],
      r[1],
      r[2],
      p[0],
      r[3],
      r[4],
      r[5],
      p[1],
      r[6],
      r[7],
      r[8],
      p[2],
      0,
      0,
      0,
      1,
    );
  }

  #drawPush(push: Push | undefined): void {
    this.#arrow.visible = push !== undefined;
    if (!push) return;
    const from = new Vector3(...Array.from(push.point)).applyMatrix4(this.#pose(push.body));
    const way = new Vector3(...Array.from(push.target)).sub(from);
    const length = Math.max(0.02, way.length());
    this.#arrow.position.copy(from);
    this.#arrow.setDirection(way.normalize());
    this.#arrow.setLength(length, Math.min(0.12, length / 2), 0.07);
  }
}
