// The page of `farsight play` as text: everything inside, for any browser, without a network.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { FarsightError } from '../../contract/errors.js';
import { decodeModel } from '../../contract/onnx.js';
import { readPolicyFile, selfCheck } from '../../contract/policyFile.js';
import { interfaceDifference } from '../../contract/terms.js';
import { escapeHtml } from '../../trainer/report/page.js';
import { loadTask, type Task, taskInterface } from '../../trainer/sim/task.js';
import { policyTask } from '../policyTask.js';
import { bundlePage, checkPackages } from './bundle.js';
import { networkOf, packGraph } from './network.js';
import { DATA_ID, MUJOCO_ID, type PageData } from './pageData.js';
import { PLAY_STYLE, playBody } from './pageLayout.js';

export interface PageOptions {
  policy: string;
  /** A task's name or the path of its file; the one that `policyTask` finds when left out. */
  task?: string;
  seed: number;
  /** The page's module that starts it: the one for people when left out. */
  entry?: 'main.js' | 'recorder.js';
}

/**
 * The page as HTML. Throws a `FarsightError` when the policy, the task or the two together do not do, when a package
 * is missing, or when the page would not compute what the policy's manifest says.
 */
export async function makePage({ policy: path, task: name, seed, entry = 'main.js' }: PageOptions) {
  checkPackages(entry === 'recorder.js' ? ['mediabunny', 'modern-gif'] : []);
  const given = name === undefined ? undefined : await loadTask(name);
  const policy = readPolicyFile(path, given?.name);
  const { manifest } = policy;
  const task = given ?? (await loadTask(await policyTask(path, manifest)));
  const difference = interfaceDifference(manifest, taskInterface(task));
  if (difference)
    throw new FarsightError(`policy '${path}': ${difference}; was the task changed since the export?`);
  const graph = packGraph(decodeModel(policy.bytes).graph);
  selfCheck(path, manifest, networkOf(graph));
  const data: PageData = { task: packTask(task), manifest, graph, sha256: policy.sha256, seed };
  const script = await bundlePage(entry, task.source);
  const wasm = createRequire(import.meta.url).resolve('@mujoco/mujoco/mujoco.wasm');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="generator" content="farsight">
<link rel="icon" href="data:,">
<title>${escapeHtml(task.name)} · Farsight</title>
<style>${PLAY_STYLE}</style>
</head>
<body>
${playBody(escapeHtml(task.name))}
<script type="application/json" id="${DATA_ID}">${JSON.stringify(data).replaceAll('<', '\\u003c')}</script>
<script type="application/octet-stream" id="${MUJOCO_ID}">${gzipSync(readFileSync(wasm), { level: 9 }).toString('base64')}</script>
<script type="module">${script}</script>
</body>
</html>
`;
}

function packTask(task: Task): PageData['task'] {
  const { reward: _, terminated: __, mjcf, jointRanges, ...rest } = task;
  const assets = [...mjcf.assets].map(([name, content]): [string, string] => [
    name,
    Buffer.from(content).toString('base64'),
  ]);
  // Where the task's file lies is nobody's business who gets the page.
  return { ...rest, source: task.name, mjcf: { xml: mjcf.xml, assets }, jointRanges: [...jointRanges] };
}
