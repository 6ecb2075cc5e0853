// Telemetry over real brokers: what arrives, what the will says, what a broker's death costs, what the monitor shows.
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { after, describe, it, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import mqtt from 'mqtt';
import { MOST_ROBOTS, type Watcher, watchRobots } from '../../bridge/watcher.js';
import type { HistogramSample } from '../../contract/histogram.js';
import { INTERVENTIONS, PHASES } from '../../contract/loop.js';
import {
  type Received,
  type RobotEvent,
  readMessage,
  type Telemetry,
  topicOf,
} from '../../contract/telemetry.js';
import { FARSIGHT } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';
import { Mosquitto, needsMosquitto } from './mosquitto.js';

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const started: { kill(signal: 'SIGKILL'): boolean }[] = [];
after(() => {
  for (const child of started) child.kill('SIGKILL');
});

type Child = ChildProcessByStdio<Writable, Readable, null>;

/** Starts a publisher; resolves with its process, the end of it, and the URL that it publishes to. */
async function publish(broker: string, robot: string, eventsKept = 1000) {
  const child: Child = spawn(
    process.execPath,
    [script('./publisherProcess.js'), broker, robot, String(eventsKept)],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, FARSIGHT_LOG: 'silent' },
    },
  );
  started.push(child);
  const exited = once(child, 'exit');
  const [url] = await once(child.stdout, 'data');
  return { child, exited, url: String(url).trim() };
}

