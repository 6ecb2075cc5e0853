// A policy at play: the same episodes as in evaluation, whatever stands between it and the actuators; faults; pushes.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodeModel } from '../../contract/onnx.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { Policy } from '../../controller/policy.js';
import { networkOf, packGraph } from '../../launch/play/network.js';
import { LIMITS, Session } from '../../launch/play/session.js';
import { evaluate } from '../../trainer/mpdp/evaluate.js';
import { Random } from '../../trainer/random.js';
import { loadTask, type Task } from '../../trainer/sim/task.js';
import { World } from '../../trainer/sim/world.js';

const path = fileURLToPath(new URL('../../../docs/hopper.onnx', import.meta.url));
const { manifest, bytes } = readPolicyFile(path);
const infer = networkOf(packGraph(decodeModel(bytes).graph));
const hopper = { ...(await loadTask('hopper')), maxEpisodeSteps: 120 };

async function newSession(seed: number, task = hopper): Promise<Session> {
  const session = await Session.create(task, manifest, infer, seed);
  after(() => session.dispose());
  return session;
}

/** Steps until so many episodes have ended. */
function play(session: Session, episodes: number): number[] {
  while (session.returns.length < episodes) session.step();
  return session.returns;
}

test('the graph computed in JavaScript is the one that ONNX Runtime computes', () => {
  const policy = new Policy(path, bytes, manifest);
  const random = new Random(1);
  const { mean, sd } = manifest.observationStatistics;
  for (let i = 0; i < 200; i++) {
    policy.observation.forEach((_, k) => {
      policy.observation[k] = mean[k] + 2 * sd[k] * random.normal();
    });
    policy.run();
    const action = infer(policy.observation.slice());
    for (const [k, value] of policy.action.entries())
      assert.ok(Math.abs(action[k] - value) < 1e-5, `${action[k]} for ${value}`);
  }
  policy.release();
});

describe('a session', () => {
  test("has the episodes of an evaluation, to the last bit, under the robot's own loop too", async () => {
    const evaluated = async (task: Task) => {
      const world = await World.create(task);
      const { returns } = await evaluate(world, (observation) => infer(observation), 3, 100);
      world.dispose();
      return returns;
    };
    const returns = await evaluated(hopper);
    for (const limits of LIMITS) {
      const session = await newSession(100);
      session.limits = limits;
      assert.deepEqual(play(session, 3), returns, limits);
      assert.equal(session.stopped, undefined);
      session.restart(100);
      assert.deepEqual(play(session, 1), returns.slice(0, 1), `${limits}, again`);
      session.restart(101);
      assert.notEqual(play(session, 1)[0], returns[0]);
    }
    const joints = [{ joint: 'leg_joint', commandRate: 20 }];
    const slow = { ...hopper, safety: { ...hopper.safety, joints } };
    const limited = await evaluated(slow);
    assert.notDeepEqual(limited, returns);
    assert.deepEqual(play(await newSession(100, slow), 3), limited);
  });

  test('a fault that the loop sees stops the robot until it is rearmed; without the loop the policy goes on', async () => {
    const session = await newSession(1);
    session.limits = 'robot';
    for (let i = 0; i < 20; i++) session.step();
    session.setFaults(['nan=leg_joint']);
    session.step();
    assert.equal(session.stopped, 'observation not finite');
    session.setFaults([]);
    session.step();
    assert.equal(session.stopped, 'observation not finite');
    assert.deepEqual([...session.command], [0, 0, 0]);
    session.rearm();
    session.step();
    assert.equal(session.stopped, undefined);

    const without = await newSession(1);
    without.setFaults(['gain=0.4', 'mass=1.1']);
    assert.equal(without.faults, 'gain=0.4 mass=1.1');
    assert.ok(play(without, 1)[0] < 0.5 * play(await newSession(1), 1)[0]);
    assert.throws(() => without.setFaults(['mass=heavy']), /fault mass/);
  });

  test('a push moves the body that it holds towards its target, and is gone when it is let go', async () => {
    const [pushed, left] = [await newSession(5), await newSession(5)];
    const forward = ({ body }: Session) => {
      const state = body.physics.snapshot();
      body.physics.capture(state);
      return state.position('rootx');
    };
    pushed.push = { body: 1, point: [0, 0, 0.2], target: [-2, 0, 1.4] };
    for (let i = 0; i < 15; i++) for (const session of [pushed, left]) session.step();
    assert.ok(forward(pushed) < forward(left) - 0.05);
    pushed.push = undefined;
    pushed.restart(5);
    left.restart(5);
    assert.deepEqual(play(pushed, 1), play(left, 1));
  });
});
