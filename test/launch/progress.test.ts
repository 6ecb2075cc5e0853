// Progress as a pipe and as a terminal see it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../../launch/doctor/computer.js';

const module = join(fileURLToPath(import.meta.url), '..', '..', '..', 'launch', 'progress.js');
const script = `const { startProgress } = await import(${JSON.stringify(module)});
  const progress = startProgress({ title: 'train hopper', total: 400, unit: 'steps' });
  for (let done = 0; done <= 400; done++) progress.update(done, { return: String(done * 2) });
  progress.finish(process.env.SUMMARY);
  progress.finish('again');
  progress.update(7);`;

test('into a pipe: no control characters, few lines, the summary once', () => {
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, SUMMARY: 'return 800' },
  });
  assert.equal(run.stdout, '');
  assert.match(run.stderr, /^train hopper: return 800 \(400 steps in \d+ s\)\n$/);
});

test('without a summary the last state stays', () => {
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.match(run.stderr, /^train hopper:100% {2}400\/400 steps · \d+\/s · return 800\n$/);
});

test('work in rounds, a burst of units and then a minute of none: the time left is that of whole rounds', () => {
  const rounds = `let seconds = 0;
    performance.now = () => 1000 * seconds;
    const { startProgress } = await import(${JSON.stringify(module)});
    const progress = startProgress({ title: 'train hopper', total: 1000, unit: 'steps' });
    for (let round = 1; round <= 5; round++) {
      for (let second = 0; second < 60; second++, seconds++) progress.update(100 * round);
    }`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', rounds], { encoding: 'utf8' });
  const left = [...run.stderr.matchAll(/(\d+) min(?: (\d+) s)? left/g)].map(
    ([, min, s]) => Number(min) + Number(s ?? 0) / 60,
  );
  assert.ok(left.length > 20, run.stderr);
  // At the end of the last round half is done, in five minutes.
  assert.ok(left.at(-1)! > 3.5 && left.at(-1)! < 6, `${left.at(-1)} min`);
});

test('work that fails without finishing does not hold the process', () => {
  const failing = script.slice(0, script.indexOf('progress.finish'));
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', failing], { timeout: 10_000 });
  assert.equal(run.status, 0);
});

const terminal = findProgram('script');
test('on a terminal: one line redrawn in place, never wider than the terminal', {
  skip: terminal ? false : "util-linux's script is not installed",
}, () => {
  const command = `stty cols 60; ${process.execPath} --input-type=module -e '${script.replaceAll("'", `'\\''`)}'`;
  const run = spawnSync('script', ['-qec', command, '/dev/null'], {
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm', SUMMARY: 'return 800' },
  });
  const frames = run.stdout.split('\r\x1b[K');
  assert.ok(frames.length >= 3);
  assert.equal(frames[0].trim(), '');
  for (const frame of frames.slice(1, -1)) {
    assert.match(frame, /^train hopper [█░]{16}/);
    assert.ok([...frame].length < 60, `${[...frame].length} columns: ${frame}`);
    assert.doesNotMatch(frame, /\n/);
  }
  assert.match(frames.at(-1)!, /^train hopper: return 800 /);
});
