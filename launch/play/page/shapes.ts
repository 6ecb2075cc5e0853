// The robot's shapes as three.js draws them, from MuJoCo's compiled model.
import type { MainModule, MjModel } from '@mujoco/mujoco';
import {
  BoxGeometry,
  BufferAttribute,
  BufferGeometry,
  CapsuleGeometry,
  CylinderGeometry,
  PlaneGeometry,
  SphereGeometry,
} from 'three';

/** What MuJoCo gives a shape that names no colour of its own. */
const UNCOLOURED = [0.5, 0.5, 0.5, 1];
/** From the trunk outwards; the last one is the ends'. */
const LIMBS = ['#3f6fe0', '#5b8def', '#7fb0f5', '#f0a04b'];

/** A shape in its own frame, as MuJoCo lays it out; undefined for one that is not drawn. */
export function geometryOf(mujoco: MainModule, model: MjModel, geom: number): BufferGeometry | undefined {
  const [a, b, c]: number[] = model.geom_size.subarray(3 * geom, 3 * geom + 3);
  const { mjGEOM_PLANE, mjGEOM_SPHERE, mjGEOM_CAPSULE, mjGEOM_ELLIPSOID, mjGEOM_CYLINDER } = mujoco.mjtGeom;
  const { mjGEOM_BOX, mjGEOM_MESH } = mujoco.mjtGeom;
  switch (model.geom_type[geom]) {
    case mjGEOM_PLANE.value:
      return new PlaneGeometry(2 * (a || 50), 2 * (b || 50));
    case mjGEOM_SPHERE.value:
      return new SphereGeometry(a, 32, 20);
    case mjGEOM_CAPSULE.value:
      return new CapsuleGeometry(a, 2 * b, 10, 24).rotateX(Math.PI / 2);
    case mjGEOM_ELLIPSOID.value:
      return new SphereGeometry(1, 32, 20).scale(a, b, c);
    case mjGEOM_CYLINDER.value:
      return new CylinderGeometry(a, a, 2 * b, 32).rotateX(Math.PI / 2);
    case mjGEOM_BOX.value:
      return new BoxGeometry(2 * a, 2 * b, 2 * c);
    case mjGEOM_MESH.value:
      return meshOf(model, model.geom_dataid[geom]);
    default:
      return undefined;
  }
}

function meshOf(model: MjModel, mesh: number): BufferGeometry {
  const vertices = 3 * model.mesh_vertadr[mesh];
  const faces = 3 * model.mesh_faceadr[mesh];
  const geometry = new BufferGeometry();
  const positions = model.mesh_vert.slice(vertices, vertices + 3 * model.mesh_vertnum[mesh]);
  geometry.setAttribute('position', new BufferAttribute(Float32Array.from(positions), 3));
  geometry.setIndex(Array.from(model.mesh_face.slice(faces, faces + 3 * model.mesh_facenum[mesh])));
  const flat = geometry.toNonIndexed();
  flat.computeVertexNormals();
  return flat;
}

/** The MJCF's colour and opacity of a shape, or one that tells the robot's limbs apart. */
export function colourOf(model: MjModel, geom: number): { colour: string; opacity: number } {
  const rgba: number[] = Array.from(model.geom_rgba.slice(4 * geom, 4 * geom + 4));
  const material: number = model.geom_matid[geom];
  const own = material < 0 ? rgba : Array.from<number>(model.mat_rgba.slice(4 * material, 4 * material + 4));
  if (material >= 0 || own.some((value, i) => Math.abs(value - UNCOLOURED[i]) > 1e-6)) {
    const [r, g, b] = own.map((value) => Math.round(255 * value));
    return { colour: `rgb(${r},${g},${b})`, opacity: own[3] };
  }
  return { colour: limbColour(model, model.geom_bodyid[geom]), opacity: 1 };
}

function limbColour(model: MjModel, body: number): string {
  let depth = 0;
  for (let at = body; at > 0; at = model.body_parentid[at]) depth++;
  let isEnd = depth > 1;
  for (let other = 1; other < model.nbody; other++) if (model.body_parentid[other] === body) isEnd = false;
  return isEnd ? LIMBS[LIMBS.length - 1] : LIMBS[Math.min(depth - 1, LIMBS.length - 2)];
}
