// The far side of threads.ts: runs sessions that live in the same process, one job after another.
import { parentPort, workerData } from 'node:worker_threads';
import { API, RUN_PARAMETERS, runtime } from '../../contract/onnxRuntime.js';
import { JOB_WORDS, passTurn, type Shared, TURN, waitForTurn } from './threads.js';

const shared = workerData as Shared;
const run = runtime().bare(API.Run, RUN_PARAMETERS);
parentPort?.postMessage('started');
for (;;) {
  waitForTurn(shared, TURN.thread);
  const status = run(...shared.job.subarray(0, JOB_WORDS));
  shared.job[JOB_WORDS] = status ?? 0n;
  passTurn(shared, TURN.caller);
}
