// TensorBoard's event file, decoded by hand: whole records, the numbers of metrics.jsonl, each step once after a kill.
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type MetricsLine, readMetrics } from '../../trainer/report/metrics.js';
import { crc32c, tensorBoardWriter } from '../../trainer/report/tensorBoard.js';
import { resumeRun, startRun } from '../../trainer/run/train.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';
import { sampleLines } from './sampleRun.js';

const directory = temporaryDirectory();
const path = (name: string) => join(directory, name);
const engine = () => new CompiledEngine({ threads: 1, device: 'cpu' });

/** A protobuf message's fields by number: varints as numbers, the rest as bytes. */
function fieldsOf(bytes: Buffer): Map<number, (number | Buffer)[]> {
  const fields = new Map<number, (number | Buffer)[]>();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const take = (length: number) => {
      at += length;
      return bytes.subarray(at - length, at);
    };
    const wire = key & 7;
    const value = wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : varint());
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  return fields;
}

/** The payloads of a file of TFRecords, whose checksums hold. */
function* recordsOf(bytes: Buffer): Generator<Buffer> {
  const unmask = (at: number) => {
    const rotated = (bytes.readUInt32LE(at) - 0xa282ead8) >>> 0;
    return ((rotated << 15) | (rotated >>> 17)) >>> 0;
  };
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const payload = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(unmask(at + 8), crc32c(bytes.subarray(at, at + 8)));
    assert.equal(unmask(at + 12 + length), crc32c(payload));
    yield payload;
    at += 16 + length;
  }
}

/** What TensorBoard makes of a directory: by step, the scalars by tag. A start of a session drops what is from there on. */
function scalarsOf(run: string): Map<number, Record<string, number>> {
  const lines = new Map<number, Record<string, number>>();
  for (const file of readdirSync(run)
    .filter((name) => name.includes('tfevents'))
    .sort()) {
    for (const [index, payload] of [...recordsOf(readFileSync(join(run, file)))].entries()) {
      const event = fieldsOf(payload);
      const wallTime = (event.get(1)![0] as Buffer).readDoubleLE();
      assert.ok(Math.abs(wallTime - Date.now() / 1000) < 3600, `${wallTime}`);
      const step = (event.get(2)?.[0] ?? 0) as number;
      if (index === 0) assert.equal(String(event.get(3)), 'brain.Event:2');
      if (event.has(7)) {
        assert.deepEqual([...fieldsOf(event.get(7)![0] as Buffer)], [[1, [1]]]);
        for (const later of [...lines.keys()].filter((one) => one >= step)) lines.delete(later);
      }
      for (const summary of event.get(5) ?? []) {
        const values = fieldsOf(summary as Buffer)
          .get(1)!
          .map((value) => fieldsOf(value as Buffer));
        const scalars = values.map((value) => [
          String(value.get(1)),
          (value.get(2)![0] as Buffer).readFloatLE(),
        ]);
        assert.ok(!lines.has(step), `step ${step} twice`);
        lines.set(step, Object.fromEntries(scalars));
      }
    }
  }
  return lines;
}

/** The same from metrics.jsonl, where a null is no number yet. */
function expectedOf(lines: MetricsLine[]): Map<number, Record<string, number>> {
  const flat = ({
    environmentSteps: _,
    horizonHistogram: __,
    evaluation,
    timeSplit,
    ...rest
  }: MetricsLine) => {
    const { returns: ___, again: ____, ...numbers } = evaluation ?? { returns: [], again: undefined };
    const named = (group: string, values: object) =>
      Object.entries(values).map(([name, value]) => [`${group}/${name}`, value]);
    const all = [
      ...named('training', rest),
      ...named('evaluation', numbers),
      ...named('timeSplit', timeSplit),
    ];
    return Object.fromEntries(
      all.filter(([, value]) => value !== null).map(([tag, value]) => [tag, Math.fround(value)]),
    );
  };
  return new Map(lines.map((line) => [line.environmentSteps, flat(line)]));
}

test('the checksum is CRC-32C, and a file begins as one that TensorFlow wrote', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  mkdirSync(path('alone'));
  tensorBoardWriter(path('alone'), 0)(sampleLines({ seed: 3, steps: 500, halfway: 100, horizonMax: 2 })[0]);
  const [file] = readdirSync(path('alone'));
  // The length of the first event, 24 bytes, and its masked checksum.
  assert.equal(readFileSync(join(path('alone'), file)).toString('hex', 0, 12), '1800000000000000a37f4b22');
});

test('a run has the numbers of metrics.jsonl as scalars, each step once, also when it was killed and goes on', async () => {
  const config = { task: 'inverted-pendulum', preset: 'smoke', seed: 1, options: { ...tinyRun, steps: 140 } };
  await startRun(path('whole'), config, engine(), {
    onStep: (done) => {
      if (done === 93) cpSync(path('whole'), path('killed'), { recursive: true });
    },
  });
  const whole = scalarsOf(path('whole'));
  assert.equal(whole.size, 7);
  assert.ok('training/criticLoss' in whole.get(140)! && 'evaluation/mean' in whole.get(140)!);
  assert.deepEqual(whole, expectedOf(readMetrics(path('whole/metrics.jsonl'))));

  // Killed after a line that no checkpoint knows of: the step is made, and logged, again.
  const last = readMetrics(path('killed/metrics.jsonl')).at(-1)!;
  const repeated = { ...last, environmentSteps: 100, seconds: 0 };
  appendFileSync(path('killed/metrics.jsonl'), `${JSON.stringify(repeated)}\n`);
  tensorBoardWriter(path('killed'), 81)(repeated);
  await resumeRun(path('killed'), engine());
  assert.deepEqual(scalarsOf(path('killed')), expectedOf(readMetrics(path('killed/metrics.jsonl'))));
});

test('what goes on comes after what there is, though the clock was set back', () => {
  const run = path('back');
  mkdirSync(run);
  const before = `events.out.tfevents.${Date.now() + 1e9}.farsight`;
  appendFileSync(join(run, before), '');
  tensorBoardWriter(run, 0)(sampleLines({ seed: 3, steps: 500, halfway: 100, horizonMax: 2 })[0]);
  const [first, second] = readdirSync(run).sort();
  assert.equal(first, before);
  assert.match(second, /^events\.out\.tfevents\.\d+\.farsight$/);
});

test('a line that could not be written is written with the next', () => {
  const lines = sampleLines({ seed: 3, steps: 1000, halfway: 100, horizonMax: 2 });
  const run = path('away');
  const add = tensorBoardWriter(run, 0);
  assert.throws(() => add(lines[0]), /cannot be written: its directory '.*away' is not there/);
  mkdirSync(run);
  add(lines[1]);
  assert.deepEqual(scalarsOf(run), expectedOf(lines.slice(0, 2)));
});
