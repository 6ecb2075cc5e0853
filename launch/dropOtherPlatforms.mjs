// Drops ONNX Runtime's libraries for other systems than this one, three quarters of what an installation takes. Plain
// JavaScript: `node node_modules/farsight/launch/dropOtherPlatforms.mjs` where the package was installed, and what sets
// a checkout up calls it.
import { existsSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** In the folder of installed packages `modules`. */
export function dropOtherPlatforms(modules) {
  const bin = join(modules, 'onnxruntime-node', 'bin');
  if (!existsSync(bin)) return;
  for (const version of readdirSync(bin)) {
    for (const platform of readdirSync(join(bin, version))) {
      for (const processor of readdirSync(join(bin, version, platform))) {
        if (platform !== process.platform || processor !== process.arch)
          rmSync(join(bin, version, platform, processor), { recursive: true });
      }
    }
  }
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  dropOtherPlatforms(resolve('node_modules'));
