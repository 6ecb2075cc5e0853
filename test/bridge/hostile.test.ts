// What strangers send to the ports of this side: mutated requests, uploads and messages end no process, and nothing gets in.
// FARSIGHT_FUZZ sets how many of each; the suite sends few.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import mqtt from 'mqtt';
import { topicOf } from '../../contract/telemetry.js';
import { RECEIPTS_PATH, UPLOADS_PATH } from '../../contract/transfer.js';
import { freePort } from '../fixtures/freePort.js';
import { generator } from '../fixtures/generator.js';
import { CollectorProcess, killAll, metadataOf, pause, rowsOf, run, ticks, writeSegment } from './fleet.js';
import { mutated } from './mutation.js';

const COUNT = Number(process.env.FARSIGHT_FUZZ ?? 160);
const folder = mkdtempSync(join(tmpdir(), 'farsight-hostile-'));
after(() => {
  killAll();
  rmSync(folder, { recursive: true, force: true });
});
const boot = '00000000-0000-4000-8000-000000000001';
const residentMegabytes = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Sends bytes as they are, and waits for an answer, or the end, for a short while. */
async function send(port: number, bytes: Uint8Array): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.end(bytes);
  await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => {});
  socket.destroy();
}

/** A whole upload in one request, again while the collector has too many. */
async function upload(url: string, agent: Agent, bytes: Uint8Array): Promise<number> {
  for (;;) {
    // A refusal may close the connection before all is sent.
    const status = await post(url, agent, bytes).catch(() => 503);
    if (status !== 503) return status;
    await pause(200);
  }
}

