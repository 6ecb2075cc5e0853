// MuJoCo in a page: its WebAssembly lies in the page itself, compressed. Stands in for the trainer's module of this name.
import loadMujoco, { type MainModule } from '@mujoco/mujoco';
import { MUJOCO_ID } from '../pageData.js';

let loading: Promise<MainModule> | undefined;

/** MuJoCo for this page, loaded once. */
export function mujoco(): Promise<MainModule> {
  loading ??= load();
  return loading;
}

async function load(): Promise<MainModule> {
  const element = document.getElementById(MUJOCO_ID)!;
  const packed = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  element.remove();
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  const wasmBinary = await new Response(unpacked).arrayBuffer();
  const remark = (line: string) => console.info(`mujoco: ${line}`);
  return (loadMujoco as (options: object) => Promise<MainModule>)({
    wasmBinary,
    print: remark,
    printErr: remark,
  });
}
