// Commands of the bridge that cannot begin: they say why in one line, and end, whatever they had opened by then.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { RobotBridge } from '../../bridge/robotBridge.js';
import { startCommand } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';
import { Mosquitto, needsMosquitto } from './mosquitto.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-begin-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a command that cannot begin ends', { timeout: 90_000, ...needsMosquitto }, async () => {
  const taken = await freePort();
  const broker = new Mosquitto(taken);
  await broker.start();
  const recordings = join(folder, 'recordings');
  const other = new RobotBridge({ directory: recordings, quota: 1e9, reserve: 0, settle: 60_000 });
  const settings = join(folder, 'settings.yaml');
  writeFileSync(settings, 'passwort: x\n');
  const mqtt = ['--mqtt', broker.url];
  const cases: [why: RegExp, args: string[]][] = [
    [/cannot listen/, ['monitor', ...mqtt, '--web', String(taken)]],
    [/cannot listen/, ['monitor', ...mqtt, '--metrics', String(taken)]],
    [/is in use/, ['bridge', '--recordings', recordings, '--collect', 'broker', ...mqtt]],
    [/robot name/, ['bridge', '--recordings', join(folder, 'own'), ...mqtt, '--name', 'a/b']],
    [
      /passwort/,
      ['collect', '--out', join(folder, 'fleet'), '--listen', '0', ...mqtt, '--mqtt-config', settings],
    ],
  ];
  for (const [why, args] of cases) {
    const { child, ended } = startCommand(args, { env: { ...process.env, FARSIGHT_LOG: 'silent' } });
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
    const { code, stderr } = await ended;
    clearTimeout(timer);
    assert.deepEqual([code, why.test(stderr)], [1, true], `${args.join(' ')}: ${stderr}`);
  }
  await other.stop();
  await broker.dispose();
});
