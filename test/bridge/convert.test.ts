// Datasets to LeRobot and Minari and back: every number stays, nothing joins across a gap, what is wrong is refused whole.
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FLAG, MODES, ROW, rowLayout } from '../../contract/loop.js';
import { readTransitions } from '../../contract/recordedRows.js';
import { readRealTransitions } from '../../trainer/refit/realTransitions.js';
import { loadTask } from '../../trainer/sim/task.js';
import { startCommand } from '../fixtures/command.js';
import { pendulumPolicy } from '../fixtures/pendulum.js';
import { linearPolicyFixture, temporaryDirectory } from '../fixtures/policy.js';
import { datasetIn, task, ticks, writeSegment } from './fleet.js';

/** Of a LeRobot dataset, what is changed here. */
interface Info {
  codebase_version: string;
  fps: number;
  total_frames: number;
  features: Record<string, { names: string[] }>;
}

const directory = temporaryDirectory();
const place = (name: string) => join(directory, name);
const fixtures = fileURLToPath(new URL('../../../test/bridge/fixtures/', import.meta.url));
const policy = place('policy.onnx');
const pendulum = place('pendulum.onnx');
const run = (...args: string[]) => startCommand(args).ended;
const convert = (...args: string[]) => run('convert', ...args, '--json');

/** Runs of a loop that breaks off in every way, as a fleet has them. */
const torn = (row: Float64Array) => {
  const tick = row[ROW.tick];
  if (tick % 97 === 0) row[ROW.flags] |= FLAG.gap;
  if (tick % 131 === 0) row[ROW.flags] |= FLAG.terminal;
  if (tick % 131 === 1) row[ROW.flags] |= FLAG.reset;
  if (tick % 173 < 4) {
    row[ROW.mode] = MODES.indexOf('fault');
    row[ROW.flags] |= FLAG.fault;
  }
  if (tick % 199 === 0) row[layout.observation] = Number.NaN;
  if (tick % 223 === 0) row[ROW.flags] &= ~FLAG.policyStep;
  row[ROW.sensorStamp] -= (tick % 13) * 1e-4;
  // A double that float32 does not hold, at the actuator's limit too.
  row[row.length - 1] = tick % 11 === 0 ? 3 : 3 * Math.cos(tick);
};
const layout = rowLayout(2, 1);
let dataset: string;

before(async () => {
  linearPolicyFixture(policy, task, [[0, 0]]);
  pendulumPolicy(pendulum);
  const recordings = place('recordings');
  mkdirSync(join(recordings, 'faults'), { recursive: true });
  for (let boot = 0; boot < 2; boot++)
    for (let segment = 0; segment < 2; segment++)
      await writeSegment(
        join(recordings, `${boot}-${segment}.mcap`),
        ticks(segment * 300, (segment + 1) * 300, torn),
        {
          ...{ recording: `boot-${boot}`, robot: `arm-${boot}`, segment },
        },
      );
  const collected = await run('collect', '--out', place('fleet'), '--import', recordings, '--json');
  assert.deepEqual([collected.code, JSON.parse(collected.stdout).rows], [0, 1200]);
  dataset = datasetIn(place('fleet'));
});

