// The directory of a refitted run: made aside by one process alone, and in its place as a whole.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { place } from '../../contract/asideDirectory.js';
import { FarsightError, messageOf } from '../../contract/errors.js';
import type { Manifest } from '../../contract/manifest.js';
import { writeWhole } from '../../contract/wholeFile.js';
import type { Mpdp } from '../mpdp/mpdp.js';
import { type MetricsLine, readMetrics } from '../report/metrics.js';
import { saveCheckpoint } from '../run/checkpoint.js';
import { exportPolicy } from '../run/export.js';
import { CONFIG_FILE, type RunConfig, taskConfig, writeConfig } from '../run/runConfig.js';
import { reporter } from '../run/train.js';
import { Turns } from '../turns.js';
import type { RefitResult } from './refitResult.js';

/** Throws when `out` is not free: a new run never mixes with what is there. */
export function refuseTaken(out: string): void {
  const found = statSync(out, { throwIfNoEntry: false });
  if (!found) return;
  if (existsSync(join(out, CONFIG_FILE))) {
    throw new FarsightError(`--out '${out}' holds a run already: choose another directory`);
  }
  if (!found.isDirectory() || readdirSync(out).length > 0) {
    throw new FarsightError(`--out '${out}' exists and is not an empty directory: choose another`);
  }
}

/** What a refitted run consists of. */
export interface RefittedRun {
  /** Of the run before, but for what the refit changed of its options. */
  config: RunConfig;
  learner: Mpdp;
  /** Of metrics, after those of the run before. */
  line: MetricsLine;
  result: RefitResult;
  /** The text of refit.html. */
  page: string;
  /** Of the policy file that the refit began from. */
  parent: Manifest;
}

/**
 * Writes the new run into `aside`, then moves it to its place `out`, unless `stop` aborts before that. The metrics of
 * the run before are in `from`.
 */
export async function writeRun(
  { aside, from, out }: Record<'aside' | 'from' | 'out', string>,
  { config, learner, line, result, page, parent }: RefittedRun,
  { onRemark, stop }: { onRemark?: (line: string) => void; stop?: AbortSignal },
): Promise<void> {
  const turns = new Turns(stop);
  const lineage = { datasets: result.datasets, parent: result.parent };
  const { seed, preset } = config;
  const { environmentSteps } = learner.position;
  try {
    await turns.pass();
    const drawReport = reporter(aside, onRemark);
    writeConfig(aside, { ...config, ...taskConfig(learner.task), lineage });
    const earlier = readMetrics(join(from, 'metrics.jsonl')).filter(
      (old) => old.environmentSteps <= environmentSteps - result.transitions.training,
    );
    const lines = [...earlier, line].map((one) => `${JSON.stringify(one)}\n`);
    writeWhole(join(aside, 'metrics.jsonl'), ...lines);
    saveCheckpoint(learner, join(aside, 'checkpoint'));
    await turns.pass();
    exportPolicy(
      join(aside, result.accepted ? 'policy.onnx' : 'policy.rejected.onnx'),
      learner,
      { seed, preset, environmentSteps, return: result.return.after, ...lineage },
      parent,
    );
    await turns.pass();
    writeWhole(join(aside, 'refit.json'), `${JSON.stringify(result, null, 2)}\n`);
    writeWhole(join(aside, 'refit.html'), page);
    drawReport();
    await turns.pass();
    place(out);
  } catch (error) {
    stop?.throwIfAborted();
    throw new FarsightError(`--out '${out}': ${messageOf(error)}`);
  }
}
