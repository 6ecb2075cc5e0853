// Compiled programs as their users meet them: errors that name the line, names, dumps, memory, gradients in two parts.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FarsightError } from '../../contract/errors.js';
import { Random } from '../../trainer/random.js';
import { gradientOf, NdArray } from '../../trainer/tensor/array.js';
import { CompiledEngine, EagerEngine, type ProgramSource } from '../../trainer/tensor/engine.js';
import { type Tensor, tf } from '../../trainer/tensor/tf.js';
import { temporaryDirectory } from '../fixtures/policy.js';

tf.setBackend('cpu');
const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
const shape = [2, 3];

/** The message of the FarsightError that compiling `body` ends with. */
async function refusal(body: ProgramSource['body']): Promise<string> {
  const outcome = await engine.program({ name: 'p', inputs: { x: shape }, body }).catch((error) => error);
  assert.ok(outcome instanceof FarsightError, String(outcome));
  return outcome.message;
}

/** Remembers the line that `here` was called from, as an error names it: directory/file:line. */
class Place {
  line = '';

  here<T>(value: T): T {
    [, this.line] = /([^/\\(]+[/\\][^/\\]+:\d+):\d+\)?$/.exec(new Error().stack!.split('\n')[2])!;
    return value;
  }
}

test('an operator without a rule names itself and its line of the program', async () => {
  const at = new Place();
  const message = await refusal(({ x }) => {
    const fine = tf.exp(x);
    return { y: tf.cos(at.here(fine)) };
  });
  assert.equal(
    message,
    `program 'p' (${at.line}): operator 'Cos' has no rule in trainer/tensor/kernels.ts; add one or write it with others`,
  );
  assert.match(at.line, /^tensor\/program\.test\.[jt]s:\d+$/);
});

test("a gradient's operator without a rule is named too", async () => {
  const message = await refusal(({ x }) => ({ y: tf.grad((input) => tf.cumsum(tf.exp(input)))(x) }));
  assert.match(message, /^program 'p' \(tensor\/program\.test\.[jt]s:\d+\): operator 'Cumsum' has no rule/);
});

test('a program that reads a tensor says so', async () => {
  const at = new Place();
  const message = await refusal(({ x }) => {
    const most = tf.max(x);
    return { y: tf.div(x, at.here(most).dataSync()[0]) };
  });
  assert.equal(
    message,
    `program 'p' (${at.line}) reads a tensor (dataSync, arraySync): a compiled program has no numbers until it runs`,
  );
});

test('a program that uses a tensor from outside says so', async () => {
  const outside = tf.tensor([1, 2, 3]);
  const at = new Place();
  const message = await refusal(({ x }) => ({ y: tf.mul(at.here(x), outside) }));
  assert.equal(message, `program 'p' (${at.line}) uses a tensor made outside of it: pass it as an input`);
  // The same when it is handed out untouched.
  assert.match(await refusal(() => ({ y: outside })), /uses a tensor made outside of it/);
});

test('a failed program leaves TensorFlow.js on its backend', async () => {
  await refusal(({ x }) => ({ y: tf.cos(x) }));
  assert.equal(tf.getBackend(), 'cpu');
  assert.deepEqual([...tf.add(1, 2).dataSync()], [3]);
});

test('outputs may be inputs, constants, and each other', async () => {
  const program = await engine.program({
    name: 'names',
    inputs: { x: shape },
    body: ({ x }) => {
      const y = tf.exp(x);
      return { same: x, first: y, second: y, again: tf.exp(x), zero: tf.mul(x, 0), one: tf.ones([2]) };
    },
  });
  const outputs = program.outputs();
  const x = new NdArray(shape, Float32Array.of(0, 1, 2, 3, 4, 5));
  await program.run({ x }, outputs);
  assert.deepEqual(outputs.same.data, x.data);
  assert.notEqual(outputs.same.data, x.data);
  for (const name of ['second', 'again']) assert.deepEqual(outputs[name].data, outputs.first.data);
  assert.ok(Math.abs(outputs.first.data[1] - Math.E) < 1e-6);
  assert.deepEqual(outputs.zero.data, new Float32Array(6));
  assert.deepEqual(outputs.one.data, Float32Array.of(1, 1));
});

test('a missing input is named', async () => {
  const program = await engine.program({
    name: 'p',
    inputs: { x: [1] },
    body: ({ x }) => ({ y: tf.exp(x) }),
  });
  await assert.rejects(program.run({}, program.outputs()), /input 'x' is missing/);
});

test('a run writes into the memory that it is given, and reads what is there then', async () => {
  const program = await engine.program({
    name: 'count',
    inputs: { x: [4] },
    body: ({ x }) => ({ y: tf.add(x, 1) }),
  });
  const memory = new Float32Array(12);
  const state = new NdArray([4], memory.subarray(4, 8));
  for (let i = 0; i < 5; i++) await program.run({ x: state }, { y: state });
  memory[5] = 100;
  await program.run({ x: state }, { y: state });
  assert.deepEqual([...memory], [0, 0, 0, 0, 6, 101, 6, 6, 0, 0, 0, 0]);
});

