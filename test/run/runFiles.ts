// What a run leaves on disk, without what differs from one run to its twin: times and rates.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeModel } from '../../contract/onnx.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { readMetrics } from '../../trainer/report/metrics.js';
import type { RunHooks } from '../../trainer/run/train.js';

export function metricsOf(directory: string) {
  return readMetrics(join(directory, 'metrics.jsonl')).map(
    ({ seconds: _, updatesPerSecond: __, timeSplit: ___, ...line }) => line,
  );
}

/** Header, networks and what the replay buffer holds, byte for byte. */
export function checkpointOf(directory: string) {
  const state = readFileSync(join(directory, 'checkpoint', 'state.bin'));
  const start = 32 + Number(state.toString('utf8', 24, 32));
  const header = JSON.parse(state.toString('utf8', 32, start));
  const { seconds: _, timeSplit: __, ...position } = header.position;
  const { seconds: ___, ...window } = header.window;
  // Transitions that the buffer has lost are in the file or not: that depends on when checkpoints were made.
  const { rows, first } = header.replay;
  const replay = readFileSync(join(directory, 'checkpoint', 'replay.bin'));
  const { options } = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'));
  return {
    header: { ...header, position, window, replay: rows },
    // Without the checksum, which depends on the times in the header.
    networks: state.subarray(start, -32),
    replay: replay.subarray(-Math.min(rows, options.replaySize) * (replay.length / (rows - first))),
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

/** Hooks that stop a run after the first part of a step that `when` says. */
export function stopAt(when: (environmentSteps: number) => boolean): RunHooks {
  const stop = new AbortController();
  return {
    stop: stop.signal,
    onStep: (done) => {
      if (when(done)) stop.abort();
    },
  };
}
