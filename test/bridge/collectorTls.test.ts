// The collector for others: TLS, certificates, a token, and uploads that go on where they broke off.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { freePort } from '../fixtures/freePort.js';
import { makeCertificates, needsOpenssl } from './certificates.js';
import { killAll, pause, rowsOf, run, ticks, writeSegment } from './fleet.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-tls-'));
after(() => {
  killAll();
  rmSync(folder, { recursive: true, force: true });
});
const file = (name: string) => join(folder, name);

test('only who has certificate and token may upload; a killed upload goes on where it broke off', {
  timeout: 90_000,
  ...needsOpenssl,
}, async () => {
  makeCertificates(folder, ['arm-1']);
  const token = 'a-word-that-nobody-knows';
  writeFileSync(file('token'), `${token}\n`);
  const port = await freePort();
  const collector = run(
    ...['collect', '--out', file('fleet'), '--listen', String(port), '--token-file', file('token')],
    ...['--tls-cert', file('broker.crt'), '--tls-key', file('broker.key'), '--client-ca', file('ca.crt')],
    ...['--reserve', '1', '--json'],
  );
  const ask = (path: string, headers: Record<string, string>, certificate = true) =>
    new Promise<number>((resolve) => {
      const made = request(`https://127.0.0.1:${port}${path}`, {
        ca: readFileSync(file('ca.crt')),
        ...(certificate && { cert: readFileSync(file('arm-1.crt')), key: readFileSync(file('arm-1.key')) }),
        headers,
      });
      made.on('response', (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      made.on('error', () => resolve(0));
      made.end();
    });
  while ((await ask('/healthz', {})) !== 200) await pause(50);
  assert.equal(await ask('/metrics', {}), 401);
  assert.equal(await ask('/metrics', { Authorization: `Bearer ${token}x` }), 401);
  assert.equal(await ask('/metrics', { Authorization: `Bearer ${token}` }), 200);
  assert.equal(await ask('/healthz', { Authorization: `Bearer ${token}` }, false), 0);

  const recordings = file('recordings');
  mkdirSync(recordings);
  const path = join(recordings, 'a.mcap');
  const boot = '00000000-0000-4000-8000-000000000001';
  await writeSegment(path, ticks(0, 8000), { recording: boot, segment: 0 });
  const bytes = statSync(path).size;
  const bridge = (...more: string[]) =>
    run(
      ...['bridge', '--recordings', recordings, '--collect', `https://127.0.0.1:${port}`, '--reserve', '1'],
      ...[
        '--ca',
        file('ca.crt'),
        '--cert',
        file('arm-1.crt'),
        '--key',
        file('arm-1.key'),
        '--once',
        '--json',
      ],
      ...more,
    );
  const first = bridge('--token-file', file('token'), '--bandwidth', '200');
  const begun = () => {
    try {
      return readFileSync(join(recordings, '.bridge', 'a.mcap.json'), 'utf8').includes('"url"');
    } catch {
      return false;
    }
  };
  while (!begun()) await pause(20);
  await pause(1500);
  assert.ok(!readFileSync(`/proc/${first.child.pid}/cmdline`, 'utf8').includes(token));
  await first.kill();
  const second = await bridge('--token-file', file('token')).result();
  assert.equal(second.rows, 8000);
  assert.ok(second.sent > 0 && second.sent < bytes, `${second.sent} of ${bytes} bytes were sent again`);

  // Without the token nothing is taken, and nothing is lost.
  copyFileSync(path, join(recordings, 'b.mcap'));
  const refused = bridge();
  await pause(2500);
  assert.equal(refused.child.exitCode, null);
  await refused.kill();
  collector.child.kill('SIGTERM');
  assert.equal((await collector.result()).stored, 1);
  assert.equal((await rowsOf(file('fleet'))).rows.size, 8000);
});
