// What convert is made of: where an episode ends, what of foreign data is refused, how statistics add up.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { parquetFile, type VectorColumn } from '../../bridge/convert/columns.js';
import { DatasetImport } from '../../bridge/convert/datasetImport.js';
import { type Episode, EpisodeCutter, LONGEST_EPISODE } from '../../bridge/convert/episodes.js';
import { openLeRobot } from '../../bridge/convert/lerobotReader.js';
import { aggregate, statisticsOf } from '../../bridge/convert/lerobotStatistics.js';
import { LeRobotWriter } from '../../bridge/convert/lerobotWriter.js';
import { openMinari } from '../../bridge/convert/minariReader.js';
import { MinariWriter } from '../../bridge/convert/minariWriter.js';
import { datasetTaskOf } from '../../contract/dataset.js';
import { FLAG, MODES, ROW, rowLayout } from '../../contract/loop.js';
import { readTransitions } from '../../contract/recordedRows.js';
import { interfaceSchema, type TaskInterface } from '../../contract/terms.js';
import { temporaryDirectory, threeJoints } from '../fixtures/policy.js';
import { task, ticks } from './fleet.js';

const directory = temporaryDirectory();
const place = (name: string) => join(directory, name);
const layout = rowLayout(2, 1);

it('an episode ends wherever steps do not follow each other', () => {
  type Found = [tick: number, steps: number, terminal: boolean][];
  const flagged = (flag: number) => (row: Float64Array) => {
    row[ROW.flags] |= flag;
  };
  const torn: Found = [
    [0, 3, false],
    [4, 5, false],
  ];
  const out: Found = [
    [0, 3, false],
    [5, 4, false],
  ];
  const ended: Found = [
    [0, 4, true],
    [5, 4, false],
  ];
  const cases: [string, (row: Float64Array) => void, Found][] = [
    ['nothing', () => {}, [[0, 9, false]]],
    ['a gap', flagged(FLAG.gap), torn],
    ['a reset', flagged(FLAG.reset), torn],
    ['an end', flagged(FLAG.terminal), ended],
    ['a fault', flagged(FLAG.fault), out],
    ['another mode', (row) => row.fill(MODES.indexOf('hold'), ROW.mode, ROW.mode + 1), out],
    ['NaN', (row) => row.fill(Number.NaN, layout.observation, layout.action), out],
    ['an old reading', (row) => row.fill(1, ROW.sensorStamp, ROW.sensorStamp + 1), torn],
  ];
  for (const [name, change, wanted] of cases) {
    const found: [number, number, boolean][] = [];
    const cutter = new EpisodeCutter(task, ({ tick, steps, terminal }) =>
      found.push([tick, steps, terminal]),
    );
    for (const row of ticks(0, 10, (one) => one[ROW.tick] === 4 && change(one))) cutter.push(row);
    cutter.end();
    assert.deepEqual(found, wanted, name);
  }
});

it('an episode without end goes on in another, and no transition is lost', () => {
  const episodes: Episode[] = [];
  const cutter = new EpisodeCutter(task, (episode) => episodes.push(episode));
  for (const row of ticks(0, LONGEST_EPISODE + 11)) cutter.push(row);
  cutter.end();
  assert.deepEqual(
    episodes.map(({ tick, steps }) => [tick, steps]),
    [
      [0, LONGEST_EPISODE],
      [LONGEST_EPISODE, 10],
    ],
  );
  assert.equal(episodes[0].observation.at(-2), episodes[1].observation[0]);
});

for (const format of ['lerobot', 'minari'] as const)
  it(`${format}: several joints, limits that float32 does not hold, readings of any age`, async () => {
    const wide: TaskInterface = interfaceSchema.parse({
      ...threeJoints,
      action: threeJoints.action.map((term) => ({ ...term, limits: [-0.1, 0.4] })),
    });
    const shape = rowLayout(5, 3);
    const folder = place(`wide-${format}`);
    const writer =
      format === 'lerobot'
        ? new LeRobotWriter(folder, datasetTaskOf(wide), false)
        : new MinariWriter(folder, 'wide-v0', datasetTaskOf(wide));
    const cutter = new EpisodeCutter(wide, (episode) => writer.add(episode));
    const rows = Array.from({ length: 500 }, (_, tick) => {
      const row = new Float64Array(shape.length);
      row[ROW.tick] = tick;
      row[ROW.scheduled] = 7 + tick / 100 + (tick % 3) * 2e-3;
      row[ROW.sensorStamp] = row[ROW.scheduled] - [0.001, 0.0123, 0.004][tick % 3];
      row[ROW.mode] = MODES.indexOf('policy');
      row[ROW.flags] = FLAG.policyStep | (tick % 50 === 0 ? FLAG.gap : 0);
      for (let i = 0; i < 5; i++) row[shape.observation + i] = Math.fround(Math.sin(tick * 5 + i));
      for (let i = 0; i < 3; i++) row[shape.command + i] = [-0.1, 0.4, Math.sin(tick) / 10][(tick + i) % 3];
      return row;
    });
    for (const row of rows) cutter.push(row);
    cutter.end();
    writer.finish(null);
    const out = place(`wide-${format}-back`);
    const back = new DatasetImport(out, wide, { source: 'c'.repeat(64), name: 'wide' });
    const foreign = format === 'lerobot' ? openLeRobot(folder) : openMinari(join(folder, 'data'));
    for await (const steps of foreign.read(wide)) back.add(steps);
    back.finish();
    const { transitions } = await readTransitions(out, wide);
    assert.equal(transitions.count, 490);
    let at = 0;
    const joined = new EpisodeCutter(wide, ({ steps, observation, action, sensorAge }) => {
      const same = (ours: Float32Array, theirs: Float32Array, width: number) =>
        assert.deepEqual(ours.subarray(at * width, (at + steps) * width), theirs.subarray(0, steps * width));
      same(transitions.observation, observation, 5);
      same(transitions.action, action, 3);
      same(transitions.sensorAge, sensorAge, 1);
      at += steps;
    });
    for (const row of rows) joined.push(row);
    joined.end();
    assert.equal(at, 490);
    // The same terms with another scale are another task.
    const other = { ...wide, observation: wide.observation.map((term) => ({ ...term, scale: 9 })) };
    await assert.rejects(
      foreign.read(other).next(),
      /was made for another task: its observation terms differ/,
    );
  });