function post(url: string, agent: Agent, bytes: Uint8Array): Promise<number> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return new Promise((resolve, reject) => {
    const made = request(`${url}${UPLOADS_PATH}`, {
      method: 'POST',
      agent,
      headers: {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': bytes.length,
        'Upload-Metadata': metadataOf({ filename: 'a.mcap', sha256, robot: 'arm-1', boot }),
        'Content-Type': 'application/offset+octet-stream',
        'Content-Length': bytes.length,
      },
    });
    made.on('error', reject);
    made.on('response', (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    made.end(bytes);
  });
}

test('mutated requests and mutated recordings: the collector goes on, and takes no row that was changed', {
  timeout: 60_000 + 20 * COUNT,
}, async (t) => {
  const out = join(folder, 'fleet');
  const recordings = join(folder, 'recordings');
  mkdirSync(recordings);
  const rows = ticks(0, 80);
  const path = (segment: number) => join(recordings, `${segment}.mcap`);
  await writeSegment(path(0), rows.slice(0, 40), { recording: boot, segment: 0 });
  const good = readFileSync(path(0));
  const collector = await CollectorProcess.start(out);
  const bridge = () =>
    run('bridge', '--recordings', recordings, '--collect', collector.url, '--once', '--json').result();
  assert.equal((await bridge()).rows, 40);
  const { pid } = collector;
  const before = residentMegabytes(pid);
  const port = Number(new URL(collector.url).port);
  const random = generator(13);

  const metadata = metadataOf({ filename: 'a.mcap', sha256: 'a'.repeat(64), robot: 'arm-1', boot });
  const tus = 'Host: x\r\nTus-Resumable: 1.0.0\r\n';
  const requests = [
    `POST ${UPLOADS_PATH} HTTP/1.1\r\n${tus}Upload-Length: 10\r\nUpload-Metadata: ${metadata}\r\nContent-Length: 0\r\n\r\n`,
    `POST ${UPLOADS_PATH} HTTP/1.1\r\n${tus}Upload-Length: 10\r\nUpload-Metadata: ${metadata}\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 10\r\n\r\n0123456789`,
    `PATCH ${UPLOADS_PATH}/${'a'.repeat(64)}-0 HTTP/1.1\r\n${tus}Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 4\r\n\r\nabcd`,
    `HEAD ${UPLOADS_PATH}/..%2f..%2fetc%2fpasswd HTTP/1.1\r\n${tus}\r\n`,
    `DELETE ${UPLOADS_PATH}/x HTTP/1.1\r\n${tus}\r\n`,
    `OPTIONS ${UPLOADS_PATH} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET ${RECEIPTS_PATH}/${'a'.repeat(64)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n',
  ].map((text) => Buffer.from(text));
  for (let i = 0; i < COUNT; i += 8) {
    await Promise.all(requests.map((one) => send(port, mutated(one, random))));
  }

  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const statuses = new Map<number, number>();
  for (let i = 0; i < COUNT; i += 8) {
    const sent = await Promise.all(
      Array.from({ length: 8 }, () => upload(collector.url, agent, mutated(good, random))),
    );
    for (const status of sent) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  agent.destroy();
  await writeSegment(path(1), rows.slice(40), { recording: boot, segment: 1 });
  assert.equal((await bridge()).rows, 40);
  assert.equal(collector.pid, pid);
  assert.ok(await collector.answers());
  const now = residentMegabytes(pid);
  const { stored, quarantined } = await collector.stop();
  t.diagnostic(
    `${COUNT} requests and ${COUNT} uploads (${[...statuses].join(' ')}): ${stored} stored, ${quarantined} quarantined; resident ${before.toFixed(0)} MB, then ${now.toFixed(0)} MB`,
  );
  const kept = await rowsOf(out);
  const sent = new Map(rows.map((row) => [`arm-1 ${boot} ${row[0]}`, row]));
  for (const key of sent.keys()) assert.ok(kept.rows.has(key));
  for (const [key, row] of kept.rows) assert.deepEqual(row, sent.get(key), key);
  // The same bytes may have come twice.
  const setAside = readdirSync(join(out, 'quarantine')).length / 2;
  assert.ok(Number.isInteger(setAside) && setAside > 0 && setAside <= quarantined);
});

test('mutated MQTT packets and messages: the embedded broker, its robot and the monitor go on', {
  timeout: 60_000 + 10 * COUNT,
}, async (t) => {
  const publisher = spawn(
    process.execPath,
    [fileURLToPath(new URL('./publisherProcess.js', import.meta.url)), 'embedded', 'arm-1', '100'],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  );
  t.after(() => publisher.kill('SIGKILL'));
  const url = String((await once(publisher.stdout, 'data'))[0]).trim();
  const metricsPort = await freePort();
  const monitor = run('monitor', '--mqtt', url, '--metrics', String(metricsPort), '--json');
  const metrics = () =>
    fetch(`http://127.0.0.1:${metricsPort}/metrics`).then(
      (response) => response.text(),
      () => '',
    );
  while (!(await metrics()).includes('farsight_ticks_total{')) await pause(100);

  // A whole conversation of MQTT 3.1.1: connect, subscribe, publish, leave.
  const conversation = Buffer.from(
    `100f00044d5154540402003c0003616263${'8209000100046b2f2f2301'}${'300b00046b2f6c6d7061796c6f'}e000`,
    'hex',
  );
  const random = generator(14);
  const port = Number(new URL(url).port);
  for (let i = 0; i < COUNT; i += 8) {
    await Promise.all(Array.from({ length: 8 }, () => send(port, mutated(conversation, random))));
  }
  for (let i = 0; i < COUNT; i += 8) {
    const get = Buffer.from('GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await Promise.all(Array.from({ length: 8 }, () => send(metricsPort, mutated(get, random))));
  }

  const stranger = await mqtt.connectAsync(url);
  const heard = new Map<string, Buffer>();
  stranger.on('message', (topic, payload) => heard.set(topic, payload));
  await stranger.subscribeAsync('farsight/v1/arm-1/#');
  while (!heard.has(topicOf('arm-1', 'telemetry'))) await pause(50);
  const good = [...heard];
  for (let i = 0; i < COUNT; i++) {
    const [topic, payload] = good[i % good.length];
    // Of a stranger's own robot: what is well formed by chance is not this one's.
    const other = topic.replace('arm-1', 'arm-2');
    await stranger.publishAsync(other, Buffer.from(mutated(payload, random)), { qos: 1 });
  }
  await stranger.endAsync();
  const before = /farsight_ticks_total\{robot="arm-1"\} (\d+)/.exec(await metrics())?.[1];
  await pause(1500);
  const after = /farsight_ticks_total\{robot="arm-1"\} (\d+)/.exec(await metrics())?.[1];
  assert.ok(Number(after) > Number(before), 'telemetry goes on');
  assert.equal(publisher.exitCode, null);
  assert.equal(monitor.child.exitCode, null);
  t.diagnostic(`${COUNT} each; resident ${residentMegabytes(monitor.child.pid!).toFixed(0)} MB the monitor`);
  await monitor.kill();
});
