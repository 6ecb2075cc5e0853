// What a run leaves on disk, without what differs from one run to its twin: times and rates.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeModel } from '../../contract/onnx.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { readMetrics } from '../../trainer/report/metrics.js';

export function metricsOf(directory: string) {
  return readMetrics(join(directory, 'metrics.jsonl')).map(
    ({ seconds: _, updatesPerSecond: __, timeSplit: ___, ...line }) => line,
  );
}

/** Header, networks and replay buffer, byte for byte. */
export function checkpointOf(directory: string) {
  const state = readFileSync(join(directory, 'checkpoint', 'state.bin'));
  const start = 32 + Number(state.toString('utf8', 24, 32));
  const header = JSON.parse(state.toString('utf8', 32, start));
  const { seconds: _, timeSplit: __, ...position } = header.position;
  return {
    header: { ...header, position },
    networks: state.subarray(start),
    replay: readFileSync(join(directory, 'checkpoint', 'replay.bin')),
  };
}

/** The graph, byte for byte, and what the manifest says but for when it was written. */
export function policyOf(directory: string) {
  const { bytes, manifest } = readPolicyFile(join(directory, 'policy.onnx'));
  const { created: _, ...provenance } = manifest.provenance;
  return { graph: decodeModel(bytes).graph, manifest: { ...manifest, provenance } };
}

export const filesOf = (directory: string) => ({
  metrics: metricsOf(directory),
  checkpoint: checkpointOf(directory),
  policy: policyOf(directory),
});
