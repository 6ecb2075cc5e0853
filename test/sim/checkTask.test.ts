// farsight check and farsight new: what is wrong with a task is said, and a new one begins with nothing wrong.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkTask } from '../../trainer/sim/checkTask.js';
import { loadTask, type Task } from '../../trainer/sim/task.js';
import { FARSIGHT } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const pendulum = await loadTask('inverted-pendulum');
const run = (...args: string[]) => spawnSync(process.execPath, [FARSIGHT, ...args], { encoding: 'utf8' });

/** Level and text of what is found with `changes` made to a pendulum that ends after 60 steps at most. */
async function found(changes: Partial<Task>): Promise<string[]> {
  const { findings } = await checkTask({ ...pendulum, maxEpisodeSteps: 60, ...changes }, 1);
  return findings.map(({ level, text }) => `${level}: ${text}`);
}

test('a good task is told what a policy will see, and that is all', async () => {
  const check = await checkTask({ ...pendulum, maxEpisodeSteps: 60 }, 1);
  assert.deepEqual(
    check.findings.map(({ level }) => level),
    ['note'],
  );
  assert.equal(check.action[0].moves, true);
  assert.deepEqual(
    check.observation.map(({ name }) => name),
    ['jointPosition slider', 'jointPosition hinge', 'jointVelocity slider', 'jointVelocity hinge'],
  );
  assert.deepEqual(check.reward, { low: 1, mean: 1, sd: 0, high: 1 });
  for (const { terminated, episodes, return: sum, steps } of check.manoeuvres) {
    assert.equal(terminated, episodes);
    assert.equal(sum, steps);
  }
});

test('what is wrong with a task is named', async () => {
  const { observation, mjcf } = pendulum;
  let calls = 0;
  const cases: [changes: Partial<Task>, finding: RegExp][] = [
    [
      { observation: [{ ...observation[0], scale: 0 }, ...observation.slice(1)] },
      /^warning: observation 'jointPosition slider' never moved from 0/,
    ],
    [
      { observation: [...observation.slice(0, 3), { ...observation[3], clip: 0.5 }] },
      /^warning: observation 'jointVelocity hinge' was at its clip in \d+ %/,
    ],
    [
      { observation: [{ ...observation[0], scale: 1e39 }, ...observation.slice(1)] },
      /^error: random: at step \d+: observation 'jointPosition slider' is -?Infinity/,
    ],
    [{ reward: ({ next }) => 1e4 * next.velocity('slider') }, /^warning: rewards go up to ±\d+/],
    [
      { safety: { ...pendulum.safety, joints: [{ joint: 'slider', commandRate: 1 }] } },
      /^warning: action 'slider': safety limits held back 9\d % of random actions/,
    ],
    [{ reward: () => 0 }, /^warning: the reward was 0 in every step/],
    [{ terminated: ([slider]) => slider > 50 }, /^warning: no episode ended, though terminated/],
    [{ terminated: () => false }, /^note: an episode ends at its time limit only/],
    [{ terminated: () => true }, /^error: terminated holds at the start state already/],
    [{ reward: () => ++calls % 7 }, /^error: the same start and the same actions gave two different/],
    [
      { reward: ({ next }) => Math.sqrt(next.velocity('slider')) },
      /^error: no action: at step \d+: task 'inverted-pendulum': reward is NaN/,
    ],
    [
      { mjcf: { ...mjcf, xml: mjcf.xml.replace('gear="100"', 'gear="0"') } },
      /^error: action 'slider' moves nothing/,
    ],
  ];
  for (const [changes, finding] of cases) {
    const findings = await found(changes);
    assert.ok(
      findings.some((text) => finding.test(text)),
      `${finding} in ${findings.join(' | ') || 'nothing'}`,
    );
  }
});

test('a new folder holds a task that passes its check, and is not written over', async () => {
  const folder = join(directory, 'my-robot');
  const made = run('new', folder, '--json');
  assert.equal(made.status, 0, made.stderr);
  assert.deepEqual(readdirSync(folder).sort(), ['README.md', 'robot.xml', 'task.mjs', 'task.test.mjs']);
  // Where the test's folder lies the package is not installed.
  const task = join(folder, 'task.mjs');
  const code = fileURLToPath(new URL('../../trainer/sim/defineTask.js', import.meta.url));
  const text = readFileSync(task, 'utf8');
  writeFileSync(task, text.replace("'farsight'", JSON.stringify(code)));
  const checked = run('check', task, '--json');
  const { task: name, findings } = JSON.parse(checked.stdout);
  assert.equal(name, 'my-robot');
  assert.deepEqual(findings, []);
  assert.equal(checked.status, 0);

  const again = run('new', folder);
  assert.equal(again.status, 2);
  assert.match(again.stderr, /^error: '.*my-robot' is not empty: choose a new folder/);
  assert.match(run('new', join(directory, '2nd')).stderr, /^error: '2nd' is no name for a task/);
  assert.match(
    run('new', task.replace(/\.mjs$/, '.mjs/x')).stderr,
    /^error: '.*x' cannot be written: '.*task\.mjs' is there and is no directory/,
  );
  const file = join(directory, 'afile');
  writeFileSync(file, '');
  assert.match(run('new', file).stderr, /^error: '.*afile' is a file: choose a new folder/);

  // What else is there is no task: what to give is said.
  const bare = spawnSync(process.execPath, [FARSIGHT, 'check', 'my-robot'], {
    cwd: directory,
    encoding: 'utf8',
  });
  assert.equal(
    bare.stderr,
    "error: task 'my-robot' is a directory: give the task's file, './my-robot/task.mjs'\n",
  );
  await assert.rejects(
    loadTask(join(folder, 'robot.xml')),
    /^UsageError: .*robot\.xml' is no JavaScript: give the file that exports the task/,
  );
});
