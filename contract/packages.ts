// How a package that is not there is installed: in a checkout, and beside Farsight where that was installed.
import { existsSync, readFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url);
/** Packages that are of use together alone. */
const FAMILIES = [/^@(mujoco|tensorflow)\//, /^(bullmq|ioredis)$/];

/** The command that installs the package `name`, with those that it is of use with. */
export function installCommand(name: string): string {
  // What is packed has no set-up.
  if (existsSync(new URL('launch/setup.mjs', ROOT))) return 'npm ci';
  const {
    devDependencies,
    optionalDependencies,
  }: Record<string, Record<string, string>> = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'));
  const family = FAMILIES.find((one) => one.test(name));
  const wanted = Object.entries({ ...devDependencies, ...optionalDependencies }).filter(([other]) =>
    family ? family.test(other) : other === name,
  );
  return `npm install ${wanted.map(([other, version]) => `${other}@${version}`).join(' ') || name}`;
}

/** The same for all that package-lock.json names, when something of it is broken. */
export const REINSTALL =
  'install the packages again: rm -r node_modules; ONNXRUNTIME_NODE_INSTALL=skip npm install';

/** Downloads ONNX Runtime's CUDA provider, which is too large for its package. */
export const INSTALL_CUDA =
  'ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js';
