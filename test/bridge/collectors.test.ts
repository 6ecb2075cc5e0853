// Several collectors of one store: a broker shares the uploads among them, and what one that is killed had begun another
// goes on with; every row is there once.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { describeFile } from '../../bridge/datasetWriter.js';
import { openIncomingBucket } from '../../bridge/incomingBucket.js';
import { answerOffers, CollectorFinder } from '../../bridge/offers.js';
import { listSegments } from '../../bridge/segments.js';
import { datasetName, datasetTaskOf } from '../../contract/dataset.js';
import { freePort } from '../fixtures/freePort.js';
import { CollectorProcess, killAll, pause, rowsOf, run, task, ticks, writeSegment } from './fleet.js';
import { Mosquitto, needsMosquitto } from './mosquitto.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-collectors-'));
after(() => {
  killAll();
  rmSync(folder, { recursive: true, force: true });
});
const boot = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** Recordings of a robot, segment by segment; every second comes again in a file that overlaps. */
async function record(robot: string, n: number, segments: number, length: number, expected: Set<string>) {
  const directory = join(folder, robot);
  mkdirSync(directory);
  for (let segment = 0; segment < segments; segment++) {
    const write = (name: string, from: number, to: number) =>
      writeSegment(join(directory, `${name}.mcap`), ticks(from, to), { robot, recording: boot(n), segment });
    const [from, to] = [segment * length, (segment + 1) * length];
    await write(`${segment}`, from, to);
    if (segment % 2 === 1) await write(`${segment}-again`, from - length / 2, to - length / 2);
  }
  for (let tick = 0; tick < segments * length; tick++) expected.add(`${robot} ${boot(n)} ${tick}`);
  return directory;
}

/** The server of moto, which speaks S3, as a process of its own; nothing where it is not installed. */
function startStore(port: number): ChildProcess | undefined {
  if (spawnSync('moto_server', ['--help'], { stdio: 'ignore' }).status !== 0) return undefined;
  return spawn('moto_server', ['-H', '127.0.0.1', '-p', `${port}`], { stdio: 'ignore' });
}

test('collectors share the uploads at a broker, and go on with those of one that is killed', {
  timeout: 300_000,
  ...needsMosquitto,
}, async () => {
  const broker = new Mosquitto(await freePort());
  await broker.start();
  const out = join(folder, 'fleet');
  const incoming = join(out, 'incoming');
  const mqtt = ['--mqtt', broker.url];
  const bridge = (robot: string, ...flags: string[]) =>
    run(
      ...['bridge', '--recordings', join(folder, robot), '--collect', 'broker', '--name', robot, ...mqtt],
      ...['--reserve', '1', '--once', '--json', ...flags],
    );
  const expected = new Set<string>();
  try {
    // Killed while a file comes in: the next one has the rest sent, and no byte twice.
    const large = await record('arm-1', 1, 1, 30_000, expected);
    const first = await CollectorProcess.start(out, ...mqtt);
    const sending = bridge('arm-1', '--bandwidth', '1500');
    const come = () =>
      Math.max(0, ...readdirSync(incoming).map((name) => (name.endsWith('.json') ? 0 : sizeOf(name))));
    const sizeOf = (name: string) => statSync(join(incoming, name)).size;
    while (come() < 300_000) await pause(20);
    await first.kill();
    const before = come();
    const [second, third] = await Promise.all([1, 2].map(() => CollectorProcess.start(out, ...mqtt)));
    const sent = await sending.result();
    const size = listSegments(large)[0].bytes;
    assert.ok(before < size, 'killed on the way');
    assert.deepEqual([sent.code, sent.stored, sent.rows], [0, 1, 30_000]);
    assert.ok(sent.sent <= size, `${sent.sent} bytes of ${size}, of which ${before} had come`);

    // Whole, and its rows written but not listed, when its collector was killed.
    const [left] = listSegments(await record('arm-2', 2, 1, 500, expected));
    const upload = describeFile(left.path);
    const dataset = join(out, datasetName(datasetTaskOf(task)));
    const torn = `${boot(2).slice(0, 8)}-000000000007-${upload.sha256.slice(0, 8)}.parquet`;
    writeFileSync(join(dataset, 'rows', torn), 'PAR1');
    const id = `${upload.sha256}-00000000`;
    writeFileSync(
      join(incoming, `${id}.json`),
      JSON.stringify({ id, size: left.bytes, metadata: { ...upload, filename: basename(left.path) } }),
    );
    copyFileSync(left.path, join(incoming, id));
    while (readdirSync(incoming).length > 0) await pause(50);
    assert.ok(!readdirSync(join(dataset, 'rows')).includes(torn));

    // Many at once: both have a part of them.
    const robots = ['arm-3', 'arm-4'];
    for (const [i, robot] of robots.entries()) await record(robot, 3 + i, 6, 400, expected);
    const results = await Promise.all(robots.map((robot) => bridge(robot).result()));
    for (const { code, stored, rows } of results) assert.deepEqual([code, stored, rows], [0, 9, 2400]);
    const ended = await Promise.all([second.stop(), third.stop()]);
    assert.equal(ended[0].rows + ended[1].rows, expected.size);
    for (const { stored } of ended) assert.ok(stored >= 5, `${ended.map((one) => one.stored)} files`);

    const { rows, sources } = await rowsOf(out);
    assert.deepEqual(new Set(rows.keys()), expected);
    assert.equal(new Set(sources.map(({ source }) => source)).size, sources.length);
  } finally {
    await broker.dispose();
  }
});

