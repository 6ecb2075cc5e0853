// What a collector has given its receipt for lasts through a power cut: bytes and names are on the disk by then.
import assert from 'node:assert/strict';
import fs, { mkdtempSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, mock, test } from 'node:test';
import { DatasetWriter, describeFile } from '../../bridge/datasetWriter.js';
import { datasetName, datasetTaskOf } from '../../contract/dataset.js';
import { FAULTS } from '../../contract/loop.js';
import { task, ticks, writeSegment } from './fleet.js';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'farsight-power-')));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a stored black box and a quarantined file are on the disk before their receipts', async () => {
  const box = join(folder, 'box.mcap');
  const recording = '00000000-0000-4000-8000-000000000001';
  await writeSegment(box, ticks(0, 500), { recording, segment: 0, fault: FAULTS[3] });
  const stored = describeFile(box);
  const strange = join(folder, 'strange.mcap');
  await writeSegment(strange, ticks(0, 10), { recording, segment: 1, robot: 'arm-2' });
  const quarantined = { ...describeFile(strange), robot: 'arm-3' };
  const out = join(folder, 'fleet');
  fs.mkdirSync(out);
  const writer = new DatasetWriter({ directory: out });

  const synced = new Set<string>();
  const sync = fs.fsyncSync;
  mock.method(fs, 'fsyncSync', (file: number) => {
    synced.add(readlinkSync(`/proc/self/fd/${file}`));
    sync(file);
  });
  syncBuiltinESMExports();
  await writer.take(box, stored);
  await writer.take(strange, quarantined);
  mock.restoreAll();
  syncBuiltinESMExports();
  writer.close();

  const dataset = join(out, datasetName(datasetTaskOf(task)));
  for (const path of [box, strange, out, dataset, join(out, 'quarantine')])
    assert.ok(synced.has(path), `${path} was not synced`);
});
