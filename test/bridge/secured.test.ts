// A fleet's broker that trusts nobody: TLS, certificates, passwords and the ACL file that ships, on a real Mosquitto.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt';
import { watchRobots } from '../../bridge/watcher.js';
import { topicOf } from '../../contract/telemetry.js';
import { offerAnswerTopic } from '../../contract/transfer.js';
import { FARSIGHT } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';
import { makeCertificates } from './certificates.js';
import { pause } from './fleet.js';
import { Mosquitto, needsMosquitto } from './mosquitto.js';

const publisher = fileURLToPath(new URL('./publisherProcess.js', import.meta.url));
const children: { kill(signal: 'SIGKILL'): boolean }[] = [];
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** A robot's process; `settings` is the file of --mqtt-config. */
async function publish(url: string, robot: string, settings: string, env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [publisher, url, robot, '1000'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, FARSIGHT_LOG: 'trace', ...(settings && { MQTT_CONFIG: settings }), ...env },
  });
  children.push(child);
  let log = '';
  child.stderr.on('data', (piece) => {
    log += piece;
  });
  await once(child.stdout, 'data');
  return { child, log: () => log };
}

function settingsFor(folder: string, name: string): string {
  const path = join(folder, `${name}.yaml`);
  writeFileSync(path, `ca: ca.crt\ncert: ${name}.crt\nkey: ${name}.key\n`);
  return path;
}