test('what one collector was sent of a file is in a bucket, and another goes on with it', {
  timeout: 300_000,
  ...needsMosquitto,
}, async (t) => {
  const port = await freePort();
  const store = startStore(port);
  if (!store) return t.skip("no server that speaks S3 (Python: pip install 'moto[server]')");
  const broker = new Mosquitto(await freePort());
  await broker.start();
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    while (!(await fetch(endpoint).catch(() => undefined))) await pause(100);
    const bucket = (path: string, init = {}) => fetch(`${endpoint}/recordings${path}`, init);
    await bucket('', { method: 'PUT' });
    await bucket('/notes.txt', { method: 'PUT', body: 'of somebody else' });
    const environment = { AWS_ACCESS_KEY_ID: 'collector', AWS_SECRET_ACCESS_KEY: 'unseen-secret' };
    Object.assign(process.env, environment);
    const expected = new Set<string>();
    const recordings = await record('leg-1', 9, 1, 60_000, expected);
    const [{ bytes }] = listSegments(recordings);
    const out = join(folder, 'with-bucket');
    const incoming = ['--incoming', `s3://recordings?endpoint=${endpoint}`];
    const mqtt = ['--mqtt', broker.url];
    const first = await CollectorProcess.start(out, ...incoming, ...mqtt);
    const bridge = (...flags: string[]) =>
      run(
        ...['bridge', '--recordings', recordings, '--collect', 'broker', ...mqtt, '--reserve', '1'],
        ...['--once', '--json', ...flags],
      );
    const sending = bridge('--bandwidth', '6000');
    const keys = async () =>
      [...(await (await bucket('')).text()).matchAll(/<Key>([^<]*)/g)].map(([, key]) => key);
    while (!(await keys()).some((key) => key.endsWith('.part'))) await pause(50);
    await first.kill();
    const second = await CollectorProcess.start(out, ...incoming, ...mqtt);
    const sent = await sending.result();
    assert.deepEqual([sent.code, sent.stored, sent.rows], [0, 1, 60_000]);
    assert.ok(bytes > 8 * 2 ** 20, 'more than one part');
    assert.ok(sent.sent <= bytes, `${sent.sent} bytes of ${bytes}`);
    await second.stop();
    assert.deepEqual(new Set((await rowsOf(out)).rows.keys()), expected);
    assert.deepEqual(await keys(), ['notes.txt']);
    // Two may have one file to take in: who comes second finds it gone, and goes on.
    const shared = await openIncomingBucket(incoming[1], out);
    assert.equal(existsSync(await shared.bring(`${'a'.repeat(64)}-00000000`)), false);
    assert.deepEqual(
      readdirSync(out).filter((name) => name.startsWith('import-')),
      [],
    );
  } finally {
    store.kill('SIGKILL');
    await broker.dispose();
  }
});

test('a token goes to no collector without TLS, whoever answers', needsMosquitto, async () => {
  const broker = new Mosquitto(await freePort());
  await broker.start();
  const found = async (url: string, token: boolean) => {
    const answering = answerOffers({ url: broker.url }, url, () => true);
    const finder = new CollectorFinder({ url: broker.url }, 'arm-1', token);
    try {
      return await finder.find({ sha256: 'a'.repeat(64), bytes: 1 }, new AbortController().signal);
    } finally {
      await Promise.all([finder.stop(), answering.stop()]);
    }
  };
  try {
    await assert.rejects(
      found('http://127.example.org:7447', true),
      /has no TLS: the token does not go there/,
    );
    for (const url of ['https://127.example.org:7447', 'http://127.0.0.1:7447'])
      assert.equal(await found(url, true), url);
    assert.equal(await found('http://fleet.example.org:7447', false), 'http://fleet.example.org:7447');
  } finally {
    await broker.dispose();
  }
});
