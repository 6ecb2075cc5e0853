// The MuJoCo module of this thread: loaded once, on first use.
import type { MainModule } from '@mujoco/mujoco';
import { FarsightError } from '../../contract/errors.js';

let loading: Promise<MainModule> | undefined;

/** MuJoCo for this thread. Throws a `FarsightError` when the package is not installed (a robot's computer). */
export function mujoco(): Promise<MainModule> {
  loading ??= load();
  return loading;
}

async function load(): Promise<MainModule> {
  let factory: (options: object) => Promise<MainModule>;
  try {
    factory = (await import('@mujoco/mujoco')).default;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new FarsightError("simulation needs MuJoCo: run 'npm install @mujoco/mujoco'");
  }
  // MuJoCo's warnings are remarks: stdout holds only results.
  const remark = (line: string) => process.stderr.write(`mujoco: ${line}\n`);
  return factory({ print: remark, printErr: remark });
}
