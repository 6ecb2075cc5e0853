// What a page of `farsight play` holds beside its code: the task without its functions, the policy, how to begin.
import type { Manifest } from '../../contract/manifest.js';
import type { Task } from '../../trainer/sim/task.js';
import type { PackedGraph } from './network.js';

export interface PageData {
  task: Omit<Task, 'reward' | 'terminated' | 'mjcf' | 'jointRanges'> & {
    /** Assets in base64, by name. */
    mjcf: { xml: string; assets: [string, string][] };
    jointRanges: [string, readonly [number, number]][];
  };
  manifest: Manifest;
  graph: PackedGraph;
  /** SHA-256 of the policy file. */
  sha256: string;
  seed: number;
}

/** Ids of the page's elements that hold the data as JSON, and MuJoCo's WebAssembly, compressed with gzip, in base64. */
export const DATA_ID = 'farsight-data';
export const MUJOCO_ID = 'farsight-mujoco';

/** What a task's file exports, as far as a page needs it. */
export type TaskFunctions = Pick<Task, 'reward' | 'terminated'>;

/** The task whole again. */
export function unpackTask({ task }: PageData, { reward, terminated }: TaskFunctions): Task {
  const assets = task.mjcf.assets.map(([name, text]): [string, Uint8Array] => [
    name,
    Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)),
  ]);
  return {
    ...task,
    mjcf: { xml: task.mjcf.xml, assets: new Map(assets) },
    jointRanges: new Map(task.jointRanges),
    reward,
    terminated,
  };
}
