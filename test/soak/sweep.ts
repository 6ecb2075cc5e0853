// A sweep over three workers, two of which are killed -9, with Redis killed and started again; beside the same sweep by one
// worker that is left alone. Run by hand: node build/test/soak/sweep.js [runs] [steps]
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCommand } from '../fixtures/command.js';
import { filesOf } from '../run/runFiles.js';
import { RedisServer } from '../sweep/redis.js';
import { endsSeen, runsDone, type StartedWorker, startWorker, writeSweep } from '../sweep/sweeps.js';

const [runsText = '24', stepsText = '3000'] = process.argv.slice(2);
const SETTINGS = 4;
const RUNS = Number(runsText);
const LEASE = 5;
/** A worker that was killed has another in its place after that. */
const REPLACED_MS = 2000;
const REDIS_AWAY_MS = 3000;

const folder = mkdtempSync(join(tmpdir(), 'farsight-soak-'));
const file = writeSweep(join(folder, 'tiny.yaml'), SETTINGS, RUNS / SETTINGS, Number(stepsText));

async function sweepWith(
  workers: number,
  name: string,
  disturb?: (start: () => StartedWorker, started: StartedWorker[], redis: RedisServer) => Promise<void>,
) {
  const out = join(folder, name);
  const redis = await RedisServer.start();
  try {
    const start = () => startWorker(redis.url, LEASE, '--threads', '1');
    const started = Array.from({ length: workers }, start);
    while (!started.every(({ said }) => said().includes('side by side'))) await sleep(50);
    const began = performance.now();
    const sweep = startCommand(['sweep', file, '--queue', redis.url, '--out', out, '--json']);
    await disturb?.(start, started, redis);
    const { code, stderr } = await sweep.ended;
    const seconds = (performance.now() - began) / 1000;
    for (const { child } of started) child.kill('SIGINT');
    await Promise.all(started.map(({ ended }) => ended));
    assert.equal(code, 0, stderr);
    const ends = await endsSeen(redis.url);
    return { out, seconds, ends };
  } finally {
    await redis.dispose();
  }
}

const say = (text: string) => console.log(`${new Date().toISOString().slice(11, 19)}  ${text}`);
try {
  say(`${RUNS} runs, one worker`);
  const one = await sweepWith(1, 'one');
  say(`done in ${one.seconds.toFixed(0)} s; the same by three workers`);
  const three = await sweepWith(3, 'three', async (start, started, redis) => {
    const out = join(folder, 'three');
    const until = async (results: number) => {
      while (runsDone(out).length < results) await sleep(50);
    };
    const killed = async (i: number) => {
      started[i].child.kill('SIGKILL');
      say(`worker ${i + 1} killed -9 at ${runsDone(out).length} results`);
      await sleep(REPLACED_MS);
      started.push(start());
    };
    await until(RUNS / 6);
    await killed(0);
    await until(RUNS / 3);
    await redis.kill();
    say(`Redis killed -9 at ${runsDone(out).length} results`);
    await sleep(REDIS_AWAY_MS);
    await redis.start();
    say('Redis is back');
    await until((2 * RUNS) / 3);
    await killed(1);
  });
  const done = runsDone(three.out);
  say(`done in ${three.seconds.toFixed(0)} s: ${done.length} results`);
  assert.equal(new Set(done).size, RUNS);
  assert.deepEqual(done, runsDone(one.out));
  for (const { ends } of [one, three]) assert.deepEqual(ends, done);
  console.log('every run ended exactly once');
  let parts = 0;
  for (const name of done) {
    assert.deepEqual(filesOf(join(three.out, name)), filesOf(join(one.out, name)), name);
    const sessions = readdirSync(join(three.out, name)).filter((file) => file.startsWith('events.'));
    parts += sessions.length - 1;
  }
  console.log(`every run ended as the undisturbed one, to the last bit; gone on with ${parts} times`);
  console.log(`wall clock: one worker ${one.seconds.toFixed(0)} s, three ${three.seconds.toFixed(0)} s`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
