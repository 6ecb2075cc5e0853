// The queue of a collector's files: what one of them does is not the others' trouble.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DatasetThread } from '../../bridge/datasetThread.js';
import { describeFile } from '../../bridge/datasetWriter.js';
import { logger } from '../../bridge/log.js';
import { ticks, writeSegment } from './fleet.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-queue-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a file that cannot be had from its store keeps no other out of the dataset', async () => {
  process.env.FARSIGHT_LOG = 'silent';
  const thread = await DatasetThread.start({ directory: folder }, logger('collect'));
  const path = join(folder, '0.mcap');
  const recording = '00000000-0000-4000-8000-000000000001';
  await writeSegment(path, ticks(0, 500), { recording, segment: 0 });
  const upload = describeFile(path);
  void thread.take({ ...upload, sha256: 'b'.repeat(64), robot: 'arm-2' }, () =>
    Promise.reject(new Error('the store is away')),
  );
  const { receipt } = await thread.take(upload, async () => path);
  assert.equal(receipt?.state, 'stored');
  await thread.stop();
});
