// The uploader against collectors that refuse, and against a quota that deletes what is on its way.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { listSegments } from '../../bridge/segments.js';
import { Uploader } from '../../bridge/uploader.js';
import { UploadLedger } from '../../bridge/uploadLedger.js';
import { ticks, writeSegment } from './fleet.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-uploader-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** An uploader of one file to a collector that answers so. */
async function uploaderTo(answer: RequestListener) {
  const directory = mkdtempSync(join(folder, 'recordings-'));
  const recording = '00000000-0000-4000-8000-000000000001';
  await writeSegment(join(directory, '0.mcap'), ticks(0, 500), { recording, segment: 0 });
  const server = createServer(answer);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const collector = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = { collector, signal: new AbortController().signal };
  const uploader = new Uploader(options, new UploadLedger(directory, collector));
  const [segment] = listSegments(directory);
  return { uploader, segment, server };
}

test('a collector that refuses for hours leaves no file open', async () => {
  const { uploader, segment, server } = await uploaderTo((request, response) => {
    if (request.method === 'GET') response.end('{"state":"unknown"}');
    else response.writeHead(507).end('no room');
  });
  for (let i = 0; i < 5; i++) await assert.rejects(uploader.upload(segment), /507: no room/);
  const open = readdirSync('/proc/self/fd').map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      return '';
    }
  });
  assert.equal(open.filter((path) => path === segment.path).length, 0);
  server.close();
});

test('a file that is deleted while the collector is asked for it is no trouble', async () => {
  const { uploader, segment, server } = await uploaderTo((_, response) => {
    rmSync(segment.path, { force: true });
    response.end('{"state":"unknown"}');
  });
  assert.equal(await uploader.upload(segment), undefined);
  server.close();
});
