// What the simplifier makes of small programs: no more operators than they need, and the same numbers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { Random } from '../../trainer/random.js';
import { type Graph, operatorsOf, type Shape, sizeOf, toModel } from '../../trainer/tensor/graph.js';
import '../../trainer/tensor/kernels.js';
import { simplify } from '../../trainer/tensor/simplify.js';
import { type Tensor, tf } from '../../trainer/tensor/tf.js';
import { trace } from '../../trainer/tensor/trace.js';

interface Program {
  of: string;
  shapes: Shape[];
  f: (...x: Tensor[]) => Tensor | Tensor[];
  /** Operators that are enough. */
  enough: number;
}

const square: Shape = [3, 4];
const gradientOf = (f: (x: Tensor) => Tensor) => tf.grad((x) => tf.sum(f(x)));

const programs: Program[] = [
  {
    of: 'dead code',
    shapes: [square],
    enough: 1,
    f: (x) => {
      tf.matMul(tf.exp(x), tf.transpose(x));
      return tf.tanh(x);
    },
  },
  { of: 'identities', shapes: [square], enough: 1, f: (x) => tf.exp(tf.clone(tf.reshape(x, [3, 4]))) },
  { of: 'nothing at all', shapes: [square], enough: 0, f: (x) => tf.clone(x) },
  { of: 'casts', shapes: [square], enough: 1, f: (x) => tf.exp(tf.cast(x, 'float32')) },
  {
    of: 'a cast that rounds stays',
    shapes: [square],
    enough: 3,
    f: (x) => tf.cast(tf.cast(tf.mul(x, 3), 'int32'), 'float32'),
  },
  {
    of: 'a constant cast to whole numbers',
    shapes: [[4]],
    enough: 1,
    f: (x) => tf.mul(x, tf.cast(tf.cast(tf.tensor1d([0.5, -1.7, 0, 2]), 'int32'), 'float32')),
  },
  {
    of: 'a constant cast to truth values',
    shapes: [[4]],
    enough: 1,
    f: (x) => tf.mul(x, tf.cast(tf.cast(tf.tensor1d([0.5, -1.7, 0, 2]), 'bool'), 'float32')),
  },
  { of: '×1 and +0', shapes: [square], enough: 1, f: (x) => tf.exp(tf.mul(tf.add(tf.sub(x, 0), 0), 1)) },
  { of: '1× and 0+', shapes: [square], enough: 1, f: (x) => tf.exp(tf.mul(1, tf.add(0, tf.div(x, 1)))) },
  {
    of: '×1 and +0 that broadcast',
    shapes: [[4]],
    enough: 2,
    f: (x) => tf.exp(tf.add(tf.mul(x, tf.ones([3, 4])), tf.zeros([2, 3, 4]))),
  },
  { of: '×0', shapes: [square], enough: 1, f: (x) => tf.add(x, tf.mul(tf.exp(x), 0)) },
  { of: '0 - x and ×(-1)', shapes: [square], enough: 1, f: (x) => tf.exp(tf.sub(0, tf.mul(-1, x))) },
  { of: 'x + -y', shapes: [square, square], enough: 1, f: (x, y) => tf.add(x, tf.neg(y)) },
  { of: 'factors', shapes: [square], enough: 1, f: (x) => tf.mul(tf.div(tf.mul(tf.neg(x), 3), 4), 2) },
  {
    of: 'a factor that broadcasts -x',
    shapes: [[4]],
    enough: 3,
    f: (x) => tf.mul(tf.neg(x), tf.fill([3, 4], 2)),
  },
  {
    of: 'a square that broadcasts',
    shapes: [[4]],
    enough: 2,
    f: (x) => tf.pow(x, tf.fill([3, 4], 2)),
  },
  { of: 'a power of one', shapes: [square], enough: 1, f: (x) => tf.tanh(tf.pow(x, 1)) },
  {
    of: 'common subexpressions',
    shapes: [square],
    enough: 5,
    f: (x) => tf.add(tf.mul(tf.exp(tf.neg(x)), 2), tf.mul(tf.exp(tf.neg(x)), 3)),
  },
  {
    of: 'two names for one value',
    shapes: [square],
    enough: 1,
    f: (x) => [tf.exp(x), tf.exp(tf.clone(x))],
  },
  {
    of: 'constants',
    shapes: [square],
    enough: 1,
    f: (x) => tf.mul(x, tf.add(tf.mul(tf.scalar(2), tf.scalar(3)), tf.mean(tf.ones([5, 2])))),
  },
  {
    of: 'a broadcast before an elementwise operator',
    shapes: [square, [4]],
    enough: 2,
    f: (x, y) => tf.add(x, tf.tile(tf.expandDims(y, 0), [3, 1])),
  },
  {
    of: 'a broadcast before a matrix product',
    shapes: [
      [3, 4],
      [7, 4, 2],
    ],
    enough: 2,
    f: (x, w) => tf.matMul(tf.tile(tf.expandDims(x, 0), [7, 1, 1]), w),
  },
  { of: 'transposed twice', shapes: [square], enough: 1, f: (x) => tf.exp(tf.transpose(tf.transpose(x))) },
  { of: 'a row transposed', shapes: [[1, 4]], enough: 2, f: (x) => tf.exp(tf.transpose(x)) },
  { of: 'a sum over one', shapes: [[3, 1]], enough: 2, f: (x) => tf.exp(tf.sum(x, 1)) },
  {
    of: 'the gradient of a split',
    shapes: [[3, 6]],
    enough: 5,
    f: gradientOf((x) => {
      const [a, b] = tf.split(x, [2, 4], 1);
      return tf.add(tf.sum(tf.square(a)), tf.sum(tf.exp(b)));
    }),
  },
  {
    of: 'the gradient of two slices',
    shapes: [[3, 6]],
    enough: 5,
    f: gradientOf((x) => {
      const [a, b] = [tf.slice(x, [0, 0], [3, 2]), tf.slice(x, [0, 2], [3, 4])];
      return tf.add(tf.sum(tf.square(a)), tf.sum(tf.exp(b)));
    }),
  },
  { of: 'the gradient of a mean', shapes: [square], enough: 0, f: gradientOf((x) => tf.mean(x)) },
  {
    of: 'the gradient of a layer',
    shapes: [
      [8, 4],
      [4, 2],
    ],
    // A product, a comparison, its cast, the weights' transpose and the product with it, and two for the mask.
    enough: 6,
    f: (x, w) => gradientOf((input) => tf.relu(tf.matMul(input, w)))(x),
  },
];

