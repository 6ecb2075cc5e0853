// The emergency stop on a real ROS 2, with real second processes: from every source, in every state; held, kept, unheard.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { RosNode } from '../../controller/ros/rcl/rcl.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { until } from './farsightProcess.js';
import { noRclnodejs } from './needsRos.js';
import type { Response } from './operator.js';
import { rosDomain } from './rosDomain.js';
import { SOURCES, STATES, StopRehearsal, TIMEOUT } from './stopRehearsal.js';

process.env.ROS_DOMAIN_ID = rosDomain;

describe('the emergency stop', { skip: noRclnodejs, timeout: 400_000 }, () => {
  const rehearsal = new StopRehearsal(temporaryDirectory());
  before(() => rehearsal.start());
  after(() => rehearsal.stop());
  const refused = async (order: 'activate' | 'rearm', why: RegExp) => {
    const from = rehearsal.said.length;
    const { success, message } = (await rehearsal.ask(order)) as Response;
    assert.equal(success, false);
    await until(
      () => `${why} in: ${message} ${rehearsal.said.slice(from)}`,
      () => why.test(message ?? rehearsal.said.slice(from)),
    );
  };

  for (const source of SOURCES.filter((each) => each !== 'terminal')) {
    it(`from the ${source}, in every state, beside a watchdog and with the main thread blocked`, async () => {
      for (const state of STATES) await rehearsal.trial(source, state, true);
    });
  }

  it("from a second terminal, which is a passer's way with a second of Python before it", async () => {
    for (const state of ['unconfigured', 'active'] as const) await rehearsal.trial('terminal', state, true);
  });

  it('without a management process', async () => {
    await rehearsal.bring('unconfigured');
    const from = rehearsal.said.length;
    rehearsal.killManagement();
    await rehearsal.press('service');
    await rehearsal.isLatched();
    await until(
      () => 'the node is back',
      () => rehearsal.said.includes('is back', from),
    );
    await rehearsal.succeed('configure');
    await refused('activate', /emergency stop/);
    await rehearsal.succeed('rearm');
  });

  it('in a flood of garbage', async () => {
    const end = rehearsal.flood();
    for (const source of ['reliable', 'bestEffort', 'service', 'key'] as const) {
      await rehearsal.trial(source, 'active', true);
    }
    end();
  });

  it('a button that stays pressed: no rearm, no activation, until it says otherwise and a person rearms', async () => {
    for (const button of ['reliable', 'bestEffort'] as const) {
      await rehearsal.bring('active');
      await rehearsal.press(button, true);
      await rehearsal.isLatched();
      await refused('rearm', /still pressed/);
      await refused('activate', /emergency stop/);
      await rehearsal.release(button);
      await sleep(100);
      await refused('activate', /emergency stop/);
      await rehearsal.succeed('rearm');
    }
  });

  it('outlives cleanup, a new configuration, and the death of the process', async () => {
    await rehearsal.bring('unconfigured');
    await rehearsal.press('bestEffort');
    await rehearsal.isLatched();
    await rehearsal.succeed('configure');
    await refused('activate', /emergency stop/);
    await rehearsal.succeed('cleanup');
    await rehearsal.killController();
    await rehearsal.startController();
    await until(
      () => `what is latched is said: ${rehearsal.said}`,
      () => /latched since .*: emergency stop/.test(rehearsal.said),
    );
    await rehearsal.succeed('configure');
    await refused('activate', /emergency stop/);
    const { movedAt } = await rehearsal.observed();
    await sleep(200);
    assert.equal((await rehearsal.observed()).movedAt, movedAt);
    await rehearsal.succeed('rearm');
    await rehearsal.bring('active');
  });

  it('must be heard: with its publishers silent nothing is activated, and a policy that acts is stopped', async () => {
    await rehearsal.bring('inactive');
    await rehearsal.press('heartbeat');
    await sleep(1000 * TIMEOUT + 200);
    await refused('activate', /emergency stop topic is silent/);
    await rehearsal.release('heartbeat');
    await rehearsal.bring('active');
  });

  it('another publisher of commands: a policy that acts is stopped, and none is activated beside it', async () => {
    await rehearsal.bring('active');
    const rival = new RosNode({ name: 'rival' });
    try {
      rival.publisher('forward_command_controller/commands', 'std_msgs/msg/Float64MultiArray', {
        reliability: 'reliable',
        durability: 'volatile',
        depth: 1,
      });
      await rehearsal.isLatched();
      await until(
        () => 'a second publisher is the fault',
        async () => (await rehearsal.look()).fault === 'second publisher',
      );
      await rehearsal.succeed('rearm');
      await refused('activate', /another node publishes/);
    } finally {
      rival.release();
    }
    await rehearsal.bring('active');
  });

  it('a policy file that does not do changes nothing, and one that does is served at once', async () => {
    await rehearsal.bring('inactive');
    await rehearsal.reload('/nowhere.onnx', false);
    await rehearsal.bring('active');
    await rehearsal.bring('inactive');
    await rehearsal.reload(undefined, true);
    await rehearsal.bring('active');
  });
});
