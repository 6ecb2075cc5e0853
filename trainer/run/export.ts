// Export of π₀: the acting policy whole, from observation to actuator command, as the one file that the robot loads.
import { execFileSync } from 'node:child_process';
import { MANIFEST_VERSION, type Manifest } from '../../contract/manifest.js';
import { INPUT, OUTPUT, type PolicyFile, writePolicyFile } from '../../contract/policyFile.js';
import { mlpNames } from '../nets/mlp.js';
import { meanAction, NORMALIZER } from '../nets/policy.js';
import { Random } from '../random.js';
import { type Task, taskInterface } from '../sim/task.js';
import { toOnnx } from '../tensor/graph.js';
import '../tensor/kernels.js';
import type { Episode } from '../mpdp/evaluate.js';
import type { Agent } from '../mpdp/networks.js';
import type { Replay } from '../mpdp/replay.js';
import { simplify } from '../tensor/simplify.js';
import { type Tensor, type Tensors, tf } from '../tensor/tf.js';
import { trace } from '../tensor/trace.js';
import { deriveSafety } from './safetyLimits.js';

const SELF_CHECKS = 16;

/** What the exporter cannot know by itself. */
export interface Provenance {
  seed: number;
  preset: string;
  environmentSteps: number;
  return: number | null;
  selectionReturn?: number;
  datasets?: string[];
  parent?: string | null;
}

/** What is exported, and what was seen of it. */
export interface Exported {
  agent: Agent;
  task: Task;
  /** Gives the statistics and the self-check's observations. */
  replay: Replay;
  /** Episodes of π₀ without noise. */
  evaluated: readonly Episode[];
}

/** Writes π₀ to `path`; `parent` is the manifest of the policy that it was refined from. */
export function exportPolicy(
  path: string,
  { agent, task, replay, evaluated }: Exported,
  provenance: Provenance,
  parent?: Manifest,
): PolicyFile {
  const { networks, policies, scales } = agent;
  const size = networks.observationSize;
  const low = task.action.map(({ limits }) => limits[0]);
  const high = task.action.map(({ limits }) => limits[1]);
  const program = (observation: Tensor): Tensor => {
    const arrays = { ...policies[0].arrays, ...scales };
    const t: Tensors = Object.fromEntries(
      [...mlpNames(networks.policy), NORMALIZER.mean, NORMALIZER.sd].map((name) => [
        name,
        tf.tensor(arrays[name].data.slice(), [...arrays[name].shape]),
      ]),
    );
    const half = high.map((value, i) => (value - low[i]) / 2);
    const middle = high.map((value, i) => (value + low[i]) / 2);
    return tf.add(
      tf.mul(meanAction(networks.policy, t, observation), tf.tensor1d(half)),
      tf.tensor1d(middle),
    );
  };
  const graph = toOnnx(
    simplify(trace('policy', { [INPUT]: [1, size] }, (t) => ({ [OUTPUT]: program(t[INPUT]) }))),
  );
  // The expected actions come from eager TensorFlow.js: the check compares two implementations, not one with itself.
  tf.setBackend('cpu');
  const random = new Random(provenance.seed);
  const selfCheck = Array.from({ length: SELF_CHECKS }, () => {
    const observation = replay.row(random.integer(replay.size)).slice(0, size);
    const action = tf.tidy(() => program(tf.tensor(observation.slice(), [1, size])).dataSync());
    return { observation: [...observation], action: [...action] };
  });
  const statistics = replay.observationStatistics();
  return writePolicyFile(path, graph, {
    version: MANIFEST_VERSION,
    ...taskInterface(task),
    ...deriveSafety(task, { replay, evaluated, statistics }, parent),
    provenance: {
      datasets: [],
      parent: null,
      ...provenance,
      created: new Date().toISOString(),
      sourceRevision: sourceRevision(),
    },
    observationStatistics: statistics,
    selfCheck,
  });
}

/** The commit of this checkout, or 'unknown' outside of one. */
function sourceRevision(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .trim();
  } catch {
    return 'unknown';
  }
}