describe('convert', { concurrency: 2, timeout: 120_000 }, () => {
  for (const [format, name] of [
    ['lerobot', 'there-lerobot'],
    ['minari', 'there-v0'],
  ]) {
    it(`to ${format} and back gives the same transitions, to the last bit`, async () => {
      const there = place(name);
      const back = place(`${name}-back`);
      const out = await convert(dataset, '--to', format, '--out', there);
      assert.equal(out.code, 0, out.stderr);
      assert.match(
        out.stderr,
        /^note: without rewards: task 'pendulum' is not built in, give its file with --task\n/,
      );
      const { episodes, steps, skipped, rewards } = JSON.parse(out.stdout);
      const original = await readTransitions(dataset, task);
      assert.deepEqual([steps, rewards], [original.transitions.count, null]);
      assert.deepEqual(skipped, { ...original.skipped, ended: 0 });
      assert.ok(Object.values(original.skipped).every((count) => count > 0));
      const again = await convert(there, '--policy', policy, '--out', back);
      assert.equal(again.code, 0, again.stderr);
      assert.deepEqual(JSON.parse(again.stdout), {
        ...{ out: back, format, episodes, steps, rows: steps + episodes },
      });
      const returned = await readTransitions(back, task);
      assert.deepEqual(returned.transitions, original.transitions);
      assert.deepEqual(returned.skipped, { gap: 0, intervention: 0, fault: 0, reset: episodes - 1 });
      // The collector takes it for one of its own.
      const index = readFileSync(join(back, 'index.jsonl'), 'utf8').trim().split('\n');
      assert.equal(JSON.parse(index[0]).robot, name);
    });
  }

  it('recordings give what their dataset gives, a single file too', async () => {
    const out = await convert(place('recordings'), '--to', 'lerobot', '--out', place('from-recordings'));
    assert.equal(out.code, 0, out.stderr);
    await convert(dataset, '--to', 'lerobot', '--out', place('from-dataset'));
    const [here, there] = ['from-recordings', 'from-dataset'].map(place);
    for (const file of readdirSync(here, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /\.\w+$/.test(name),
    ))
      assert.deepEqual(readFileSync(join(here, file)), readFileSync(join(there, file)), file);
    const one = await convert(
      ...[join(place('recordings'), '0-0.mcap'), '--to', 'minari', '--out', place('one-v3')],
    );
    assert.equal(one.code, 0, one.stderr);
    const { dataset_id, total_steps } = JSON.parse(readFileSync(place('one-v3/data/metadata.json'), 'utf8'));
    assert.deepEqual([dataset_id, total_steps], ['one-v3', JSON.parse(one.stdout).steps]);
  });

  for (const name of ['made-lerobot', 'made-hdf5-v0', 'made-parquet-v0'])
    it(`${name}, which the real library wrote, comes in as that reads it`, async () => {
      const out = place(`in-${name}`);
      const { code, stderr } = await convert(
        ...[join(fixtures, name), '--task', 'inverted-pendulum', '--out', out],
      );
      assert.equal(code, 0, stderr);
      const { recorded, transitions } = await readRealTransitions(out, await loadTask('inverted-pendulum'));
      const wanted: [number[], number[], number[], boolean][] = JSON.parse(
        readFileSync(join(fixtures, 'transitions.json'), 'utf8'),
      );
      assert.equal(transitions.length, wanted.length);
      for (const [i, [observation, action, next, terminal]] of wanted.entries()) {
        assert.deepEqual([...recorded.observation.subarray(4 * i, 4 * i + 4)], observation);
        assert.deepEqual([...recorded.action.subarray(i, i + 1)], action);
        assert.deepEqual([...recorded.nextObservation.subarray(4 * i, 4 * i + 4)], next);
        assert.equal(recorded.terminal[i], Number(terminal));
      }
    });

  it('what is wrong with it is told in one line, and nothing is left', async () => {
    const out = place('refused');
    const damaged = (name: string, fixture: string, change: (copy: string) => void) => {
      cpSync(join(fixtures, fixture), place(name), { recursive: true });
      change(place(name));
      return place(name);
    };
    const editInfo = (change: (info: Info) => void) => (copy: string) => {
      const path = join(copy, 'meta', 'info.json');
      const info = JSON.parse(readFileSync(path, 'utf8'));
      change(info);
      writeFileSync(path, JSON.stringify(info));
    };
    const half = (file: string) => (copy: string) =>
      truncateSync(join(copy, file), Math.floor(readFileSync(join(copy, file)).length / 2));
    const empty = place('empty');
    mkdirSync(empty);
    const data = 'data/chunk-000/file-000.parquet';
    const lerobot = (name: string, change: (copy: string) => void) => [
      ...[damaged(name, 'made-lerobot', change), '--policy', pendulum],
    ];
    const minari = (name: string, fixture: string, change: (copy: string) => void) => [
      ...[damaged(name, fixture, change), '--policy', pendulum],
    ];
    const made = join(fixtures, 'made-lerobot');
    const cases: [number, string[], RegExp][] = [
      [1, [place('nowhere'), '--to', 'lerobot'], /nowhere': no such file or directory$/],
      [1, [empty, '--to', 'lerobot'], /empty' is no dataset: it has neither dataset\.json, \.mcap files, /],
      [1, [place('fleet'), '--to', 'lerobot'], /fleet' holds several tasks' datasets: give one, such as '/],
      [1, [policy, '--to', 'lerobot'], /policy\.onnx': is not an MCAP file$/],
      [2, [dataset], /^--to is missing: say what '.*' becomes, lerobot or minari$/],
      [
        2,
        [dataset, '--to', 'minari'],
        /^--out 'refused': .* NAME-vVERSION: choose one such as 'my-robot-v0'$/,
      ],
      [2, [dataset, '--to', 'lerobot', '--policy', policy], /^--policy: goes with a dataset of LeRobot or/],
      [2, [made, '--to', 'minari'], /^--to minari: '.*made-lerobot' is a dataset of LeRobot, which comes in/],
      [2, [made], /^--task is missing: name the task/],
      [
        1,
        [made, '--policy', policy],
        /info\.json': 'observation\.state' is float32 \[4\], the task has float32 \[2\]: /,
      ],
      [
        1,
        [made, '--task', 'hopper'],
        /info\.json': 'observation\.state' is float32 \[4\], the task has float32 \[11\]/,
      ],
      [
        1,
        [join(fixtures, 'made-hdf5-v0'), '--policy', policy],
        /observation_space is Box \[4\], the task has Box \[2\]/,
      ],
      [
        1,
        lerobot(
          'old',
          editInfo((info) => (info.codebase_version = 'v2.1')),
        ),
        /has layout v2\.1, not v3: /,
      ],
      [
        1,
        lerobot(
          'rate',
          editInfo((info) => (info.fps = 30)),
        ),
        /fps is 30, task .* is controlled at 25 Hz/,
      ],
      [
        1,
        lerobot(
          'names',
          editInfo((info) => info.features['observation.state'].names.reverse()),
        ),
        /'observation\.state' 0 is named 'jointVelocity hinge', the task has 'jointPosition slider' there/,
      ],
      [
        1,
        lerobot(
          'feature',
          editInfo((info) => delete info.features.action),
        ),
        /has no feature 'action'; it has/,
      ],
      [
        1,
        lerobot(
          'short',
          editInfo((info) => (info.total_frames = 12)),
        ),
        /there are 12 frames, its files have 10/,
      ],
      [1, lerobot('cut', half(data)), /file-000\.parquet' cannot be read: .*; copy it again$/],
      [1, lerobot('gone', (copy) => rmSync(join(copy, data))), /data' has no \.parquet file: copy it again$/],
      [
        1,
        lerobot('json', (copy) => writeFileSync(join(copy, 'meta/info.json'), '{')),
        /info\.json' cannot be read/,
      ],
      [
        1,
        minari('cut-v0', 'made-hdf5-v0', half('data/main_data.hdf5')),
        /main_data\.hdf5' cannot be read as HDF5: truncated file: .*; copy it again$/,
      ],
      [
        1,
        minari('not-v0', 'made-hdf5-v0', (copy) => writeFileSync(join(copy, 'data/main_data.hdf5'), 'no')),
        /main_data\.hdf5' cannot be read as HDF5: .*; copy it again$/,
      ],
      [
        1,
        minari('half-v0', 'made-parquet-v0', half('data/1/part-0.parquet')),
        /part-0\.parquet' cannot be read: .*; copy it again$/,
      ],
      [
        1,
        minari('less-v0', 'made-parquet-v0', (copy) => rmSync(join(copy, 'data/1'), { recursive: true })),
        /data\/1': no such directory: copy it again$/,
      ],
      [2, [dataset, '--to', 'lerobot', '--out', empty], /^--out '.*empty' exists: choose a new directory$/],
    ];
    for (let i = 0; i < cases.length; i += 2)
      await Promise.all(
        cases.slice(i, i + 2).map(async ([wanted, args, pattern], k) => {
          const own = args.includes('--out')
            ? []
            : ['--out', args.includes('minari') ? 'refused' : `${out}-${i + k}`];
          const { code, stdout, stderr } = await convert(...args, ...own);
          const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
          assert.equal(errors.length, 1, `${args.join(' ')}: ${stderr}`);
          assert.match(errors[0].slice('error: '.length), pattern);
          assert.doesNotMatch(stderr, /\n {4}at |HDF5-DIAG/);
          assert.deepEqual([code, stdout], [wanted, ''], `${args.join(' ')}: ${stderr}`);
          for (const left of [own[1], `${own[1]}.partial`]) assert.equal(existsSync(left ?? ''), false);
        }),
      );
    assert.deepEqual(readdirSync(empty), []);
  });

  it('stopped, it leaves nothing; what a killed one left is cleared', async () => {
    const out = place('stopped');
    const { child, ended } = startCommand(['convert', dataset, '--to', 'lerobot', '--out', out]);
    const look = setInterval(() => {
      if (!existsSync(`${out}.partial`)) return;
      clearInterval(look);
      child.kill('SIGINT');
    }, 2);
    const { code, stderr } = await ended;
    clearInterval(look);
    // It may have been done already.
    assert.equal(existsSync(out), code === 0, stderr);
    if (code !== 0) assert.match(stderr, /error: stopped by SIGINT, without a result\n$/);
    assert.equal(existsSync(`${out}.partial`), false);

    mkdirSync(place('again.partial/data'), { recursive: true });
    writeFileSync(place('again.partial/data/half.parquet'), 'half');
    assert.equal((await convert(dataset, '--to', 'lerobot', '--out', place('again'))).code, 0);
    assert.deepEqual(readdirSync(place('again/data')), ['chunk-000']);
    assert.equal(existsSync(place('again/lock')), false);
  });
});
