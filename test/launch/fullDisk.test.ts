// Commands on a disk that is full: one line names the file, the flag and the remedy, and nothing of the file stays.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ticks, writeSegment } from '../bridge/fleet.js';
import { FARSIGHT } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const hopper = fileURLToPath(new URL('../../../docs/hopper.onnx', import.meta.url));
const run = join(directory, 'run');
const sweep = join(temporaryDirectory(), 'sweep.yaml');
writeFileSync(sweep, 'task: inverted-pendulum\npreset: smoke\n');
const canMount = spawnSync('unshare', ['-rm', 'true']).status === 0;
const skip = canMount ? false : 'needs unshare and user namespaces, for a small disk of its own';

/** Runs a program on a small disk of its own; `left` is what lies on that afterwards. */
function onFullDisk(freeKilobytes: number, ...args: string[]) {
  const script = `
    mount -t tmpfs -o size=64k none ${directory} && cd ${directory} && dd if=/dev/zero of=filler bs=1k count=${64 - freeKilobytes} status=none
    "$@"
    code=$?
    find . -type f -not -name filler
    exit $code`;
  const command = ['-rm', 'sh', '-c', script, 'sh', ...args];
  const { status, stdout, stderr } = spawnSync('unshare', command, { encoding: 'utf8' });
  return { status, left: stdout, said: stderr.trimEnd().split('\n').at(-1) };
}

const full = 'cannot be written: the disk is full: free some space on it';
const cases: [args: string[], said: string][] = [
  [
    ['control', '--policy', hopper, '--duration', '1', '--record', 'recording'],
    `--record 'recording' ${full}`,
  ],
  [['control', '--policy', hopper, '--duration', '1', '--report', 'report'], `--report 'report' ${full}`],
  [
    [
      ...'train --task inverted-pendulum --preset smoke --threads 1'.split(' '),
      '--out',
      run,
      '--dump',
      'dump',
    ],
    `--dump 'dump/target-value.txt' ${full}`,
  ],
  [['play', hopper, '--out', 'page.html'], `--out 'page.html' ${full}`],
  [['deliver', 'keys', 'root-1', '--out', 'keys'], `--out 'keys/root-1.key' ${full}`],
  [['deliver', 'init', '--repository', 'policies', '--keys', 'keys'], `--keys 'keys/root.key' ${full}`],
  [['sweep', sweep, '--out', 'runs'], `--out 'runs/results.csv' ${full}`],
];
for (const [args, said] of cases) {
  test(`${args[0]} ${args.at(-2)}`, { skip }, () => {
    assert.deepEqual(onFullDisk(0, process.execPath, FARSIGHT, ...args), {
      status: 1,
      left: '',
      said: `error: ${said}`,
    });
  });
}

for (const [freeKilobytes, last] of [
  [4, 'root-1.pub'],
  [12, 'root-2.pub'],
] as const) {
  test(`deliver keys of two, when ${last} has no room: neither key stays`, { skip }, () => {
    const said = `error: --out 'keys/${last}' ${full}`;
    const keys = [process.execPath, FARSIGHT, 'deliver', 'keys', 'root-1', 'root-2', '--out', 'keys'];
    assert.deepEqual(onFullDisk(freeKilobytes, ...keys), { status: 1, left: '', said });
  });
}

test('new, when some of its files have room', { skip }, () => {
  const { status, left, said } = onFullDisk(8, process.execPath, FARSIGHT, 'new', 'robot');
  assert.deepEqual([status, left], [1, '']);
  assert.match(said!, /^error: 'robot\/.*' cannot be written: the disk is full: free some space on it$/);
});

test('collect --import, when the file has no room', { skip }, async () => {
  const recording = join(temporaryDirectory(), 'recording.mcap');
  await writeSegment(recording, ticks(0, 2000), { recording: 'boot', segment: 0 });
  const { status, left, said } = onFullDisk(
    12,
    ...[process.execPath, FARSIGHT, 'collect', '--out', 'fleet', '--import', recording],
  );
  assert.deepEqual([status, left], [1, '']);
  assert.match(
    said!,
    /^error: --out 'fleet\/.*' cannot be written: the disk is full: free some space on it$/,
  );
});

test('deliver publish, when the policy has no room', { skip }, () => {
  const script =
    '"$0" "$1" deliver init --repository r --keys k >&2 && "$0" "$1" deliver publish "$2" --repository r --keys k';
  const { status, said } = onFullDisk(48, 'sh', '-c', script, process.execPath, FARSIGHT, hopper);
  assert.equal(status, 1);
  assert.match(said!, new RegExp(`^error: --repository 'r/.*' ${full}$`));
});

test('stdout, of a result, of JSON, of a script and of help', () => {
  for (const args of [
    ['inspect', hopper],
    ['inspect', hopper, '--json'],
    ['completion', 'bash'],
    ['--help'],
  ]) {
    const out = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [FARSIGHT, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', out, 'pipe'],
    });
    closeSync(out);
    assert.deepEqual([status, stderr], [1, `error: stdout ${full}\n`], args.join(' '));
  }
});

test('stdout, of a reader that left: nothing is said', () => {
  const { status, stderr } = spawnSync(
    'bash',
    ['-c', 'set -o pipefail; "$@" | true', 'bash', process.execPath, FARSIGHT, 'completion', 'bash'],
    { encoding: 'utf8' },
  );
  assert.deepEqual([status, stderr], [0, '']);
});

test('convert, when some of its files have room', { skip }, async () => {
  const recording = join(temporaryDirectory(), 'recording.mcap');
  await writeSegment(recording, ticks(0, 2000), { recording: 'boot', segment: 0 });
  const { status, left, said } = onFullDisk(
    12,
    ...[process.execPath, FARSIGHT, 'convert', recording, '--to', 'lerobot', '--out', 'out'],
  );
  assert.deepEqual([status, left], [1, '']);
  assert.match(said!, /^error: --out 'out.*' cannot be written: the disk is full: free some space on it$/);
});
