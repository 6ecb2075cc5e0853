// The simulated world: equal to Gymnasium's, repeatable, and undisturbed by its neighbours.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { rollout } from '../../launch/commands/rollout.js';
import { Random } from '../../trainer/random.js';
import { loadTask, taskNames } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-world-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

/** Largest difference that may build up over a rollout: rad, m, rad/s, m/s. */
const TOLERANCE = 1e-9;

interface Reference {
  qpos: number[];
  qvel: number[];
  actions: number[][];
  observations: number[][];
  rewards: number[];
  terminated: boolean[];
}

interface Ending extends Pick<Reference, 'qpos' | 'qvel' | 'actions'> {
  terminated: boolean;
}

test("rollouts equal those of Gymnasium's environments", async () => {
  for (const task of taskNames) {
    const { rollouts }: { rollouts: Reference[] } = JSON.parse(
      readFileSync(`test/sim/fixtures/${task}.json`, 'utf8'),
    );
    const { action } = await loadTask(task);
    assert.ok(rollouts.some(({ actions }) => actions.some(([a]) => Math.abs(a) > action[0].limits[1])));
    for (const reference of rollouts) {
      const { qpos, qvel } = reference;
      const ours = await rollout({
        task,
        state: file('state.json', { qpos, qvel }),
        actions: file('actions.json', reference.actions),
      });
      assert.deepEqual(ours.terminated, reference.terminated);
      assert.equal(ours.observations.length, reference.observations.length);
      ours.observations.forEach((observation, t) => {
        observation.forEach((value, i) => {
          const expected = reference.observations[t][i];
          assert.ok(
            Math.abs(value - expected) < TOLERANCE,
            `${task}, step ${t}, term ${i}: ${value}, Gymnasium ${expected}`,
          );
        });
      });
      ours.rewards.forEach((reward, t) => {
        const expected = reference.rewards[t];
        assert.ok(
          Math.abs(reward - expected) < TOLERANCE,
          `${task}, step ${t}: reward ${reward}, Gymnasium ${expected}`,
        );
      });
    }
  }
});

test("episodes end where Gymnasium's end from extreme states too, which observations do not hold whole", async () => {
  const cases: Record<string, Ending[]> = JSON.parse(readFileSync('test/sim/fixtures/endings.json', 'utf8'));
  assert.deepEqual(Object.keys(cases).sort(), [...taskNames].sort());
  // Its foot turns at more than 100 rad/s, where the observation says 10.
  cases.hopper.push({
    qpos: [0, 1.25, 0, 0, 0, 0],
    qvel: [0, 0, 0, 0, 0, 111],
    actions: [[0, 0, 0]],
    terminated: true,
  });
  for (const [name, endings] of Object.entries(cases)) {
    const world = await World.create(await loadTask(name));
    for (const { qpos, qvel, actions, terminated } of endings) {
      world.setState({ qpos, qvel });
      assert.equal(world.step(actions[0]).terminated, terminated, `${name} from ${qpos}, at ${qvel}`);
    }
    world.dispose();
  }
});

test('the same seed gives the same run, with starts inside the noise', async () => {
  const task = await loadTask('inverted-pendulum');
  const run = async (seed: number) => {
    const world = await World.create(task);
    const random = new Random(seed);
    const seen = [...world.reset(random)];
    assert.ok(seen.every((value) => Math.abs(value) <= 0.01 && value !== 0));
    for (let i = 0; i < 20; i++) seen.push(...world.step([random.uniform(-3, 3)]).observation);
    world.dispose();
    return seen;
  };
  const first = await run(7);
  assert.deepEqual(await run(7), first);
  assert.notDeepEqual(await run(8), first);
});

