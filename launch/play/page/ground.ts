// The ground that the robot walks on: a grid of metres that goes along, in the colours of a light page and of a dark one.
import {
  CanvasTexture,
  Mesh,
  MeshLambertMaterial,
  PlaneGeometry,
  RepeatWrapping,
  SRGBColorSpace,
  type WebGLRenderer,
} from 'three';

export interface Theme {
  sky: string;
  ground: string;
  line: string;
  strong: string;
  light: number;
}
export const THEMES: Record<'light' | 'dark', Theme> = {
  light: { sky: '#e8edf4', ground: '#dfe5ee', line: '#c3ccd9', strong: '#9fabbd', light: 1 },
  dark: { sky: '#12161d', ground: '#1c222b', line: '#2c3541', strong: '#465263', light: 0.85 },
};
/** Metres that are drawn around the robot, and what the ground is moved by. */
const SIZE = 120;
const TILE = 10;

export class Ground {
  readonly mesh = new Mesh(new PlaneGeometry(SIZE, SIZE), new MeshLambertMaterial());
  readonly #sharpness: number;

  constructor(renderer: WebGLRenderer) {
    this.#sharpness = sharpness(renderer);
    this.mesh.receiveShadow = true;
  }

  setTheme(theme: Theme): void {
    const { material } = this.mesh;
    material.map?.dispose();
    material.map = grid(theme, this.#sharpness);
    material.needsUpdate = true;
  }

  /** Lies under a place; the grid stays where it is in the world. */
  goTo(x: number, y: number): void {
    this.mesh.position.x = TILE * Math.round(x / TILE);
    this.mesh.position.y = TILE * Math.round(y / TILE);
  }
}

/** Samples of a texture along the view: many where a graphics processor takes them, one where the main one has to. */
function sharpness({ capabilities, getContext }: WebGLRenderer): number {
  const context = getContext();
  const named = context.getExtension('WEBGL_debug_renderer_info');
  const name = named ? String(context.getParameter(named.UNMASKED_RENDERER_WEBGL)) : '';
  return /swiftshader|llvmpipe|software/i.test(name) ? 1 : capabilities.getMaxAnisotropy();
}

/** Ten by ten squares of a metre. */
function grid({ ground, line, strong }: Theme, anisotropy: number): CanvasTexture {
  const size = 1024;
  const canvas = document.createElement('canvas');
  canvas.width = size;
  canvas.height = size;
  const context = canvas.getContext('2d')!;
  context.fillStyle = ground;
  context.fillRect(0, 0, size, size);
  for (let i = 0; i <= TILE; i++) {
    const at = (i * size) / TILE;
    context.fillStyle = i % TILE === 0 ? strong : line;
    const width = i % TILE === 0 ? 6 : 3;
    context.fillRect(at - width / 2, 0, width, size);
    context.fillRect(0, at - width / 2, size, width);
  }
  const texture = new CanvasTexture(canvas);
  texture.wrapS = RepeatWrapping;
  texture.wrapT = RepeatWrapping;
  texture.repeat.set(SIZE / TILE, SIZE / TILE);
  texture.anisotropy = anisotropy;
  texture.colorSpace = SRGBColorSpace;
  return texture;
}