describe('a broker that trusts nobody', { concurrency: true, timeout: 60_000, ...needsMosquitto }, () => {
  it('certificates and the ACL that ships keep a robot to its own topics', async () => {
    const shipped = readFileSync('launch/mosquitto/farsight.conf', 'utf8');
    const broker = new Mosquitto(
      await freePort(),
      (folder) => {
        makeCertificates(folder, ['arm-1', 'arm-2', 'monitor', 'deliver', 'collect']);
        writeFileSync(join(folder, 'farsight.acl'), readFileSync('launch/mosquitto/farsight.acl'));
        return shipped.replace(/^listener .*$/m, '').replaceAll('/etc/mosquitto/farsight', folder);
      },
      'mqtts',
    );
    const { folder } = broker;
    const heard: IPublishPacket[] = [];
    const clients: MqttClient[] = [];
    const connect = async (name: string) => {
      const client = await mqtt.connectAsync(broker.url, {
        protocolVersion: 5,
        ca: readFileSync(join(folder, 'ca.crt')),
        cert: readFileSync(join(folder, `${name}.crt`)),
        key: readFileSync(join(folder, `${name}.key`)),
      });
      clients.push(client);
      return client;
    };
    try {
      await broker.start();
      const monitor = await connect('monitor');
      monitor.on('message', (_topic, _payload, packet) => heard.push(packet));
      await monitor.subscribeAsync('farsight/v1/#', { qos: 1 });
      const robot = await publish(broker.url, 'arm-1', settingsFor(folder, 'arm-1'));
      while (!heard.some(({ topic }) => topic === topicOf('arm-1', 'telemetry'))) await pause(50);
      const { properties, payload } = heard.find(({ topic }) => topic === topicOf('arm-1', 'telemetry'))!;
      const message = JSON.parse(payload.toString());
      assert.deepEqual(
        { ...properties?.userProperties },
        { robot: 'arm-1', boot: message.boot, version: '1' },
      );
      assert.equal(properties?.contentType, 'application/json');
      assert.ok(properties!.messageExpiryInterval! <= 10);
      assert.ok(message.machine.memory > 1e6);
      assert.ok(message.machine.pageFaults.process.minor > 0);

      // Another robot's certificate: its words about this one reach nobody, and it hears nothing of it.
      const stranger = await connect('arm-2');
      const before = heard.length;
      const refused = (work: Promise<unknown>) => work.then(() => false).catch(() => true);
      assert.ok(
        await refused(
          stranger.publishAsync(topicOf('arm-1', 'connection'), 'lies', { qos: 1, retain: true }),
        ),
      );
      assert.ok(await refused(stranger.publishAsync('elsewhere', 'lies', { qos: 1 })));
      const overheard: string[] = [];
      stranger.on('message', (topic) => overheard.push(topic));
      await stranger
        .subscribeAsync(['farsight/v1/#', 'farsight/v1/arm-1/#', '#'], { qos: 1 })
        .catch(() => {});
      await stranger.subscribeAsync('farsight/v1/arm-2/desired', { qos: 1 });
      await stranger.publishAsync(topicOf('arm-2', 'event'), 'its own', { qos: 1 });
      // A collector hears offers alone, and answers each robot; nobody else says where recordings go.
      const collect = await connect('collect');
      const offered: string[] = [];
      collect.on('message', (topic) => offered.push(topic));
      await collect.subscribeAsync(['$share/collect/farsight/v1/+/offer', 'farsight/v1/#'], { qos: 1 });
      await stranger.subscribeAsync(offerAnswerTopic('arm-2'), { qos: 1 });
      await stranger.publishAsync(topicOf('arm-2', 'offer'), 'a file', { qos: 1 });
      await collect.publishAsync(offerAnswerTopic('arm-2'), 'for arm-2', { qos: 1 });
      await collect.publishAsync(offerAnswerTopic('arm-1'), 'for arm-1', { qos: 1 });
      assert.ok(await refused(monitor.publishAsync(offerAnswerTopic('arm-2'), 'lies', { qos: 1 })));
      // Who brings policies to the fleet says so to each robot alone; whoever only watches does not.
      const deliver = await connect('deliver');
      await deliver.publishAsync('farsight/v1/arm-2/desired', 'for arm-2', { qos: 1 });
      await deliver.publishAsync('farsight/v1/arm-1/desired', 'for arm-1', { qos: 1 });
      assert.ok(await refused(monitor.publishAsync('farsight/v1/arm-2/desired', 'lies', { qos: 1 })));
      await pause(1500);
      assert.deepEqual(new Set(overheard), new Set(['farsight/v1/arm-2/desired', offerAnswerTopic('arm-2')]));
      assert.deepEqual(new Set(offered), new Set([topicOf('arm-2', 'offer')]));
      const since = heard.slice(before).map(({ payload }) => payload.toString());
      assert.ok(since.includes('its own'));
      assert.ok(!since.includes('lies'));

      const nobody = mqtt.connectAsync(broker.url, {
        ca: readFileSync(join(folder, 'ca.crt')),
        reconnectPeriod: 0,
      });
      assert.ok(await refused(nobody));
      const shown = await watchRobots({
        broker: { url: broker.url, config: settingsFor(folder, 'monitor') },
      });
      while (shown.robots.get('arm-1')?.connection !== 'online') await pause(50);
      await shown.stop();
      robot.child.kill('SIGKILL');
    } finally {
      for (const client of clients) await client.endAsync(true);
      await broker.dispose();
    }
  });

  it('a password comes from a file or the environment, and is seen nowhere', async () => {
    const secret = 'correct-horse-battery';
    const broker = new Mosquitto(await freePort(), (folder) => {
      writeFileSync(join(folder, 'passwords'), `arm-1:${secret}\n`);
      execFileSync('mosquitto_passwd', ['-U', join(folder, 'passwords')]);
      return `allow_anonymous false\npassword_file ${join(folder, 'passwords')}`;
    });
    try {
      await broker.start();
      const settings = join(broker.folder, 'robot.yaml');
      writeFileSync(settings, `username: arm-1\npassword: ${secret}\nversion: 3.1.1\n`, { mode: 0o600 });
      const environment = { FARSIGHT_MQTT_USERNAME: 'arm-1', FARSIGHT_MQTT_PASSWORD: secret };
      for (const [file, env] of [
        [settings, {}],
        ['', environment],
      ] as const) {
        const { child, log } = await publish(broker.url, 'arm-1', file, env);
        while (!log().includes('connected to the broker')) await pause(50);
        assert.ok(log().includes(file ? '"mqtt":4' : '"mqtt":5'));
        const shown = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8') + log();
        assert.ok(!shown.includes(secret));
        child.kill('SIGKILL');
      }
      const run = promisify(execFile);
      const monitor = (...args: string[]) => run(process.execPath, [FARSIGHT, 'monitor', '--once', ...args]);
      const failing = async (work: Promise<unknown>) => {
        const { code, stderr } = (await work.catch((error) => error)) as { code: number; stderr: string };
        assert.ok(!stderr.includes(secret));
        return { code, stderr };
      };
      const wrong = await failing(monitor('--mqtt', broker.url));
      assert.equal(wrong.code, 1);
      const inUrl = await failing(monitor('--mqtt', broker.url.replace('//', `//arm-1:${secret}@`)));
      assert.equal(inUrl.code, 2);
      assert.match(inUrl.stderr, /a password does not belong on a command line/);
      chmodSync(settings, 0o644);
      const open = await failing(monitor('--mqtt', broker.url, '--mqtt-config', settings));
      assert.match(open.stderr, /others may read the password in it: chmod 600/);
    } finally {
      await broker.dispose();
    }
  });
});
