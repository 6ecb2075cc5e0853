// A sweep on this computer's cores: as many runs side by side as there are slots, each in a process of its own.
import { join } from 'node:path';
import { messageOf } from '../../contract/errors.js';
import type { Board } from './board.js';
import { readResult, trainRun } from './trainChild.js';

/** Milliseconds for a checkpoint when runs are stopped. */
export const STOP_GRACE_MS = 30_000;

export interface LocalOptions {
  /** Runs side by side. */
  jobs: number;
  /** Of each run. */
  threads: number;
  stop: AbortSignal;
  /** Called whenever a run has ended. */
  onResult: () => void;
}

/** Trains every run that has no result yet. One that fails does not keep the others. */
export async function trainHere(board: Board, out: string, options: LocalOptions): Promise<void> {
  const { jobs, threads, stop, onResult } = options;
  const waiting = board.runs.flatMap(({ name, id }, i) => {
    const result = readResult(join(out, name), id);
    if (result) board.set(i, { state: 'done', result }, true);
    return result ? [] : [i];
  });
  onResult();
  const slot = async (_: unknown, number: number) => {
    for (let i = waiting.shift(); i !== undefined && !stop.aborted; i = waiting.shift()) {
      const worker = `process ${number + 1}`;
      const run = board.runs[i];
      const index = i;
      board.set(index, { state: 'running', worker, done: 0, numbers: {} });
      try {
        const result = await trainRun(join(out, run.name), run, {
          threads,
          stop,
          grace: () => STOP_GRACE_MS,
          onProgress: ({ done, numbers }) => board.set(index, { state: 'running', worker, done, numbers }),
        });
        board.set(index, result ? { state: 'done', result } : { state: 'waiting' });
      } catch (error) {
        board.set(index, { state: 'failed', why: messageOf(error) });
      }
      onResult();
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, waiting.length) }, slot));
}