test('the dump lists operators, shapes, cost and lines', async () => {
  const directory = join(temporaryDirectory(), 'dump');
  const dumping = new CompiledEngine({ threads: 1, device: 'cpu', dumpDirectory: directory });
  const at = new Place();
  await dumping.program({
    name: 'one layer, batch 8',
    inputs: { x: [8, 40], w: [40, 20] },
    body: ({ x, w }) => {
      const h = tf.matMul(at.here(x), w);
      return { y: tf.tanh(h) };
    },
  });
  assert.deepEqual(readdirSync(directory).sort(), ['one-layer-batch-8.onnx', 'one-layer-batch-8.txt']);
  const [title, counts, inputs, product, tanh, outputs] = readFileSync(
    join(directory, 'one-layer-batch-8.txt'),
    'utf8',
  ).split('\n');
  // 2·8·40·20 FLOP and 8·20 tanh; 4 bytes for each of 8·40 + 40·20 + 8·20 and 8·20 + 8·20 numbers.
  assert.equal(title, 'program one layer, batch 8: 2 operators, 13.0 kFLOP, 6.4 kB read and written');
  assert.equal(counts, 'MatMul 1, Tanh 1');
  assert.equal(inputs, 'inputs: x [8,40], w [40,20]');
  assert.match(product, /^%0 +MatMul +\[8,20\] +12\.8 kFLOP +5\.1 kB +x w +\S+$/);
  assert.ok(product.endsWith(at.line), product);
  assert.match(tanh, /^%1 +Tanh +\[8,20\] +160 FLOP +1\.3 kB +%0 /);
  assert.equal(outputs, 'outputs: y [8,20] = %1');
});

/** A small network whose backward half needs values of the forward half: exp, tanh and the first product. */
function twoLayers({ x, w1, w2 }: Record<string, Tensor>) {
  const h = tf.tanh(tf.matMul(x, w1));
  return { y: tf.matMul(tf.exp(h), w2), z: tf.sum(tf.square(h), 1), unused: tf.mean(x) };
}

test('a gradient in two parts equals the gradient in one piece', async () => {
  const inputs = { x: [5, 3], w1: [3, 4], w2: [4, 2] };
  const random = new Random(5);
  const array = (dims: readonly number[]) =>
    new NdArray(dims, random.fillNormal(new Float32Array(dims.reduce((a, b) => a * b))));
  const given = { x: array(inputs.x), w1: array(inputs.w1), w2: array(inputs.w2) };
  const cotangents = { y: array([5, 2]), z: array([5]) };
  const by = ['x', 'w1'];
  const source = { name: 'two layers', inputs, body: twoLayers, cotangents: ['y', 'z'], by };

  const expected = tf.tidy(() => {
    const t = Object.fromEntries(
      Object.entries(given).map(([name, { data, shape }]) => [name, tf.tensor(data.slice(), [...shape])]),
    );
    const weight = ({ data, shape }: NdArray) => tf.tensor(data.slice(), [...shape]);
    const objective = (x: Tensor, w1: Tensor) => {
      const { y, z } = twoLayers({ ...t, x, w1 });
      return tf.add(tf.sum(tf.mul(y, weight(cotangents.y))), tf.sum(tf.mul(z, weight(cotangents.z))));
    };
    const gradients = tf
      .grads(objective as never)([t.x, t.w1])
      .map((tensor) => tensor.dataSync());
    return { y: twoLayers(t).y.dataSync(), gradients };
  });
  const close = (actual: ArrayLike<number>, wanted: ArrayLike<number>) => {
    assert.equal(actual.length, wanted.length);
    for (let i = 0; i < wanted.length; i++)
      assert.ok(Math.abs(actual[i] - wanted[i]) < 1e-4, `${i}: ${actual[i]}, not ${wanted[i]}`);
  };
  for (const each of [engine, new EagerEngine()]) {
    const program = await each.differentiable(source);
    const [tape, other] = [program.tape(), program.tape()];
    await program.forward(given, tape);
    // Another run in between has its own tape and changes nothing of this one's.
    await program.forward({ ...given, x: array(inputs.x) }, other);
    close(tape.outputs.y.data, expected.y as Float32Array);
    const outputs = Object.fromEntries(
      by.map((name) => [gradientOf(name), new NdArray(given[name as 'x'].shape)]),
    );
    await program.backward(given, cotangents, tape, outputs);
    close(outputs[gradientOf('x')].data, expected.gradients[0] as Float32Array);
    close(outputs[gradientOf('w1')].data, expected.gradients[1] as Float32Array);
  }
  const compiled = await engine.differentiable(source);
  assert.ok(
    Object.keys(compiled.tape().residuals[0]).length > 0,
    'nothing is handed on: all is computed twice',
  );
});
