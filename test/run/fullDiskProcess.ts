// A training and a refit on a small disk of their own that is full, at one place after another: run inside `unshare`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readPolicyFile } from '../../contract/policyFile.js';
import { writeWhole } from '../../contract/wholeFile.js';
import { refit } from '../../trainer/refit/refit.js';
import { resumeRun, startRun } from '../../trainer/run/train.js';
import { loadTask } from '../../trainer/sim/task.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { tinyRun } from '../mpdp/tiny.js';
import { record } from '../refit/realRobot.js';
import { filesOf, metricsOf } from './runFiles.js';

const [directory] = process.argv.slice(2);
const disk = join(directory, 'disk');
mkdirSync(disk);
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', disk], { encoding: 'utf8' });
assert.equal(mounted.status, 0, mounted.stderr);
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
const config = {
  task: 'inverted-pendulum',
  preset: 'smoke',
  seed: 1,
  options: { ...tinyRun, steps: 80, warmupSteps: 30 },
};
await startRun(join(directory, 'whole'), config, engine);
const whole = filesOf(join(directory, 'whole'));

/** Leaves so many bytes free while `work` is done. */
async function withFree(bytes: number, work: () => Promise<unknown>) {
  const filler = join(disk, 'filler');
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(filler, Buffer.alloc(bavail * bsize - bytes));
  try {
    await work();
  } finally {
    rmSync(filler);
  }
}
const leftovers = () =>
  readdirSync(disk, { recursive: true }).filter((name) => /\.tmp$|partial|lock$/.test(String(name)));

const full = new Set<string>();
for (let free = 4096; free < 200_000; free *= 2) {
  const run = join(disk, `run${free}`);
  await withFree(free, async () => {
    try {
      await startRun(run, config, engine);
    } catch (error) {
      const { message } = error as Error;
      assert.match(message, /^--out '.*' cannot be written: the disk is full: free some space on it/);
      full.add(/'[^']*\/([^/']+)' cannot/.exec(message)![1]);
    }
  });
  assert.deepEqual(leftovers(), []);
  if (!existsSync(join(run, 'config.json'))) continue;
  if (existsSync(join(run, 'policy.onnx'))) readPolicyFile(join(run, 'policy.onnx'));
  metricsOf(run);
  await resumeRun(run, engine);
  assert.deepEqual(filesOf(run), whole, `with ${free} bytes free`);
  rmSync(run, { recursive: true });
}
assert.ok(full.size >= 3, `full at ${[...full]}`);

// The report can be anything, or nothing: a training goes on.
const remarks: string[] = [];
const odd = join(disk, 'odd');
await startRun(odd, config, engine, {
  onStep: (done) => {
    if (done === 5) mkdirSync(join(odd, 'report.html'));
  },
  onRemark: (line) => remarks.push(line),
});
assert.deepEqual(filesOf(odd), whole);
assert.equal(remarks.length, 1);
assert.match(
  remarks[0],
  /^the report cannot be drawn, all else goes on: '.*report.html' cannot be written: it is a di/,
);

// A directory that goes away in the middle ends the run in words.
const gone = join(disk, 'gone');
await assert.rejects(
  startRun(gone, config, engine, {
    onStep: (done) => {
      if (done === 25) rmSync(gone, { recursive: true });
    },
  }),
  /^FarsightError: --out '.*gone\/.*' cannot be written: its directory '.*gone' is not there \(any more\): bring/,
);
assert.equal(existsSync(gone), false);
const partly = join(disk, 'partly');
await startRun(partly, config, engine, {
  onStep: (done) => {
    if (done === 25) rmSync(join(partly, 'checkpoint'), { recursive: true });
  },
});
assert.deepEqual(filesOf(partly), whole);

const task = await loadTask(config.task);
const parent = readPolicyFile(join(directory, 'whole', 'policy.onnx'));
await record(join(directory, 'data'), parent, task, 100, () => [0.1]);
const request = {
  from: join(directory, 'whole'),
  data: join(directory, 'data'),
  out: join(disk, 'refitted'),
};
for (const free of [4096, 16_384]) {
  await withFree(free, async () => {
    await assert.rejects(
      refit({ ...request, updates: 1 }, engine),
      /--out '.*refitted': .* the disk is full/,
    );
    assert.deepEqual(leftovers(), []);
    assert.equal(existsSync(request.out), false);
  });
}

// What was there before stays.
const page = join(disk, 'comparison.html');
writeWhole(page, 'before');
await withFree(4096, async () => {
  assert.throws(
    () => writeWhole(page, 'x'.repeat(10_000)),
    /comparison.html' cannot be written: the disk is full/,
  );
});
assert.equal(readFileSync(page, 'utf8'), 'before');
assert.deepEqual(leftovers(), []);