async function run(graph: Graph, values: Float32Array[]): Promise<Record<string, OrtTensor>> {
  const session = await InferenceSession.create(toModel(graph), {
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const feeds = [...graph.inputs].map(([name, { shape }], i) => [
    name,
    new OrtTensor('float32', values[i], [...shape]),
  ]);
  return session.run(Object.fromEntries(feeds));
}

for (const { of, shapes, f, enough } of programs) {
  test(`simplified: ${of}`, async () => {
    const whole = trace(of, Object.fromEntries(shapes.map((shape, i) => [`x${i}`, shape])), (inputs) => {
      const outputs = [f(...Object.values(inputs))].flat();
      return Object.fromEntries(outputs.map((output, i) => [`y${i}`, output]));
    });
    const small = simplify(whole);
    const left = operatorsOf(small).map(({ op }) => op);
    assert.ok(left.length <= enough, `${left.length} operators left, ${enough} are enough: ${left}`);
    const random = new Random(1);
    const values = shapes.map((shape) => random.fillNormal(new Float32Array(sizeOf(shape))));
    const [expected, actual] = [await run(whole, values), await run(small, values)];
    for (const [name, { dims, data }] of Object.entries(expected)) {
      assert.deepEqual(actual[name].dims, dims, `shape of ${name}`);
      for (const [i, value] of (data as Float32Array).entries()) {
        const got = Number(actual[name].data[i]);
        assert.ok(
          Math.abs(got - value) <= 1e-6 * Math.max(1, Math.abs(value)),
          `${name}[${i}]: ${got}, not ${value}`,
        );
      }
    }
  });
}