it('numbers that no robot recorded are named', async () => {
  const steps = (change: (numbers: { observation: Float32Array; action: Float32Array }) => void) => {
    const numbers = { observation: new Float32Array(12), action: new Float32Array(6) };
    change(numbers);
    return { ...numbers, steps: 5, sensorAge: new Float32Array(6), terminal: false };
  };
  const about = { robot: 'arm', boot: 'boot', tick: 0 };
  const wrong: [string, Parameters<typeof steps>[0], RegExp][] = [
    ['nan', ({ observation }) => observation.fill(Number.NaN, 5, 6), /step 2: observation 1 is NaN: leave/],
    [
      'far',
      ({ action }) => action.fill(3.5, 3, 4),
      /step 3: action 3\.5 of 'hinge' is outside -3 to 3: limit/,
    ],
  ];
  for (const [name, change, pattern] of wrong) {
    const lerobot = new LeRobotWriter(place(`${name}-l`), datasetTaskOf(task), false);
    const minari = new MinariWriter(place(`${name}-v0`), 'name-v0', datasetTaskOf(task));
    for (const writer of [lerobot, minari]) {
      writer.add({ ...about, ...steps(change) });
      writer.finish(null);
    }
    await assert.rejects(
      openLeRobot(place(`${name}-l`))
        .read(task)
        .next(),
      pattern,
    );
    await assert.rejects(
      openMinari(place(`${name}-v0/data`))
        .read(task)
        .next(),
      pattern,
    );
  }
});

it('nothing joins across frames that were taken out, over lost time, or after an end', async () => {
  const folder = place('taken-out');
  const writer = new LeRobotWriter(folder, datasetTaskOf(task), false);
  const cutter = new EpisodeCutter(task, (episode) => writer.add(episode));
  for (const row of ticks(0, 30)) cutter.push(row);
  cutter.end();
  writer.finish(null);
  const path = join(folder, 'data/chunk-000/file-000.parquet');
  const info = join(folder, 'meta/info.json');
  const rows = (await parquetReadObjects({ file: await asyncBufferFromFile(path) }))
    .filter(({ frame_index }) => frame_index !== 5n)
    .map((row) => ({
      ...row,
      timestamp: row.timestamp + (row.frame_index < 12n ? 0 : 1),
      'next.done': row.frame_index === 20n,
    }));
  const column = (name: string, type: VectorColumn['type']): VectorColumn => ({
    ...{ name, type, data: rows.map((row) => (row as Record<string, unknown>)[name]) },
  });
  const file = parquetFile([
    { ...column('observation.state', 'FLOAT'), shape: 'list' },
    ...['action', 'sensor_age', 'timestamp'].map((name) => column(name, 'FLOAT')),
    ...['frame_index', 'episode_index'].map((name) => column(name, 'INT64')),
    column('next.done', 'BOOLEAN'),
  ]);
  writeFileSync(path, file);
  writeFileSync(info, readFileSync(info, 'utf8').replace('"total_frames": 30', '"total_frames": 29'));
  const found: [number, number, boolean][] = [];
  for await (const { observation, steps, terminal } of openLeRobot(folder).read(task))
    found.push([observation[0], steps, terminal]);
  assert.deepEqual(found, [
    [0, 4, false],
    [6, 5, false],
    [12, 9, true],
    [22, 7, false],
  ]);
});

it('statistics of all episodes are those of all numbers', () => {
  const all = Array.from({ length: 60 }, (_, i) => Math.sin(i) * (i % 7));
  const whole = statisticsOf(all, 2);
  const parts = [statisticsOf(all.slice(0, 20), 2), statisticsOf(all.slice(20), 2)];
  const { column } = aggregate(parts.map((part) => ({ column: part })));
  for (const name of ['min', 'max', 'count'] as const) assert.deepEqual(column[name], whole[name]);
  for (const name of ['mean', 'std'] as const)
    for (const k of [0, 1]) assert.ok(Math.abs(column[name][k] - whole[name][k]) < 1e-12, name);
  assert.deepEqual(statisticsOf([1, 2, 3, 4, Number.NaN], 1).q50, [2.5]);
});
