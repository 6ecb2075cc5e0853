// A Minari dataset's HDF5 file, through the HDF5 library itself as WebAssembly (h5wasm), which is loaded for it alone.
import { resolve } from 'node:path';
import { FarsightError, messageOf } from '../../contract/errors.js';
import type { MinariEpisode, MinariFile } from './minariFile.js';

/** Throws a `FarsightError` that names the file when it is not whole. */
export async function openHdf5(path: string): Promise<MinariFile> {
  const { default: h5wasm } = await import('h5wasm/node');
  const library = await h5wasm.ready;
  // Its errors otherwise go to stderr, a page of each.
  library.activate_throwing_error_handler();
  const refuse = (error: unknown) =>
    new FarsightError(`'${path}' cannot be read as HDF5: ${reasonOf(error)}; copy it again`);
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw error instanceof FarsightError ? error : refuse(error);
    }
  };
  const file = attempt(() => new h5wasm.File(resolve(path), 'r'));
  const names = new Set(attempt(() => file.keys()));
  return {
    read(id, place): MinariEpisode {
      const group = `episode_${id}`;
      if (!names.has(group)) throw new FarsightError(`${place}: '${path}' has no '${group}': copy it again`);
      const values = (name: string): ArrayLike<number> | undefined => {
        const entity = attempt(() => file.get(`${group}/${name}`));
        if (!(entity instanceof h5wasm.Dataset)) return undefined;
        const numbers = attempt(() => entity.value);
        if (numbers instanceof BigInt64Array) return Array.from(numbers, Number);
        return ArrayBuffer.isView(numbers) ? (numbers as unknown as ArrayLike<number>) : undefined;
      };
      const wanted = (name: string) => {
        const found = values(name);
        if (found) return found;
        throw new FarsightError(`${place}: '${path}' has no numbers in '${group}/${name}'`);
      };
      return {
        observations: wanted('observations'),
        actions: wanted('actions'),
        terminations: wanted('terminations'),
      };
    },
    close() {
      file.close();
    },
  };
}

/** The library tells the way of an error from the outside in: the last of it is what is wrong. */
function reasonOf(error: unknown): string {
  const told = [...messageOf(error).matchAll(/in H5\w+\(\): ([^;]+)/g)].map(([, why]) => why.trim());
  return told.at(-1) ?? messageOf(error).slice(0, 200);
}
