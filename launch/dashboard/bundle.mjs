// Bundles the dashboard's page into the package, with uPlot, three.js and MuJoCo: it is served without any of them
// installed, and without a network. Run by `launch/setup.mjs` once the TypeScript is built.
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));
const built = join(root, 'build', 'launch', 'dashboard', 'page');
const out = join(built, 'built');

mkdirSync(out, { recursive: true });
const { metafile } = await build({
  entryPoints: [join(built, 'main.js'), join(here, 'page', 'style.css')],
  outdir: out,
  entryNames: '[name]',
  bundle: true,
  // What draws the robot comes when a robot is to be drawn.
  splitting: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  target: ['chrome111', 'firefox115', 'safari16.4'],
  charset: 'ascii',
  legalComments: 'eof',
  metafile: true,
  logLevel: 'warning',
  // MuJoCo's JavaScript asks for them under Node alone.
  external: ['module', 'node:*', 'fs', 'path', 'url', 'crypto', 'worker_threads'],
});
const { licencesOf } = await import(pathToFileURL(join(root, 'build', 'launch', 'play', 'licences.js')).href);
writeFileSync(join(out, 'licences.txt'), licencesOf(metafile));
copyFileSync(join(here, 'page', 'index.html'), join(out, 'index.html'));
const wasm = join(root, 'node_modules', '@mujoco', 'mujoco', 'mujoco.wasm');
const packed = join(out, 'mujoco.wasm.gz');
if (!existsSync(packed) || statSync(packed).mtimeMs < statSync(wasm).mtimeMs)
  writeFileSync(packed, gzipSync(readFileSync(wasm), { level: 9 }));
