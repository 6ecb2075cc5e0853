// The dashboard in a real Chromium over a real Mosquitto: values as published, zoom, keys, poses, a fault played again, strangers.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import mqtt from 'mqtt';
import { quantileIndex, VALUE, VALUES } from '../../bridge/telemetryHistory.js';
import { summaryOf, type Watcher, watchRobots } from '../../bridge/watcher.js';
import { MODES, PHASES } from '../../contract/loop.js';
import { KINDS, type Telemetry, type Transfer, topicOf } from '../../contract/telemetry.js';
import { FARSIGHT } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';
import { generator } from '../fixtures/generator.js';
import { Browser, chromium } from '../report/chromium.js';
import { sampleLines, writeRun } from '../report/sampleRun.js';
import { Mosquitto, needsMosquitto } from './mosquitto.js';
import { mutated } from './mutation.js';

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const TOTAL = PHASES.indexOf('total');
const skip = needsMosquitto.skip || (chromium ? false : 'chromium is not installed');

describe('the dashboard', { skip, timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'farsight-dashboard-'));
  const children: ChildProcess[] = [];
  const telemetry: Telemetry[] = [];
  let broker: Mosquitto;
  let browser: Browser;
  let watcher: Watcher;
  let url: string;
  let monitor: ChildProcess;
  let arm: ChildProcess;

  const node = (...args: string[]) => {
    const env = { ...process.env, FARSIGHT_LOG: 'silent' };
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
    children.push(child);
    return child;
  };
  const page = <T>(expression: string) => browser.evaluate<T>(expression);
  const until = (expression: string) => browser.until(expression);
  const press = (key: string) => browser.press(key);
  const text = (id: string) => page<string>(`document.getElementById('${id}').textContent`);

  before(async () => {
    broker = new Mosquitto(await freePort());
    await broker.start();
    watcher = await watchRobots({
      broker: { url: broker.url },
      onMessage: ({ kind, message }) => {
        if (kind === 'telemetry' && message.robot === 'arm-1') telemetry.push(message);
      },
    });
    const publisher = script('./publisherProcess.js');
    arm = node(publisher, broker.url, 'arm-1', '100');
    node(publisher, broker.url, 'arm-2', '100');
    const runs = join(folder, 'runs');
    mkdirSync(runs);
    monitor = node(FARSIGHT, 'monitor', '--mqtt', broker.url, '--web', '0', '--json', '--runs', runs);
    monitor.stdout!.resume();
    for (let said = ''; !url; ) {
      const [piece] = await once(monitor.stderr!, 'data');
      said += piece;
      url = /dashboard: (http:\S+)/.exec(said)?.[1] ?? '';
    }
    browser = new Browser();
    await browser.open(`${url}/#arm-1`);
  });
  after(async () => {
    await browser?.close();
    await watcher?.stop();
    for (const child of children) child.kill('SIGKILL');
    await broker?.dispose();
    rmSync(folder, { recursive: true });
  });

  test('shows each robot, and of the chosen one what was published', async () => {
    assert.match(url, /^http:\/\/127\.0\.0\.1:/);
    await until("document.querySelectorAll('#fleet li').length === 2");
    await until('farsight.shown.history.length >= 3');
    await until("document.getElementById('name').textContent === 'arm-1'");
    const { time, values, ticks } = await page<{ time: number; values: number[]; ticks: number }>(
      `(() => { const { history } = farsight.shown; const row = history.length - 1;
        return { time: history.time(row), values: Array.from({ length: ${VALUES} }, (_, i) => history.value(row, i)),
          ticks: history.heat(row, ${TOTAL}).reduce((sum, count) => sum + count) }; })()`,
    );
    const published = telemetry.find((one) => Math.abs(Date.parse(one.time) / 1000 - time) < 0.5)!;
    const { window, rateHz } = published;
    assert.equal(ticks, window.ticks, 'each tick is in the heat map once');
    const longest = Math.round(window.phases.total.max) / 1000;
    const expected = { ticks: window.ticks, missed: 0, mode: MODES.indexOf('policy'), period: 1e6 / rateHz };
    for (const [name, value] of Object.entries(expected))
      assert.equal(values[VALUE[name as keyof typeof expected]], value);
    assert.ok(Math.abs(values[quantileIndex(TOTAL, 'max')] / longest - 1) < 1e-4);
    const { p99 } = summaryOf(published).window.phases.total;
    assert.ok(Math.abs(values[quantileIndex(TOTAL, 'p99')] / p99 - 1) < 1e-4);
  });

  test('a drag zooms every chart to what it was drawn over, and keys bring it back', async () => {
    await until("document.querySelector('#bands .u-over').clientWidth > 300");
    const [from, to, y, times] = await page<[number, number, number, [number, number]]>(
      `(() => { const over = document.querySelector('#bands .u-over'); over.scrollIntoView({ block: 'center' });
        const { left, width, top, height } = over.getBoundingClientRect();
        const { from, to } = farsight.view; const at = (share) => from + share * (to - from);
        return [left + 0.75 * width, left + 0.9 * width, top + height / 2, [at(0.75), at(0.9)]]; })()`,
    );
    await browser.mouse('mouseMoved', from, y);
    await browser.mouse('mousePressed', from, y);
    await browser.mouse('mouseMoved', (from + to) / 2, y);
    await browser.mouse('mouseMoved', to, y);
    await browser.mouse('mouseReleased', to, y);
    await until('farsight.view.span === undefined');
    const shown = await page<number[]>('[farsight.view.from, farsight.view.to]');
    // Telemetry may have come between the look and the drag.
    for (const i of [0, 1]) assert.ok(Math.abs(shown[i] - times[i]) < 4, `${shown[i] - times[i]} s beside`);
    assert.ok(Math.abs(shown[1] - shown[0] - 45) < 1, 'a seventh of five minutes');
    for (const name of ['bands', 'heat', 'phases', 'lanes'])
      await until(
        `farsight.charts.scale('${name}').join() === [farsight.view.from, farsight.view.to].join()`,
      );
    await press('-');
    const wider = await page<number[]>('[farsight.view.from, farsight.view.to]');
    assert.ok(Math.abs(wider[1] - wider[0] - 2 * (shown[1] - shown[0])) < 1e-3);
    await press('l');
    await until('farsight.view.span !== undefined');
    await page("document.querySelector('#span button').click()");
    assert.equal(await page('farsight.view.to - farsight.view.from'), 60);
    await press('1');
    await until("document.querySelector('b.phase').textContent === 'wake'");
  });

  test('a missed tick and a fault are on the time line; the pose before the fault is played again', async () => {
    arm.stdin!.write('0.25\n');
    await until('farsight.pose.view && Math.abs(farsight.pose.view.bodies[3] - 0.25) < 1e-6');
    arm.stdin!.write('miss\n');
    await until(
      `(() => { const { history } = farsight.shown; return history.value(history.length - 1, ${VALUE.missed}) === 1; })()`,
    );
    await until("/missed1/.test(document.getElementById('state').textContent)");
    arm.stdin!.write('-0.5\n');
    await until('Math.abs(farsight.pose.view.bodies[3] + 0.5) < 1e-6');
    arm.stdin!.write('damping\n');
    await until("farsight.shown.events.some(({ event }) => event.kind === 'fault')");
    await until("document.querySelectorAll('#replays button').length === 2");
    await until("/emergency stop/.test(document.getElementById('replays').textContent)");
    await until("/faultemergency stop/.test(document.getElementById('state').textContent)");
    await page("document.querySelectorAll('#replays button')[1].click()");
    await until('farsight.pose.replay !== undefined');
    await press(' ');
    await until("document.getElementById('play').textContent === 'Play'");
    await page(`(() => { const { replay } = farsight.pose; const there = replay.poses.filter(({ position }) => position[0] === 0.25);
      const { time } = there[there.length >> 1];
      const place = document.getElementById('place'); place.value = time - replay.time; place.dispatchEvent(new Event('input')); })()`);
    await until('Math.abs(farsight.pose.view.bodies[3] - 0.25) < 0.01');
    await page("document.querySelector('#replays button').click()");
    await until('Math.abs(farsight.pose.view.bodies[3] + 0.5) < 1e-6');
  });

  test('another robot by the keyboard; a page that is opened late has the history and the fault', async () => {
    const rows = await page<number>('farsight.shown.history.length');
    await press('ArrowDown');
    await until("document.getElementById('name').textContent === 'arm-2'");
    assert.equal(await page('location.hash'), '#arm-2');
    await browser.open(`${url}/?late#arm-1`);
    await until(`farsight.shown.history.length >= ${rows}`);
    await until("farsight.shown.events.some(({ event }) => event.kind === 'fault')");
    await until("document.querySelectorAll('#replays button').length === 2");
    await until("/arm-1damping: emergency stop/.test(document.getElementById('fleet').textContent)");
  });

  test('recordings on their way, and trainings as they go on', async () => {
    const transfer: Transfer = {
      ...{ version: 1, robot: 'arm-1', boot: 'x', time: new Date().toISOString(), sequence: 0 },
      disk: { used: 12_300_000, quota: 50_000_000, free: 9e9 },
      collector: 'http://fleet.local:7447',
      waiting: { files: 3, bytes: 4_500_000 },
      current: { name: 'a.mcap', sent: 1, bytes: 4 },
      ...{ sent: 1, stored: 7, quarantined: 0, rows: 1234 },
      dropped: { files: 1, rows: 55, bytes: 10 },
      trouble: null,
    };
    const client = await mqtt.connectAsync(broker.url);
    await client.publishAsync(topicOf('arm-1', 'transfer'), JSON.stringify(transfer), { qos: 1 });
    await client.endAsync();
    await until("!document.getElementById('recordings').hidden");
    assert.match(
      await text('recordings'),
      /12\.3 MB of 50\.0 MB.*3 files, 4\.5 MB.*a\.mcap 25 %.*7 files, 1,234 rows.*1 files, 55 rows/,
    );
    const run = join(folder, 'runs', 'hopper-7');
    mkdirSync(run);
    const config = { task: 'hopper', preset: 'fast', options: { steps: 20_000 } };
    writeRun(run, sampleLines({ seed: 3, steps: 1000, halfway: 400, horizonMax: 8 }), config);
    const refit = join(folder, 'runs', 'hopper-8.partial');
    mkdirSync(refit);
    writeFileSync(join(refit, 'lock'), `${process.pid}\n`);
    await until("/hopper-8refit under way/.test(document.getElementById('runs').textContent)");
    await until(
      "/hopper-7training[^]*1,000 of 20,000 steps[^]*best return/.test(document.getElementById('runs').textContent)",
    );
    writeFileSync(join(run, 'lock'), `${process.pid}\n`);
    await until("/hopper-7training under way/.test(document.getElementById('runs').textContent)");
  });

  test('what strangers send to either side ends neither the monitor nor the page', async () => {
    const random = generator(7);
    const stranger = await mqtt.connectAsync(broker.url);
    const good = Buffer.from(JSON.stringify(telemetry.at(-1)));
    for (let i = 0; i < 200; i++) {
      const kind = KINDS[i % KINDS.length];
      await stranger.publishAsync(topicOf('arm-2', kind), Buffer.from(mutated(good, random)), { qos: 1 });
    }
    const pose = {
      version: 1,
      robot: 'arm-1',
      boot: 'x',
      time: '1900-01-01T00:00:00Z',
      joints: ['no', 'slider'],
    };
    for (const position of [[1], [null, null], [1e308, -1e308]])
      await stranger.publishAsync(topicOf('arm-1', 'pose'), JSON.stringify({ ...pose, position }), {
        qos: 1,
      });
    await stranger.endAsync();
    const port = Number(new URL(url).port);
    const line = Buffer.from('GET /stream?robot=arm-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    for (let i = 0; i < 100; i++) {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      socket.end(mutated(line, random));
      await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => {});
      socket.destroy();
    }
    for (const path of [
      '../../etc/passwd',
      'history?robot=none',
      'replay?robot=arm-1&fault=x',
      'model?task=../../etc',
    ])
      assert.equal((await fetch(`${url}/${path}`)).status, 404);
    const host = { host: '127.0.0.1', port, headers: { Host: 'rebound.example' } };
    const [answer] = await once(request(host).end(), 'response');
    assert.equal(answer.statusCode, 403, 'a name of another site is not answered');
    await until("document.getElementById('broker').title.includes('malformed messages refused')");
    const before = await page<number>('farsight.shown.history.written');
    await until(`farsight.shown.history.written > ${before}`);
    assert.equal(monitor.exitCode, null);
  });

  test('on a phone, in the dark, nothing is cut off', async () => {
    await browser.send('Emulation.setDeviceMetricsOverride', {
      ...{ width: 390, height: 844, deviceScaleFactor: 2, mobile: true },
    });
    const features = [{ name: 'prefers-color-scheme', value: 'dark' }];
    await browser.send('Emulation.setEmulatedMedia', { features });
    await until("document.querySelector('#bands canvas').clientWidth < 390");
    assert.equal(await page('document.documentElement.scrollWidth'), 390);
    assert.equal(await page('getComputedStyle(document.body).backgroundColor'), 'rgb(14, 17, 22)');
    const least = await page<number>(
      "Math.min(...[...document.querySelectorAll('main button')].map((button) => button.getBoundingClientRect().height))",
    );
    assert.ok(least >= 40, `a button of ${least} pixels`);
  });

  test('nothing was fetched from elsewhere, and nothing failed', () => {
    assert.deepEqual(
      browser.errors.filter((error) => !error.startsWith(`network: ${url}/`)),
      [],
    );
  });
});