test('worlds live side by side while the memory they share grows', async () => {
  const task = await loadTask('inverted-pendulum');
  const alone = await World.create(task);
  const expected = [alone.reset(new Random(5)), alone.step([1]).observation, alone.step([2]).observation];
  alone.dispose();
  const world = await World.create(task);
  const others: World[] = [];
  const seen = [world.reset(new Random(5))];
  for (const action of [1, 2]) {
    for (let i = 0; i < 20; i++) {
      const other = await World.create(task);
      other.reset(new Random(i));
      other.step([-3]);
      others.push(other);
    }
    seen.push(world.step([action]).observation);
  }
  assert.deepEqual(seen, expected);
  for (const each of [world, ...others]) each.dispose();
});

test("the robot's limits on commands hold in simulation too", async () => {
  const task = await loadTask('inverted-pendulum');
  const joints = [{ joint: 'slider', commandRate: task.controlRate }];
  const reward = ({ action }: { action: ArrayLike<number> }) => action[0];
  const limited = await World.create({ ...task, reward, safety: { ...task.safety, joints } });
  const free = await World.create({ ...task, reward });
  for (const seed of [1, 2]) {
    limited.reset(new Random(seed));
    free.reset(new Random(seed));
    for (const [asked, allowed] of [
      [3, 1],
      [3, 2],
      [-3, 1],
      [0.5, 0.5],
    ]) {
      const { command, observation, reward } = limited.step([asked]);
      assert.deepEqual([...command], [allowed]);
      assert.equal(reward, allowed);
      assert.deepEqual(observation, free.step([allowed]).observation);
    }
  }
  assert.equal(free.step([7]).reward, 7);
  assert.throws(() => free.step([Number.NaN]), /action NaN is not finite/);
  for (const world of [limited, free]) world.dispose();
});

test('rollout names the file and the entry that are wrong', async () => {
  const state = file('good-state.json', { qpos: [0, 0], qvel: [0, 0] });
  const actions = file('good-actions.json', [[1], [2]]);
  const cases: [string, string, RegExp][] = [
    ['none.json', actions, /--state 'none.json': no such file/],
    [file('cut.json', '{"qpos": [0'), actions, /--state '.*cut.json': is not JSON/],
    [file('short.json', { qpos: [0], qvel: [0, 0] }), actions, /short.json': qpos has 1 numbers, .* wants 2/],
    [state, file('text.json', [['1']]), /--actions '.*text.json': 0.0: must be a number/],
    [state, file('wide.json', [[1], [1, 2]]), /wide.json': action 1 has 2 numbers, .* wants 1/],
  ];
  for (const [stateFile, actionFile, message] of cases) {
    await assert.rejects(
      rollout({ task: 'inverted-pendulum', state: stateFile, actions: actionFile }),
      (error: Error) => {
        assert.ok(error instanceof FarsightError, String(error));
        assert.match(error.message, message);
        return true;
      },
    );
  }
  await assert.rejects(rollout({ task: 'inverted-pendulum', state: '-', actions: '-' }), UsageError);
});

test('farsight rollout reads stdin, prints one JSON object, and exits 2 when used wrongly', () => {
  const run = (input: string, ...flags: string[]) =>
    spawnSync(process.execPath, ['build/launch/farsight.js', 'rollout', ...flags], {
      input,
      encoding: 'utf8',
    });
  const state = file('upright.json', { qpos: [0, 0], qvel: [0, 0] });
  const flags = ['--task', 'inverted-pendulum', '--state', state, '--actions', '-', '--json'];
  const good = run('[[0.5], [-0.5]]', ...flags);
  assert.equal(good.status, 0, good.stderr);
  const { observations, rewards, terminated } = JSON.parse(good.stdout);
  assert.deepEqual(observations[0], [0, 0, 0, 0]);
  assert.equal(observations.length, 3);
  assert.deepEqual(rewards, [1, 1]);
  assert.deepEqual(terminated, [false, false]);
  const bad = run('[[0.5], 1]', ...flags);
  assert.equal(bad.status, 1);
  assert.match(bad.stderr, /^error: --actions '-': 1: .*\n$/);
  assert.equal(run('', '--task', 'inverted-pendulum').status, 2);
});
