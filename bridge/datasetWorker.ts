// The thread that owns a collector's datasets: takes received files in, one after the other.
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../contract/errors.js';
import type { UploadMetadata } from '../contract/transfer.js';
import { BUSY, DatasetWriter, type DatasetWriterOptions, type Taken } from './datasetWriter.js';

/** Asked: take this file in. With `reason` it goes to the quarantine unread. */
export interface TakeRequest {
  path: string;
  upload: UploadMetadata;
  reason?: string;
}
export type DatasetAnswer =
  | { kind: 'ready' }
  | { kind: 'refused'; error: string }
  | ({ kind: 'taken' } & Taken)
  /** Another collector takes a file of the same robot in. */
  | { kind: 'busy' }
  /** The disk did not do what it should; the file is still there. */
  | { kind: 'failed'; error: string };

const port = parentPort!;
const say = (answer: DatasetAnswer) => port.postMessage(answer);

function open(): DatasetWriter | undefined {
  try {
    return new DatasetWriter(workerData as DatasetWriterOptions);
  } catch (error) {
    say({ kind: 'refused', error: messageOf(error) });
    return undefined;
  }
}

const writer = open();
if (writer) {
  say({ kind: 'ready' });
  port.on('message', async ({ path, upload, reason }: TakeRequest) => {
    try {
      const taken = await writer.take(path, upload, reason);
      say(taken === BUSY ? { kind: 'busy' } : { kind: 'taken', ...taken });
    } catch (error) {
      say({ kind: 'failed', error: messageOf(error) });
    }
  });
}
