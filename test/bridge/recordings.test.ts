// Recordings on their way to a dataset, over real processes: what arrives, once, whatever is killed, cut or full.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { FAULTS, ROW } from '../../contract/loop.js';
import { readTransitions } from '../../contract/recordedRows.js';
import { UPLOADS_PATH } from '../../contract/transfer.js';
import { startRecorder } from '../../controller/recorder.js';
import { policy, RATE, task as recordedTask, tickSource } from '../controller/recordedTicks.js';
import {
  CollectorProcess,
  datasetIn,
  killAll,
  metadataOf,
  pause,
  rowsOf,
  run,
  task,
  ticks,
  writeSegment,
} from './fleet.js';

const folder = mkdtempSync(join(tmpdir(), 'farsight-fleet-'));
after(() => {
  killAll();
  rmSync(folder, { recursive: true, force: true });
});
const place = (name: string) => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
};
const bridgeOnce = (recordings: string, url: string, ...flags: string[]) =>
  run('bridge', '--recordings', recordings, '--collect', url, '--reserve', '1', '--once', '--json', ...flags);
const boot = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

describe('recordings arrive', { concurrency: 2, timeout: 90_000 }, () => {
  it('what a dataset gives to learn from is what the recordings give, black box and all', async () => {
    const recordings = join(folder, 'whole');
    const { trace, push, fault } = tickSource(4096);
    const recorder = await startRecorder({
      ...{ directory: recordings, policy, rateHz: RATE, trace, robot: 'leg-1', boot: boot(1) },
      segment: { bytes: 20_000, seconds: 600 },
    });
    for (let i = 0; i < 6; i++) {
      push(400);
      await pause(200);
    }
    fault('sensor stale');
    push(RATE);
    fault('none');
    push(2 * RATE);
    const { rows, blackBoxes, files } = await recorder.stop();
    assert.ok(files.length > 1);
    assert.equal(blackBoxes.length, 1);

    const out = place('whole-fleet');
    const collector = await CollectorProcess.start(out);
    const sent = await bridgeOnce(recordings, collector.url).result();
    assert.equal(sent.code, 0);
    assert.equal(sent.quarantined, 0);
    const { stored, duplicates } = await collector.stop();
    assert.equal(stored, files.length + 1);
    assert.ok(duplicates > 0, 'the black box holds rows of the segments');

    const dataset = datasetIn(out);
    const here = await readTransitions(recordings, recordedTask);
    const there = await readTransitions(dataset, recordedTask);
    assert.deepEqual(there.transitions, here.transitions);
    assert.deepEqual((await readTransitions(out, recordedTask)).transitions, here.transitions);
    assert.deepEqual(there.skipped, here.skipped);
    assert.equal(there.files[0].policy, policy.sha256);
    const { rows: kept, sources } = await rowsOf(out);
    assert.ok(kept.size > rows, 'the black box holds every tick');
    assert.deepEqual(
      sources.filter((source) => source.fault).map((source) => source.fault),
      ['sensor stale'],
    );
    assert.equal(readdirSync(join(dataset, 'faults')).length, 1);
  });

  it('collector and bridge killed -9 on the way, files twice: every row is there once', async () => {
    const recordings = place('killed');
    const expected = new Map<string, Float64Array>();
    for (let b = 0; b < 2; b++) {
      for (let segment = 0; segment < 4; segment++) {
        const rows = ticks(segment * 1500, (segment + 1) * 1500);
        const name = `2026010${b + 1}T000000.000Z-${segment}.mcap`;
        await writeSegment(join(recordings, name), rows, { recording: boot(b), segment });
        for (const row of rows) expected.set(`arm-1 ${boot(b)} ${row[ROW.tick]}`, row);
      }
    }
    // The same bytes by another name, and the same rows in another file.
    copyFileSync(
      join(recordings, '20260101T000000.000Z-0.mcap'),
      join(recordings, '20260103T000000.000Z-0.mcap'),
    );
    await writeSegment(join(recordings, '20260104T000000.000Z-0.mcap'), ticks(700, 2400), {
      recording: boot(1),
      segment: 9,
    });

    const out = place('killed-fleet');
    const collector = await CollectorProcess.start(out);
    for (let i = 0; i < 3; i++) {
      const bridge = bridgeOnce(recordings, collector.url, '--bandwidth', '400');
      await pause(900 + 150 * i);
      if (i < 2) await collector.kill();
      await pause(150);
      await bridge.kill();
      if (i < 2) await collector.start();
    }
    const sent = await bridgeOnce(recordings, collector.url).result();
    assert.equal(sent.code, 0);
    await collector.stop();
    const { rows, sources } = await rowsOf(out);
    assert.deepEqual(new Set(rows.keys()), new Set(expected.keys()));
    for (const [key, row] of expected) assert.deepEqual(rows.get(key), row);
    assert.equal(new Set(sources.map(({ source }) => source)).size, sources.length);
    assert.deepEqual(readdirSync(join(out, 'incoming')), []);
  });

  it('what a killed recorder left is taken, and the rows that come to it later too', async () => {
    const recordings = place('open');
    const path = join(recordings, '20260101T000000.000Z-0.mcap');
    await writeSegment(path, ticks(0, 500), { recording: boot(3), segment: 0 }, true);
    const out = place('open-fleet');
    const collector = await CollectorProcess.start(out);
    // A bridge that was killed before it knew where it had begun to send the file.
    const bytes = readFileSync(path);
    const about = {
      filename: basename(path),
      sha256: createHash('sha256').update(bytes).digest('hex'),
      robot: 'arm-1',
      boot: boot(3),
    };
    const begun = await fetch(new URL(UPLOADS_PATH, collector.url), {
      method: 'POST',
      headers: {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': String(bytes.length),
        'Upload-Metadata': metadataOf(about),
      },
    });
    assert.equal(begun.status, 201);
    assert.equal((await bridgeOnce(recordings, collector.url).result()).stored, 0);
    assert.equal((await bridgeOnce(recordings, collector.url, '--settle', '0.01').result()).rows, 500);
    assert.deepEqual(readdirSync(join(out, 'incoming')), [], 'what nobody goes on with is gone');
    rmSync(path);
    await writeSegment(path, ticks(0, 900), { recording: boot(3), segment: 0 });
    assert.equal((await bridgeOnce(recordings, collector.url).result()).rows, 400);
    assert.deepEqual(await collector.stop(), {
      code: 0,
      stored: 2,
      quarantined: 0,
      rows: 900,
      duplicates: 500,
    });
  });

  it('what does not fit is set aside whole, with the reason', async () => {
    const recordings = place('wrong');
    const wrong: [string, (row: Float64Array) => void, RegExp][] = [
      ['command', (row) => (row[row.length - 1] = 3.1), /tick 7: command 3\.1 of 'hinge' is outside -3 to 3/],
      ['mode', (row) => (row[ROW.mode] = 99), /tick 7: mode 99 is unknown/],
      ['time', (row) => (row[ROW.wake] = Number.NaN), /tick 7: wake is NaN ns/],
      ['order', (row) => (row[ROW.tick] = 3), /tick 3 comes after tick 6/],
    ];
    for (const [i, [name, change]] of wrong.entries()) {
      const rows = ticks(0, 20, (row) => row[ROW.tick] === 7 && change(row));
      await writeSegment(join(recordings, `${name}.mcap`), rows, { recording: boot(10 + i), segment: 0 });
    }
    await writeSegment(join(recordings, 'first.mcap'), ticks(0, 20), { recording: boot(20), segment: 0 });
    const other = ticks(10, 30, (row) => (row[row.length - 1] = 1));
    await writeSegment(join(recordings, 'same-name.mcap'), other, { recording: boot(20), segment: 1 });
    await writeSegment(join(recordings, 'zz.mcap'), ticks(30, 50), {
      ...{ recording: boot(20), segment: 2, interface: { ...task, task: 'hopper' } },
    });
    const out = place('wrong-fleet');
    const collector = await CollectorProcess.start(out);
    const sent = await bridgeOnce(recordings, collector.url).result();
    assert.equal(sent.quarantined, wrong.length + 2);
    assert.equal(sent.stored, 1);
    await collector.kill();
    const reasons = new Map(
      readdirSync(join(out, 'quarantine'))
        .filter((name) => name.endsWith('.json'))
        .map((name) => JSON.parse(readFileSync(join(out, 'quarantine', name), 'utf8')))
        .map(({ filename, reason }) => [filename, reason]),
    );
    for (const [name, , pattern] of wrong) assert.match(reasons.get(`${name}.mcap`), pattern);
    assert.match(reasons.get('same-name.mcap'), /tick 10 is in the dataset with other values/);
    assert.match(reasons.get('zz.mcap'), /other files of its boot are of dataset 'pendulum-/);

    // A robot whose policy nobody knows; brought again by hand, once it may.
    const policies = place('policies');
    const strict = await CollectorProcess.start(place('strict'), '--policies', policies);
    const moved = await bridgeOnce(recordings, strict.url).result();
    assert.equal(moved.quarantined, wrong.length + 3, 'another collector is told everything');
    await strict.stop();
    const taken = await run(
      ...['collect', '--out', join(folder, 'strict'), '--json'],
      ...['--import', join(folder, 'strict', 'quarantine')],
    ).result();
    // The three of one boot contradict each other, whichever comes first.
    assert.deepEqual([taken.code, taken.stored, taken.rows], [0, 1, 20]);
    assert.equal(taken.quarantined, wrong.length + 2);
  });

  it('policies may change within a boot, and no tick is of two of them', async () => {
    const recordings = place('policies-changed');
    const write = (name: string, from: number, to: number, policy: string, segment: number) =>
      writeSegment(join(recordings, `${name}.mcap`), ticks(from, to), {
        ...{ recording: boot(25), segment, policy: policy.repeat(64) },
      });
    await write('0', 0, 20, 'a', 0);
    await write('1', 20, 40, 'b', 1);
    await write('2', 40, 60, 'a', 2);
    await write('3-box', 10, 20, 'a', 0);
    await write('4-contradiction', 39, 50, 'a', 9);
    const out = place('policies-changed-fleet');
    const collected = await run('collect', '--out', out, '--json', '--import', recordings).result();
    assert.deepEqual([collected.stored, collected.rows, collected.quarantined], [4, 60, 1]);
    const [about] = readdirSync(join(out, 'quarantine')).filter((name) => name.endsWith('.json'));
    const { filename, reason } = JSON.parse(readFileSync(join(out, 'quarantine', about), 'utf8'));
    assert.equal(filename, '4-contradiction.mcap');
    assert.equal(reason, 'tick 39 is in the dataset as of policy bbbbbbbbbbbb, not aaaaaaaaaaaa');
    // What each step did is known, whoever made the next one.
    const { transitions, files } = await readTransitions(datasetIn(out), task);
    assert.equal(transitions.count, 59);
    assert.equal(files.map(({ policy }) => policy[0]).join(''), 'aba');
  });

  it('a file of zeros, as a power cut leaves one, keeps no other from the collector', async () => {
    const recordings = place('zeros');
    writeFileSync(join(recordings, '0.mcap'), Buffer.alloc(4096));
    utimesSync(join(recordings, '0.mcap'), 1, 1);
    for (const n of [1, 2])
      await writeSegment(join(recordings, `${n}.mcap`), ticks(n * 500, n * 500 + 500), {
        recording: boot(50),
        segment: n,
      });
    const out = place('zeros-fleet');
    const collector = await CollectorProcess.start(out);
    const bridge = run('bridge', '--recordings', recordings, '--collect', collector.url, '--json');
    while ((await rowsOf(out)).rows.size < 1000) await pause(100);
    await bridge.kill();
    await collector.kill();
  });

  it('a quota drops what the collector has first, black boxes last, and counts what it never got', async () => {
    const recordings = place('quota');
    mkdirSync(join(recordings, 'faults'));
    const segment = (n: number) => join(recordings, `2026010${n}T000000.000Z.mcap`);
    for (let n = 1; n <= 4; n++)
      await writeSegment(segment(n), ticks(n * 1000, n * 1000 + 1000), { recording: boot(30), segment: n });
    const box = join(recordings, 'faults', '20260100T000000.000Z.mcap');
    await writeSegment(box, ticks(0, 1000), { recording: boot(30), segment: 0, fault: FAULTS[3] });
    const size = readFileSync(segment(1)).length;
    const out = place('quota-fleet');
    const collector = await CollectorProcess.start(out);
    for (let n = 1; n <= 3; n++) rmSync(segment(n));
    await bridgeOnce(recordings, collector.url).result();
    await collector.kill();
    for (let n = 1; n <= 3; n++)
      await writeSegment(segment(n), ticks(n * 1000, n * 1000 + 1000), { recording: boot(30), segment: n });
    const unsent = join(recordings, 'faults', '20260109T000000.000Z.mcap');
    await writeSegment(unsent, ticks(9000, 10000), { recording: boot(30), segment: 0, fault: FAULTS[3] });

    // Room for one and a half: the stored segment and black box go, then two of the three that nobody has.
    const bridge = run('bridge', '--recordings', recordings, '--quota', String((2.5 * size) / 1e6), '--json');
    while (existsSync(segment(2))) await pause(50);
    await pause(200);
    bridge.child.kill('SIGTERM');
    const { dropped } = await bridge.result();
    assert.deepEqual([existsSync(segment(3)), existsSync(segment(4)), existsSync(box)], [true, false, false]);
    assert.ok(existsSync(unsent));
    assert.deepEqual([dropped.files, dropped.rows], [2, 2000]);
    // What is counted stays counted.
    await collector.start();
    const last = await bridgeOnce(recordings, collector.url).result();
    assert.equal(last.dropped.rows, 2000);
    await collector.kill();
    assert.equal((await rowsOf(out)).rows.size, 4000);
  });

  it('a full disk of the collector: uploads wait, and every row arrives once there is room', async (t) => {
    const disk = place('small-disk');
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      t.skip('mounting a small disk needs root');
      return;
    }
    try {
      const recordings = place('to-small-disk');
      for (let n = 0; n < 3; n++)
        await writeSegment(join(recordings, `${n}.mcap`), ticks(n * 2000, n * 2000 + 2000), {
          recording: boot(40),
          segment: n,
        });
      execFileSync('dd', ['if=/dev/zero', `of=${join(disk, 'ballast')}`, 'bs=1024', 'count=1800'], {
        stdio: 'ignore',
      });
      const collector = await CollectorProcess.start(disk, '--reserve', '0');
      const bridge = bridgeOnce(recordings, collector.url);
      await pause(2000);
      assert.equal(bridge.child.exitCode, null);
      rmSync(join(disk, 'ballast'));
      assert.equal((await bridge.result()).rows, 6000);
      await collector.kill();
      assert.equal((await rowsOf(disk)).rows.size, 6000);
    } finally {
      await pause(100);
      execFileSync('umount', ['-l', disk]);
    }
  });
});
