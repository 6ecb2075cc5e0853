// Rewards of a robot's recorded transitions: a recording has none, so the task's own are computed from what it holds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Transitions } from '../../contract/transitions.js';
import { Random } from '../../trainer/random.js';
import { rewardTransitions } from '../../trainer/refit/realTransitions.js';
import { loadTask, type Task } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';

test('rewards of recorded transitions are those of the simulation; what the reward misses is said', async () => {
  const task = await loadTask('inverted-pendulum');
  const shaped: Task = {
    ...task,
    observation: [
      { kind: 'jointVelocity', joint: 'hinge', scale: 0.1, offset: 2, clip: 0.7 },
      { kind: 'jointPosition', joint: 'hinge', scale: 3, offset: -0.5 },
    ],
    reward: ({ previous, next, action, dt }) =>
      (next.position('hinge') - previous.position('hinge')) / dt + next.velocity('hinge') - action[0] ** 2,
    terminated: (observation) => observation[1] > 3,
  };
  const steps = await walk(shaped, 40, (i) => [Math.sin(i) / 10]);
  const { transitions, clipped } = await rewardTransitions(asRecorded(steps), shaped);
  const isClipped = ([velocity]: Float32Array) => Math.abs(velocity) >= Math.fround(0.7);
  const whole = steps.filter((step) => !isClipped(step.next));
  assert.ok(clipped > 0 && whole.length > 10);
  assert.equal(transitions.length, whole.length);
  for (const [i, { action, reward, terminal }] of transitions.entries()) {
    assert.ok(Math.abs(reward - whole[i].reward) < 1e-4, `${reward} is not ${whole[i].reward}`);
    assert.ok(Math.abs(3 * action[0] - whole[i].action[0]) < 1e-6);
    assert.equal(terminal, whole[i].terminated);
  }
  const blind: Task = { ...shaped, reward: ({ next }) => next.position('slider') };
  await assert.rejects(rewardTransitions(asRecorded(steps), blind), {
    name: 'FarsightError',
    message: /^task 'inverted-pendulum': its reward is NaN on recorded transitions, so it uses a joint/,
  });
});

test('a walking robot is rewarded for its speed, though a recording does not hold how far it went', async () => {
  for (const name of ['hopper', 'walker2d', 'half-cheetah']) {
    const walker = await loadTask(name);
    const random = new Random(1);
    const steps = await walk(walker, 100, () => walker.action.map(() => random.uniform(-1, 1)));
    const { transitions, clipped } = await rewardTransitions(asRecorded(steps), walker);
    assert.equal(clipped, 0);
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const differences = steps.map(({ reward }, i) => transitions[i].reward - reward);
    assert.ok(Math.abs(mean(differences)) < 0.02, `${name}: ${mean(differences)} m/s on average`);
    assert.ok(mean(differences.map(Math.abs)) < 0.2, `${name}: ${mean(differences.map(Math.abs))} m/s`);
  }
});

/** Steps of a simulated world from its start, on past terminations. */
async function walk(task: Task, count: number, act: (i: number) => number[]) {
  const world = await World.create(task);
  const steps = Array.from({ length: count }, (_, i) => {
    const observation = world.observation();
    const action = act(i);
    const { reward, terminated, observation: next } = world.step(action);
    return { observation, action, reward, terminated, next };
  });
  world.dispose();
  return steps;
}

/** The same as a recording of a robot tells it, without rewards. */
function asRecorded(steps: Awaited<ReturnType<typeof walk>>): Transitions {
  const flat = (values: ArrayLike<number>[]) => Float32Array.from(values.flatMap((one) => Array.from(one)));
  return {
    count: steps.length,
    observation: flat(steps.map((step) => step.observation)),
    action: flat(steps.map((step) => step.action)),
    nextObservation: flat(steps.map((step) => step.next)),
    terminal: new Float32Array(steps.length),
    follows: new Uint8Array(steps.length),
    sensorAge: new Float32Array(steps.length),
  };
}
