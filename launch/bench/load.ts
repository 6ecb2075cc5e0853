// Loads that the benchmarks measure under, and the time that the machine's host takes away meanwhile.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What else the machine does: nothing; garbage beside the controller's own work; a process that computes without end. */
export const CONDITIONS = ['idle', 'garbage', 'neighbour'] as const;
export type Condition = (typeof CONDITIONS)[number];

/** Ends when its parent has. */
const BUSY = 'const parent = process.ppid; while (process.ppid === parent) for (let i = 0; i < 1e8; i++);';

/** Starts a process that computes without end. Returns how to end it. */
export function startNeighbour(): () => void {
  const busy = spawn(process.execPath, ['-e', BUSY], { stdio: 'ignore' });
  return () => void busy.kill('SIGKILL');
}

/** Has this thread make garbage most of the time. Returns how to end that. */
export function startGarbage(): () => void {
  let kept: object[] = [];
  const garbage = setInterval(() => {
    for (let i = 0; i < 10_000; i++) kept.push({ value: Math.random(), list: new Array(20).fill(i) });
    if (kept.length > 200_000) kept = [];
  }, 5);
  return () => clearInterval(garbage);
}

/** Milliseconds that the host kept this machine's processors from it since the start, in steps of 10 (proc(5), /proc/stat). */
export function stolenTime(): number {
  return Number(readFileSync('/proc/stat', 'utf8').split(/\s+/, 9)[8]) * 10;
}
