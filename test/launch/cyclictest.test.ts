// The real cyclictest as the benchmarks run it: what it tells, that it ends with them, and where it is missing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { FarsightError } from '../../contract/errors.js';
import { runCyclictest } from '../../launch/bench/cyclictest.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
/** Less than a window, after which cyclictest ends by itself. */
const SOON_MS = 6000;

test('reads late wake-ups on the clock of the loop', async (test) => {
  const now = () => Number(process.hrtime.bigint()) / 1e9;
  const began = now();
  const run = await runCyclictest({
    interval: 1000,
    seconds: 1,
    priority: 50,
    everyProcessorLate: 1,
  }).catch((error) => {
    if (!(error instanceof FarsightError)) throw error;
    test.skip(error.message);
  });
  if (!run) return;
  assert.ok(run.late.length > 100 && run.wake.count >= run.late.length, `${run.late.length}`);
  const ended = now();
  for (const { thread, due, woke } of run.late)
    assert.ok(thread < run.threads && due <= woke && due > began && woke < ended);
});

test('ends with a benchmark that is killed', async (test) => {
  const { child, said } = startCommand(['bench', 'control', '--duration', '300']);
  const commandOf = (pid: string) => {
    const path = `/proc/${pid}/cmdline`;
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const children = () => readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').split(' ');
  let cyclictest: string | undefined;
  while (!cyclictest && child.exitCode === null) {
    await setTimeout(20);
    cyclictest = children().find((pid) => commandOf(pid).startsWith('cyclictest'));
  }
  if (!cyclictest) return test.skip(said());
  child.kill('SIGKILL');
  await once(child, 'exit');
  const killed = performance.now();
  while (commandOf(cyclictest) !== '') {
    assert.ok(performance.now() - killed < SOON_MS, 'cyclictest goes on');
    await setTimeout(20);
  }
});

test('is missed in words', async (test) => {
  const { PATH = '' } = process.env;
  const setpriv = PATH.split(delimiter)
    .map((folder) => join(folder, 'setpriv'))
    .find(existsSync);
  if (!setpriv) return test.skip('setpriv is not installed');
  symlinkSync(setpriv, join(directory, 'setpriv'));
  process.env.PATH = directory;
  try {
    await assert.rejects(
      runCyclictest({ interval: 1000, seconds: 1, priority: 50 }),
      /^FarsightError: cyclictest is not installed, and the loop is measured beside it: apt-get install rt-tests/,
    );
  } finally {
    process.env.PATH = PATH;
  }
});
