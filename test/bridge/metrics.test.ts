// What Prometheus finds: robots as the monitor heard them, the collector's own figures, and all that the dashboard asks for.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PHASES } from '../../contract/loop.js';
import { freePort } from '../fixtures/freePort.js';
import { CollectorProcess, killAll, pause, run, ticks, writeSegment } from './fleet.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-metrics-'));
const children: { kill(signal: 'SIGKILL'): boolean }[] = [];
after(() => {
  killAll();
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** The text format of Prometheus, version 0.0.4. */
function samplesOf(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name, labels, value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? assert.fail(line);
      const pairs = [...(labels ?? '').matchAll(/([a-z]+)="([^"]*)"/g)].map(([, key, text]) => [key, text]);
      return { name, labels: Object.fromEntries(pairs), value: Number(value.replace('+Inf', 'Infinity')) };
    });
}

test('every robot, with whole histograms, and every name that the dashboard asks for', {
  timeout: 60_000,
}, async () => {
  const publisher = spawn(
    process.execPath,
    [fileURLToPath(new URL('./publisherProcess.js', import.meta.url)), 'embedded', 'arm-1', '100'],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  );
  children.push(publisher);
  const [url] = await once(publisher.stdout, 'data');
  const mqtt = ['--mqtt', String(url).trim()];
  const port = await freePort();
  const monitor = run('monitor', ...mqtt, '--metrics', String(port), '--json');
  const recordings = join(folder, 'recordings');
  const collector = await CollectorProcess.start(join(folder, 'fleet'));
  mkdirSync(recordings);
  const boot = '00000000-0000-4000-8000-000000000001';
  await writeSegment(join(recordings, 'a.mcap'), ticks(0, 100), { recording: boot, segment: 0 });
  const bridge = run(
    ...['bridge', '--recordings', recordings, '--collect', collector.url, '--name', 'arm-1', ...mqtt],
  );
  let text = '';
  while (!/robot_online.*1\n/.test(text) || !/uploaded_bytes_total\{.*\} [1-9]/.test(text)) {
    await pause(100);
    text = await fetch(`http://127.0.0.1:${port}/metrics`).then(
      (response) => response.text(),
      () => '',
    );
  }
  const samples = samplesOf(text);
  const ofCollector = samplesOf(await (await fetch(`${collector.url}/metrics`)).text());
  assert.equal((await fetch(`http://127.0.0.1:${port}/else`)).status, 404);
  await bridge.kill();
  await monitor.kill();
  await collector.kill();

  const value = (name: string) => samples.find((sample) => sample.name === name)!.value;
  for (const phase of PHASES) {
    const own = (name: string) =>
      samples.filter(
        ({ name: other, labels }) => other === `farsight_phase_seconds_${name}` && labels.phase === phase,
      );
    const buckets = own('bucket');
    const counts = buckets.map((bucket) => bucket.value);
    assert.deepEqual(
      counts,
      [...counts].sort((a, b) => a - b),
    );
    assert.equal(buckets.at(-1)!.labels.le, '+Inf');
    assert.equal(counts.at(-1), value('farsight_ticks_total'));
    assert.equal(own('count')[0].value, counts.at(-1));
    // All between 20 µs and 120 µs: an edge of ours is at most √2 of the next.
    const within = buckets.filter(({ value }) => value > 0 && value < counts.at(-1)!);
    assert.ok(within.every(({ labels }) => Number(labels.le) > 2e-5 && Number(labels.le) < 1.2e-4));
    const mean = own('sum')[0].value / counts.at(-1)!;
    assert.ok(mean > 2e-5 && mean < 1.21e-4);
  }
  assert.deepEqual(
    samples.filter(({ name, value }) => name === 'farsight_mode' && value === 1).map(({ labels }) => labels),
    [{ robot: 'arm-1', mode: 'policy' }],
  );

  const known = new Set([...samples, ...ofCollector].map(({ name }) => name));
  const comments = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const dashboard = readFileSync('launch/grafana/farsight.json', 'utf8');
  const asked = new Set(dashboard.match(/farsight_[a-z_]+/g));
  assert.ok(asked.size > 15);
  // What this machine does not tell, such as a temperature, has its name and no value.
  for (const name of asked) assert.ok(known.has(name) || comments.has(name), name);
});
