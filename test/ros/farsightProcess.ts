// farsight commands in processes of their own, for tests: what they say, and who their children are.
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { FARSIGHT } from '../fixtures/command.js';

/** ms since 1970, the same in every process. */
export const now = () => performance.timeOrigin + performance.now();

export async function until(what: () => string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = now() + 30_000; !(await holds()); await sleep(20)) {
    if (now() > end) assert.fail(`never: ${what()}`);
  }
}

/** A farsight command in a process of its own, which ends with this one, and what it says. */
export function farsight(nodeArguments: string[], ...args: string[]) {
  const child: ChildProcessWithoutNullStreams = spawn(
    process.execPath,
    [...nodeArguments, FARSIGHT, ...args, '--json'],
    { env: { ...process.env, FARSIGHT_PARENT: String(process.pid) } },
  );
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (piece) => {
      said[name] += piece;
    });
  }
  const says = (text: string, from = 0) =>
    until(
      () => `'${text}' from ${args[0]}; it says: ${said.stderr}`,
      () => said.stderr.includes(text, from),
    );
  return { child, said, says };
}

/** The management process, found as the child of a controller that runs its file. */
export function managementPid(controller: number | undefined): number {
  const isIt = (pid: string) => {
    try {
      const [, parent] = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return Number(parent) === controller && command.includes('management/process');
    } catch {
      return false;
    }
  };
  return Number(readdirSync('/proc').find((name) => /^\d+$/.test(name) && isIt(name)));
}
