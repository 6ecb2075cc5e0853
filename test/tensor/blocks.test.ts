// Programs shared out among threads: the same numbers as on one, the same bits every time, errors, and an end.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Random } from '../../trainer/random.js';
import { gradientOf, NdArray, type NdArrays } from '../../trainer/tensor/array.js';
import { cutIntoBlocks } from '../../trainer/tensor/blocks.js';
import { CompiledEngine, type ProgramSource } from '../../trainer/tensor/engine.js';
import { type Tensors, tf } from '../../trainer/tensor/tf.js';

const [ROWS, WIDTH] = [300, 256];
const inputs = { x: [ROWS, WIDTH], w: [WIDTH, WIDTH] };
const body = ({ x, w }: Tensors): Tensors => {
  const h = tf.tanh(tf.matMul(x, w));
  return { h, rows: tf.sum(h, 1), total: tf.sum(h), products: tf.matMul(tf.transpose(h), x) };
};
/** Rows are cut; `total` and `products` are sums over them. */
const source: ProgramSource = { name: 'shared out', inputs, body, split: ['x', 'h', 'rows'] };

const filled = (shape: readonly number[], random: Random) =>
  new NdArray(shape, random.fillNormal(new Float32Array(shape.reduce((a, b) => a * b, 1))));
const random = new Random(3);
const given = { x: filled(inputs.x, random), w: filled(inputs.w, random) };
for (let i = 0; i < given.w.data.length; i++) given.w.data[i] *= 0.05;
const engineOf = (threads: number) => new CompiledEngine({ threads, device: 'cpu' });

async function computed(threads: number): Promise<NdArrays> {
  const program = await engineOf(threads).program(source);
  const outputs = program.outputs();
  await program.run(given, outputs);
  return outputs;
}

function assertClose(actual: NdArrays, expected: NdArrays): void {
  for (const [name, { data, shape }] of Object.entries(expected)) {
    assert.deepEqual(actual[name].shape, shape);
    const scale = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const apart = data.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[name].data[i])), 0);
    assert.ok(apart < 2e-6 * scale, `${name}: ${apart} apart, up to ${scale}`);
  }
}

test('two and four threads compute what one does, sums included; the same bits every time', async () => {
  const alone = await computed(1);
  for (const threads of [2, 4]) {
    const shared = await computed(threads);
    assertClose(shared, alone);
    assert.deepEqual(await computed(threads), shared);
  }
});

test('a gradient in two parts is shared out like its inputs', async () => {
  const results: NdArrays[] = [];
  for (const threads of [1, 3]) {
    const program = await engineOf(threads).differentiable({
      ...source,
      cotangents: ['h', 'rows'],
      by: ['x', 'w'],
    });
    const tape = program.tape();
    assert.equal(tape.residuals.length, threads);
    await program.forward(given, tape);
    const cotangents = { h: tape.outputs.h, rows: tape.outputs.rows };
    const outputs = {
      [gradientOf('x')]: new NdArray(inputs.x),
      [gradientOf('w')]: new NdArray(inputs.w),
    };
    await program.backward(given, cotangents, tape, outputs);
    results.push(outputs);
  }
  assertClose(results[1], results[0]);
});

test('axes are cut as evenly as goes, and alike', () => {
  const blocks = (lengths: number[], most: number) =>
    cutIntoBlocks({ a: [lengths[0], 2], b: [lengths[1]], c: [9] }, new Set(['a', 'b']), most).map(
      ({ a, b, c }) => [a[0], b[0], c[0]],
    );
  assert.deepEqual(blocks([7, 7], 2), [
    [3, 3, 9],
    [4, 4, 9],
  ]);
  assert.deepEqual(blocks([128, 4], 3), [
    [64, 2, 9],
    [64, 2, 9],
  ]);
  assert.deepEqual(blocks([256, 5], 2), [[256, 5, 9]]);
  assert.deepEqual(blocks([1, 1], 4), [[1, 1, 9]]);
});

test('what a thread refuses arrives, and the next run is none the worse', async () => {
  const program = await engineOf(2).program(source);
  const outputs = program.outputs();
  // Rows for the first block alone.
  const short = { ...given, x: new NdArray(inputs.x, given.x.data.slice(0, (ROWS / 2) * WIDTH)) };
  await assert.rejects(program.run(short, outputs), /not enough space/);
  await program.run(given, outputs);
  assertClose(outputs, await computed(1));
});

test('the threads end with the process', async () => {
  const code = `
    import { CompiledEngine } from ${JSON.stringify(new URL('../../trainer/tensor/engine.js', import.meta.url).href)};
    import { NdArray } from ${JSON.stringify(new URL('../../trainer/tensor/array.js', import.meta.url).href)};
    import { tf } from ${JSON.stringify(new URL('../../trainer/tensor/tf.js', import.meta.url).href)};
    const program = await new CompiledEngine({ threads: 3, device: 'cpu' }).program({
      name: 'p', inputs: { x: [900, 500] }, split: ['x', 'y'], body: ({ x }) => ({ y: tf.exp(tf.tanh(x)) }),
    });
    const outputs = program.outputs();
    await program.run({ x: new NdArray([900, 500]) }, outputs);
    console.log(outputs.y.data[449999]);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code], {
    timeout: 60_000,
  });
  assert.equal(stdout.trim(), '1');
});
