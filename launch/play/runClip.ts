// The clip in a run's report: some seconds of its best policy, small, where there is a Chromium to draw it.
import { join } from 'node:path';
import { messageOf } from '../../contract/errors.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { writeReport } from '../../trainer/report/report.js';
import { findChromium } from './chromium.js';
import { recordClip } from './record.js';

const CLIP = { seconds: 4, width: 480, height: 270, rate: 20 };

/**
 * Adds a clip of `task` to the report in `directory`. Returns what prevented it, undefined when nothing did: a run is a
 * good one without.
 */
export async function addClip(
  directory: string,
  task: string,
  stop?: AbortSignal,
): Promise<string | undefined> {
  if (!findChromium()) return 'Chromium is not installed';
  try {
    const policy = join(directory, 'policy.onnx');
    const { seed } = readPolicyFile(policy).manifest.provenance;
    await recordClip({ policy, task, seed }, join(directory, 'clip.webm'), CLIP, undefined, stop);
    writeReport(directory);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
