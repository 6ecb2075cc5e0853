// What the tests of sweeps share: files of tiny runs, workers that are killed and replaced, and what a sweep left.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { stringify } from 'yaml';
import { PREFIX, QUEUE } from '../../launch/sweep/queue.js';
import { startCommand } from '../fixtures/command.js';
import { tinyRun } from '../mpdp/tiny.js';

/** Writes the file of a sweep of tiny runs: `settings` of `seeds` seeds, `steps` long. */
export function writeSweep(path: string, settings: number, seeds: number, steps: number): string {
  const options = { ...tinyRun, steps, evaluateEvery: 50 };
  const grid = { horizonMax: Array.from({ length: settings }, (_, i) => i + 1) };
  writeFileSync(path, stringify({ task: 'inverted-pendulum', preset: 'smoke', seeds, options, grid }));
  return path;
}

export function startWorker(url: string, lease: number, ...args: string[]) {
  return startCommand(['worker', '--queue', url, '--jobs', '1', '--lease', `${lease}`, '--json', ...args]);
}
export type StartedWorker = ReturnType<typeof startWorker>;

/** The runs of results.csv, each as often as it is there, in their order of names. */
export function runsDone(out: string): string[] {
  try {
    const [, ...rows] = readFileSync(join(out, 'results.csv'), 'utf8').trim().split('\n');
    return rows.map((row) => row.split(',').at(-1)!).sort();
  } catch {
    return [];
  }
}

/** The runs whose ends Redis has seen, each as often as it has, in their order of names. */
export async function endsSeen(url: string): Promise<string[]> {
  const client = new Redis(url);
  const jobs = `${PREFIX}:${QUEUE}`;
  const events = await client.xrange(`${jobs}:events`, '-', '+');
  const ids = events.flatMap(([, [, event, , id]]) => (event === 'completed' ? [id] : []));
  const names = await Promise.all(ids.map((id) => client.hget(`${jobs}:${id}`, 'name')));
  client.disconnect();
  return names.map(String).sort();
}
