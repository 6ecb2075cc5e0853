// Rewards and ends in what convert writes: those of the task, as a refit has them; a recording holds none.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { FLAG, MODES, ROW, rowLayout } from '../../contract/loop.js';
import { readRealTransitions } from '../../trainer/refit/realTransitions.js';
import { loadTask, taskInterface } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { writeSegment } from './fleet.js';

const directory = temporaryDirectory();
const place = (name: string) => join(directory, name);
const convert = (...args: string[]) => startCommand(['convert', ...args, '--json']).ended;

it('rewards and ends are those of the task, as a refit has them', async () => {
  const steps = await walk('inverted-pendulum', 40, (i) => [Math.sin(i)]);
  const [from, out] = [place('walk.mcap'), place('walk-v0')];
  await writeWalk(from, steps);
  const done = await convert(from, '--to', 'minari', '--out', out);
  assert.deepEqual([done.code, JSON.parse(done.stdout).rewards], [0, 'inverted-pendulum'], done.stderr);
  const { transitions } = await readRealTransitions(from, await loadTask('inverted-pendulum'));
  const given: number[] = [];
  const ends: boolean[] = [];
  for (let id = 0; id < JSON.parse(done.stdout).episodes; id++) {
    const file = await asyncBufferFromFile(join(out, 'data', String(id), 'part-0.parquet'));
    for (const row of (await parquetReadObjects({ file })).slice(0, -1)) {
      given.push(row.rewards);
      ends.push(row.terminations);
    }
  }
  // On a robot it goes on after the task's end, for others' algorithms it does not.
  const end = transitions.findIndex(({ terminal }) => terminal) + 1;
  assert.ok(end > 1 && end < transitions.length);
  const kept = transitions.slice(0, end);
  assert.deepEqual(
    given,
    kept.map(({ reward }) => reward),
  );
  assert.deepEqual(
    ends,
    kept.map(({ terminal }) => terminal),
  );
  assert.equal(JSON.parse(done.stdout).skipped.ended, transitions.length - end);
  const other = await convert(from, '--to', 'minari', '--out', place('other-v0'), '--task', 'hopper');
  assert.equal(other.code, 1);
  assert.match(other.stderr, /^error: --task hopper: the recordings are of another task: its task is/m);
});

/** Steps of a simulated world from its start, on past its task's end. */
async function walk(name: string, count: number, act: (i: number) => number[]) {
  const world = await World.create(await loadTask(name));
  const steps = Array.from({ length: count }, (_, i) => {
    const observation = world.observation();
    world.step(act(i));
    return { observation, action: act(i) };
  });
  world.dispose();
  return steps;
}

async function writeWalk(path: string, steps: Awaited<ReturnType<typeof walk>>): Promise<void> {
  const own = taskInterface(await loadTask('inverted-pendulum'));
  const shape = rowLayout(own.observation.length, own.action.length);
  const rows = steps.map(({ observation, action }, tick) => {
    const row = new Float64Array(shape.length);
    row[ROW.tick] = tick;
    row[ROW.scheduled] = 1 + tick / own.controlRate;
    row[ROW.sensorStamp] = row[ROW.scheduled];
    row[ROW.mode] = MODES.indexOf('policy');
    row[ROW.flags] = FLAG.policyStep;
    row.set(observation, shape.observation);
    row.set(action, shape.command);
    return row;
  });
  await writeSegment(path, rows, {
    recording: 'walk',
    segment: 0,
    interface: own,
    loopRate: own.controlRate,
  });
}