/** Collects what a broker brings; `until` resolves when a message fits, one that is there already counts. */
async function collect(url: string) {
  const received: Received[] = [];
  let wake = () => {};
  const watcher = await watchRobots({
    broker: { url },
    onMessage(message) {
      received.push(message);
      wake();
    },
  });
  return {
    watcher,
    telemetry: () => received.flatMap(({ kind, message }) => (kind === 'telemetry' ? [message] : [])),
    events: () => received.flatMap(({ kind, message }) => (kind === 'event' ? [message] : [])),
    async until(fits: (received: Received) => boolean): Promise<void> {
      while (!received.some(fits)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
const isState = (state: string) => (received: Received) =>
  received.kind === 'connection' && received.message.state === state;
const isTelemetry = (at: (telemetry: Telemetry) => boolean) => (received: Received) =>
  received.kind === 'telemetry' && at(received.message);
const isEvent = (at: (event: RobotEvent['event']) => boolean) => (received: Received) =>
  received.kind === 'event' && at(received.message.event);
const total = ({ counts }: HistogramSample) => counts.reduce((sum, n, i) => (i % 2 === 1 ? sum + n : sum), 0);

async function withMosquitto(work: (broker: Mosquitto) => Promise<void>): Promise<void> {
  const broker = new Mosquitto(await freePort());
  try {
    await work(broker);
  } finally {
    await broker.dispose();
  }
}

describe('over real brokers', { concurrency: true, timeout: 60_000 }, () => {
  it(
    'telemetry, events and the farewell arrive; the will of a killed robot is published',
    needsMosquitto,
    () =>
      withMosquitto(async (broker) => {
        await broker.start();
        const { watcher, telemetry, events, until } = await collect(broker.url);
        const { child, exited } = await publish(broker.url, 'arm-1');
        await until(isState('online'));
        await until(isTelemetry(({ sequence }) => sequence >= 1));
        child.stdin.write('damping\n');
        await until(isEvent((event) => event.kind === 'mode' && event.to === 'damping'));
        child.stdin.write('stop\n');
        await until(isState('offline'));
        assert.equal((await exited)[0], 0);

        assert.deepEqual(
          events().map(({ event }) => event.kind),
          ['policy loaded', 'mode', 'fault', 'mode'],
        );
        assert.deepEqual(
          events().map(({ sequence }) => sequence),
          [0, 1, 2, 3],
        );
        const last = telemetry().at(-1)!;
        assert.equal(last.mode, 'damping');
        assert.equal(last.fault, 'emergency stop');
        for (const phase of PHASES) assert.equal(total(last.phases[phase]), last.ticks);
        const windows = telemetry().map(({ window }) => total(window.phases.total));
        assert.equal(
          windows.reduce((sum, n) => sum + n),
          last.ticks,
        );

        const other = await publish(broker.url, 'arm-2');
        await until(({ kind, message }) => kind === 'connection' && message.robot === 'arm-2');
        other.child.kill('SIGKILL');
        await until(isState('lost'));
        assert.equal(watcher.robots.get('arm-2')?.connection, 'lost');
        assert.equal(watcher.robots.get('arm-1')?.connection, 'offline');
        await watcher.stop();

        const late = await collect(broker.url);
        await late.until(isState('lost'));
        await late.until(isState('offline'));
        await late.watcher.stop();
      }),
  );

  it('a broker that is absent, killed and back again costs nothing of the loop', needsMosquitto, () =>
    withMosquitto(async (broker) => {
      const { child } = await publish(broker.url, 'leg-1');
      await broker.start();
      const { watcher, telemetry, events, until } = await collect(broker.url);
      await until(isTelemetry(() => true));
      const before = telemetry()[0];
      await broker.kill();
      child.stdin.write('hold\n');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      // The robot waits until someone listens again.
      child.kill('SIGSTOP');
      await broker.start();
      while (!watcher.connected) await new Promise((resolve) => setTimeout(resolve, 20));
      child.kill('SIGCONT');
      await until(isEvent((event) => event.kind === 'mode' && event.to === 'hold'));
      await until(isTelemetry(({ dropped }) => dropped.telemetry > before.dropped.telemetry));
      child.stdin.write('stop\n');
      await until(isState('offline'));

      const messages = telemetry();
      const last = messages.at(-1)!;
      assert.equal(new Set(messages.map(({ boot }) => boot)).size, 1);
      assert.equal(total(last.phases.total), last.ticks);
      const windows = messages.slice(1).map(({ window }) => total(window.phases.total));
      assert.equal(
        total(before.phases.total) + windows.reduce((sum, n) => sum + n),
        last.ticks,
        'the windows say what was not delivered',
      );
      assert.ok(last.sequence + 1 > messages.length, 'some telemetry was not delivered');
      assert.equal(last.dropped.events, 0);
      const sequences = new Set(events().map(({ sequence }) => sequence));
      assert.ok(sequences.has(2), 'the event of the cut arrived');
      await watcher.stop();
    }),
  );

  it(
    'while the broker is away, only the newest events are kept and the rest is counted',
    needsMosquitto,
    () =>
      withMosquitto(async (broker) => {
        const { child } = await publish(broker.url, 'leg-2', 5);
        for (let i = 0; i < 20; i++) {
          child.stdin.write(i % 2 ? 'policy\n' : 'hold\n');
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        child.kill('SIGSTOP');
        await broker.start();
        const { watcher, telemetry, events, until } = await collect(broker.url);
        child.kill('SIGCONT');
        await until(isTelemetry(() => true));
        child.stdin.write('stop\n');
        await until(isState('offline'));
        const dropped = telemetry().at(-1)!.dropped.events;
        assert.ok(dropped > 0);
        assert.deepEqual(
          events().map(({ sequence }) => sequence),
          [0, 1, 2, 3, 4].map((i) => dropped + i),
        );
        await watcher.stop();
      }),
  );

  it('the embedded broker serves the monitor, as JSON lines and as text', async () => {
    const { child, exited, url } = await publish('embedded', 'wing-1');
    const run = promisify(execFile);
    const monitor = [FARSIGHT, 'monitor', '--mqtt', url, '--once'];
    const { stdout: json } = await run(process.execPath, [...monitor, '--json']);
    const shown = JSON.parse(json);
    assert.equal(shown.robot, 'wing-1');
    assert.equal(shown.mode, 'policy');
    assert.equal(shown.connection, 'online');
    assert.ok(shown.phases.wake.p50 >= 20 && shown.phases.wake.max <= 121);
    const { stdout: text } = await run(process.execPath, monitor);
    assert.match(text, /wing-1 {2}online {2}policy {2}500 Hz/);
    assert.match(text, /total, start .*▕.*▏/);

    const live = spawn(process.execPath, [FARSIGHT, 'monitor', '--mqtt', url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    started.push(live);
    let lines = '';
    for await (const piece of live.stdout) {
      lines += piece;
      if (/policy {2}ticks \d+/.test(lines)) live.kill('SIGINT');
    }
    assert.match(lines, /wing-1 {2}online, 500 Hz, policy of inverted-pendulum/);
    child.stdin.write('stop\n');
    assert.equal((await exited)[0], 0);

    const away = run(process.execPath, monitor);
    await assert.rejects(away, ({ code, stderr }: { code: number; stderr: string }) => {
      assert.equal(code, 1);
      assert.match(stderr, /^error: broker '.*' cannot be reached \(connect ECONNREFUSED[^\n]*\n$/);
      return true;
    });
  });

  it('what is malformed is refused and counted, and the watcher goes on', async () => {
    const { child, exited, url } = await publish('embedded', 'fin-1');
    const { watcher, until }: { watcher: Watcher; until: (fits: (r: Received) => boolean) => Promise<void> } =
      await collect(url);
    const stranger = await mqtt.connectAsync(url);
    await stranger.publishAsync(topicOf('fin-1', 'telemetry'), 'no json', { qos: 1 });
    await stranger.publishAsync(topicOf('fin-1', 'event'), '{"version":1}', { qos: 1 });
    await until(isTelemetry(() => true));
    assert.equal(watcher.refused.count, 2);
    await stranger.endAsync();
    await watcher.stop();
    child.stdin.write('stop\n');
    assert.equal((await exited)[0], 0);
  });
});

test('of ever more names a watcher keeps the newest', { timeout: 60_000, ...needsMosquitto }, () =>
  withMosquitto(async (broker) => {
    await broker.start();
    const { watcher, until } = await collect(broker.url);
    const stranger = await mqtt.connectAsync(broker.url);
    const about = { version: 1, boot: 'x', time: '2026-01-01T00:00:00.000Z', state: 'online', rateHz: 500 };
    const policy = { sha256: 'a'.repeat(64), task: 'pendulum' };
    for (let i = 0; i < MOST_ROBOTS + 10; i++) {
      const robot = `r${i}`;
      const message = JSON.stringify({ ...about, robot, policy });
      await stranger.publishAsync(topicOf(robot, 'connection'), message, { qos: 1 });
    }
    await until(({ message }) => message.robot === `r${MOST_ROBOTS + 9}`);
    assert.equal(watcher.robots.size, MOST_ROBOTS);
    assert.deepEqual([watcher.robots.has('r9'), watcher.robots.has('r10')], [false, true]);
    await stranger.endAsync();
    await watcher.stop();
  }),
);

test('messages are refused with a reason, whatever they are', () => {
  const good = {
    version: 1,
    robot: 'arm',
    boot: 'x',
    time: '2026-01-01T00:00:00.000Z',
    sequence: 0,
    event: { kind: 'intervention', intervention: INTERVENTIONS[0], count: 1 },
  };
  const read = (message: unknown, topic = topicOf('arm', 'event')) =>
    readMessage(topic, new TextEncoder().encode(JSON.stringify(message)));
  assert.deepEqual(read(good), { kind: 'event', message: good });
  assert.deepEqual(read({ ...good, more: 1 }), { kind: 'event', message: good });
  const refused: [unknown, string?][] = [
    [{ ...good, version: 2 }],
    [{ ...good, event: { kind: 'party' } }],
    [{ ...good, sequence: -1 }],
    [{ ...good, robot: 'leg' }],
    [null],
    [good, 'farsight/v2/arm/event'],
    [good, 'farsight/v1/arm/constructor'],
    [good, topicOf('arm', 'telemetry')],
  ];
  for (const [message, topic] of refused)
    assert.ok('refused' in read(message, topic), JSON.stringify(message));
});
