// A roll-out that cannot see its robots any more: it does not take silence for health, and can be ended.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import mqtt from 'mqtt';
import { Rollout, type RolloutOptions, readDesired, writeDesired } from '../../bridge/rollout.js';
import { topicOf } from '../../contract/telemetry.js';
import { freePort } from '../fixtures/freePort.js';
import { pause } from './fleet.js';
import { Mosquitto, needsMosquitto } from './mosquitto.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-rollout-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const sha256 = 'c'.repeat(64);
const target = 'pendulum-00000000/2.onnx';

/** A roll-out to arm-1 at a broker of its own; `says` publishes as that robot. */
async function begin(settings: Partial<RolloutOptions>) {
  const broker = new Mosquitto(await freePort());
  await broker.start();
  const robot = await mqtt.connectAsync(broker.url);
  const about = () => ({ version: 1, robot: 'arm-1', boot: 'x', time: new Date().toISOString() });
  const says = (kind: 'connection' | 'event', more: object) =>
    robot.publishAsync(topicOf('arm-1', kind), JSON.stringify({ ...about(), ...more }), { qos: 1 });
  const isThere = (state: string) =>
    says('connection', { state, rateHz: 500, policy: { sha256, task: 'pendulum' } });
  await isThere('online');
  const stop = new AbortController();
  const records: string[] = [];
  const rollout = new Rollout({
    ...{ directory: folder, target, task: 'pendulum', sha256, stages: ['one'], groups: { one: ['arm-1'] } },
    ...{ broker: { url: broker.url }, failures: 0, interventions: 0.1, patience: 3, soak: 1 },
    ...{ onRecord: ({ what }) => records.push(what), signal: stop.signal },
    ...settings,
  });
  const result = rollout.run();
  const until = async (what: string) => {
    while (!records.includes(what)) await pause(20);
  };
  await until('announced');
  const accepts = () =>
    says('event', {
      sequence: 0,
      event: { kind: 'delivery', state: 'accepted', target, policy: sha256, reason: null },
    });
  const end = async () => {
    await robot.endAsync(true);
    await broker.dispose();
  };
  return { broker, isThere, accepts, result, until, stop, end };
}

test('of roll-outs at once each finds what the others wrote', async () => {
  const directory = mkdtempSync(join(folder, 'repository-'));
  const module = new URL('../../bridge/rollout.js', import.meta.url).href;
  const script = `const { writeDesired } = await import('${module}');
    for (let i = 0; i < 50; i++) await writeDesired('${directory}', process.argv[1] + i, '${target}');`;
  const others = ['a', 'b'].map((name) =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, name]),
  );
  await writeDesired(directory, 'arm-1', target);
  await Promise.all(others);
  assert.equal(Object.keys(readDesired(directory).robots).length, 101);
});

const settings = { timeout: 60_000, ...needsMosquitto };

test(
  'a robot that is lost while it is watched halts it; one that comes back does not',
  settings,
  async () => {
    for (const comesBack of [false, true]) {
      const { isThere, accepts, result, until, end } = await begin({});
      await isThere('online');
      await accepts();
      await until('accepted');
      await isThere('lost');
      if (comesBack) setTimeout(() => void isThere('online'), 1500);
      const { done, reason } = await result;
      assert.equal(done, comesBack, reason);
      if (!comesBack) assert.match(reason!, /arm-1/);
      await end();
    }
  },
);

test('with its broker away it is no success, and ends when it is asked to', settings, async () => {
  const { broker, isThere, result, until, stop, end } = await begin({});
  await isThere('online');
  await broker.kill();
  await until('halted');
  stop.abort();
  assert.equal((await result).done, false);
  await end();
});
