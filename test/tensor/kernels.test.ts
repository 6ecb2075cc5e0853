// Every kernel that a compiled program may use, with its gradient, against eager TensorFlow.js and finite differences.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../trainer/random.js';
import { NdArray } from '../../trainer/tensor/array.js';
import { CompiledEngine, EagerEngine, type Engine } from '../../trainer/tensor/engine.js';
import type { Shape } from '../../trainer/tensor/graph.js';
import { COMPILED_KERNELS } from '../../trainer/tensor/kernels.js';
import { type Tensor, tf } from '../../trainer/tensor/tf.js';

interface Case {
  of: string;
  shapes: Shape[];
  f: (...x: Tensor[]) => Tensor;
  /** Range of the inputs; away from kinks and poles of the function. */
  range?: [number, number];
  /** The function is a step: no finite differences. */
  step?: boolean;
}

const pairs: Shape[][] = [
  [
    [3, 4],
    [3, 4],
  ],
  [[3, 4], [4]],
  [[3, 4], []],
  [
    [7, 5, 2],
    [7, 1, 2],
  ],
  [
    [1, 5, 2],
    [7, 5, 2],
  ],
  [
    [1, 4],
    [1, 4],
  ],
  [
    [1, 1, 3],
    [2, 3],
  ],
];
const shapes: Shape[] = [[3, 4], [1, 4], [1, 1, 2], [5], []];

function binary(
  of: string,
  f: (a: Tensor, b: Tensor) => Tensor,
  range?: [number, number],
  step = false,
): Case[] {
  return pairs.map((shapes) => ({
    of: `${of} ${shapes.map((s) => `[${s}]`).join(' ')}`,
    shapes,
    f: f as Case['f'],
    range,
    step,
  }));
}
function unary(of: string, f: (x: Tensor) => Tensor, range?: [number, number], step = false): Case[] {
  return shapes.map((shape) => ({ of: `${of} [${shape}]`, shapes: [shape], f: f as Case['f'], range, step }));
}
const sameShapes = ({ shapes: [a, b] }: Case) => String(a) === String(b);
const asFloat = (x: Tensor) => tf.cast(x, 'float32');
/** A comparison has no gradient in TensorFlow.js: programs use it behind a product with what does. */
const masked = (compare: (a: Tensor, b: Tensor) => Tensor) => (a: Tensor, b: Tensor) =>
  tf.mul(
    tf.add(a, b),
    tf.customGrad((...args) => {
      const [x, y] = args as unknown as [Tensor, Tensor];
      return { value: asFloat(compare(x, y)), gradFunc: () => [tf.zerosLike(x), tf.zerosLike(y)] };
    })(a, b),
  );

const cases: Case[] = [
  ...binary('add', tf.add),
  ...binary('sub', tf.sub),
  ...binary('mul', tf.mul),
  ...binary('div', tf.div, [0.5, 2]),
  // TensorFlow.js's own gradients of these three do not broadcast.
  ...binary('maximum', tf.maximum).filter(sameShapes),
  ...binary('minimum', tf.minimum).filter(sameShapes),
  ...binary('squaredDifference', tf.squaredDifference).filter(sameShapes),
  ...binary('pow', tf.pow, [0.5, 2]),
  ...binary('greater', masked(tf.greater), undefined, true),
  ...binary('greaterEqual', masked(tf.greaterEqual), undefined, true),
  ...binary('less', masked(tf.less), undefined, true),
  ...binary('lessEqual', masked(tf.lessEqual), undefined, true),
  ...binary('equal', masked(tf.equal), undefined, true),
  ...binary(
    'logical',
    masked((a, b) =>
      tf.logicalOr(tf.logicalAnd(tf.greater(a, 0), tf.less(b, 0)), tf.logicalNot(tf.less(a, b))),
    ),
    undefined,
    true,
  ),
  ...unary('abs', tf.abs, [0.2, 1]),
  ...unary('exp', tf.exp),
  ...unary('log', tf.log, [0.5, 2]),
  ...unary('neg', tf.neg),
  ...unary('reciprocal', tf.reciprocal, [0.5, 2]),
  ...unary('relu', tf.relu, [0.2, 1]),
  ...unary('relu below zero', tf.relu, [-1, -0.2]),
  ...unary('sigmoid', tf.sigmoid),
  ...unary('sign', tf.sign, [0.2, 1], true),
  ...unary('softplus', tf.softplus, [-3, 3]),
  ...unary('sqrt', tf.sqrt, [0.5, 2]),
  ...unary('rsqrt', tf.rsqrt, [0.5, 2]),
  ...unary('square', tf.square),
  ...unary('tanh', tf.tanh),
  ...unary('step', (x) => tf.step(x), undefined, true),
  ...unary('clipByValue', (x) => tf.clipByValue(x, -0.3, 0.4), undefined, true),
  ...unary('clipByValue inside', (x) => tf.clipByValue(x, -1, 1), [-0.9, 0.9]),
  ...unary('identity and cast', (x) => tf.mul(tf.clone(x), asFloat(tf.cast(tf.onesLike(x), 'bool')))),
  ...unary('zerosLike and fill', (x) => tf.add(tf.add(x, tf.zerosLike(x)), tf.fill([2, ...x.shape], 0.5))),
  {
    of: 'where',
    shapes: [
      [2, 3],
      [2, 3],
    ],
    f: (a, b) => tf.where(tf.tensor2d([1, 0, 0, 1, 1, 0], [2, 3], 'bool'), tf.mul(a, b), b),
  },
  {
    of: 'where broadcast',
    shapes: [[2, 3]],
    f: (x) => tf.where(tf.tensor1d([1, 0, 1], 'bool'), tf.exp(x), tf.neg(x)),
  },
  ...[undefined, 0, 1, -1, [0, 1]].flatMap((axis) =>
    [false, true].flatMap((keep): Case[] => [
      { of: `sum ${axis} ${keep}`, shapes: [[3, 4]], f: (x) => tf.sum(x, axis, keep) },
      { of: `mean ${axis} ${keep}`, shapes: [[3, 4]], f: (x) => tf.mean(x, axis, keep) },
      { of: `max ${axis} ${keep}`, shapes: [[3, 4]], f: (x) => tf.max(x, axis, keep) },
      { of: `min ${axis} ${keep}`, shapes: [[3, 4]], f: (x) => tf.min(x, axis, keep) },
      { of: `sum of one ${axis} ${keep}`, shapes: [[1, 1]], f: (x) => tf.mul(tf.sum(x, axis, keep), 2) },
    ]),
  ),
  { of: 'reshape', shapes: [[2, 6]], f: (x) => tf.reshape(x, [3, -1]) },
  { of: 'expandDims', shapes: [[2, 6]], f: (x) => tf.mul(tf.expandDims(x, -1), tf.expandDims(x, 1)) },
  { of: 'squeeze', shapes: [[2, 1, 3]], f: (x) => tf.squeeze(x, [1]) },
  { of: 'transpose', shapes: [[2, 3, 4]], f: (x) => tf.square(tf.transpose(x, [2, 0, 1])) },
  { of: 'transpose of one row', shapes: [[1, 4]], f: (x) => tf.square(tf.transpose(x)) },
  { of: 'slice', shapes: [[3, 4]], f: (x) => tf.square(tf.slice(x, [1, 0], [2, -1])) },
  {
    of: 'split',
    shapes: [[3, 6]],
    f: (x) => {
      const [a, b] = tf.split(x, 2, 1);
      return tf.mul(tf.exp(a), b);
    },
  },
  {
    of: 'split by sizes',
    shapes: [[3, 6]],
    f: (x) => {
      const [a, b] = tf.split(x, [1, 5], 1);
      return tf.mul(a, b);
    },
  },
  {
    of: 'concat',
    shapes: [
      [3, 2],
      [3, 4],
    ],
    f: (a, b) => tf.square(tf.concat([a, b], 1)),
  },
  {
    of: 'stack',
    shapes: [
      [3, 2],
      [3, 2],
    ],
    f: (a, b) => tf.square(tf.stack([a, b], 1)),
  },
  {
    of: 'unstack',
    shapes: [[2, 3]],
    f: (x) => {
      const [a, b] = tf.unstack(x);
      return tf.mul(tf.exp(a), b);
    },
  },
  {
    of: 'pad',
    shapes: [[2, 3]],
    f: (x) =>
      tf.square(
        tf.pad(x, [
          [1, 0],
          [0, 2],
        ]),
      ),
  },
  { of: 'tile', shapes: [[2, 3]], f: (x) => tf.square(tf.tile(x, [3, 2])) },
  { of: 'tile of one', shapes: [[1, 5, 2]], f: (x) => tf.square(tf.tile(x, [7, 1, 1])) },
  ...[
    [3, 4, 5],
    [1, 4, 5],
    [3, 1, 5],
    [3, 4, 1],
  ].flatMap(([n, k, m]): Case[] => [
    {
      of: `matMul ${n} ${k} ${m}`,
      shapes: [
        [n, k],
        [k, m],
      ],
      f: (a, b) => tf.matMul(a, b),
    },
    {
      of: `matMul transposed ${n} ${k} ${m}`,
      shapes: [
        [k, n],
        [m, k],
      ],
      f: (a, b) => tf.matMul(a, b, true, true),
    },
    {
      of: `members ${n} ${k} ${m}`,
      shapes: [
        [7, n, k],
        [7, k, m],
      ],
      f: (a, b) => tf.matMul(a, b),
    },
    {
      of: `one member ${n} ${k} ${m}`,
      shapes: [
        [1, n, k],
        [1, k, m],
      ],
      f: (a, b) => tf.matMul(a, b),
    },
    {
      of: `shared input ${n} ${k} ${m}`,
      shapes: [
        [n, k],
        [2, k, m],
      ],
      f: (a, b) => tf.matMul(tf.tile(tf.expandDims(a, 0), [2, 1, 1]), b),
    },
  ]),
];

/** f and the gradient of Σ w f by every input. */
async function gradients(
  engine: Engine,
  { shapes, f }: Case,
  values: Float32Array[],
  weight: (shape: Shape) => number[],
) {
  const names = shapes.map((_, i) => `x${i}`);
  const program = await engine.program({
    name: 'case',
    inputs: Object.fromEntries(names.map((name, i) => [name, shapes[i]])),
    body: (t) => {
      const inputs = names.map((name) => t[name]);
      const objective = (...x: Tensor[]) => {
        const y = f(...x);
        return tf.sum(tf.mul(y, tf.tensor(weight(y.shape), y.shape)));
      };
      const { grads } = tf.valueAndGrads(objective as never)(inputs);
      return { y: f(...inputs), ...Object.fromEntries(names.map((name, i) => [`g ${name}`, grads[i]])) };
    },
  });
  const outputs = program.outputs();
  await program.run(
    Object.fromEntries(names.map((name, i) => [name, new NdArray(shapes[i], values[i].slice())])),
    outputs,
  );
  return outputs;
}

/** The kernels that TensorFlow.js runs for f and its gradients. */
async function kernelsOf({ shapes, f }: Case, values: Float32Array[]): Promise<string[]> {
  const { kernelNames } = await tf.profile(() => {
    const inputs = values.map((data, i) => tf.tensor(data.slice(), [...shapes[i]]));
    return tf.valueAndGrads(((...x: Tensor[]) => tf.sum(f(...x))) as never)(inputs).value;
  });
  return kernelNames;
}

function weights(shape: Shape): number[] {
  return [...new Random(7).fillNormal(new Float32Array(shape.reduce((a, b) => a * b, 1)))];
}

function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
) {
  assert.equal(actual.length, expected.length, what);
  const scale = Math.max(1, ...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) {
    assert.ok(
      Math.abs(actual[i] - expected[i]) <= tolerance * scale,
      `${what}[${i}]: ${actual[i]}, expected ${expected[i]}`,
    );
  }
}

test('compiled kernels and gradients equal eager TensorFlow.js and finite differences', async () => {
  tf.setBackend('cpu');
  const compiled = new CompiledEngine({ threads: 1, device: 'cpu' });
  const eager = new EagerEngine();
  const seen = new Set<string>();
  for (const each of cases) {
    const [low, high] = each.range ?? [-1, 1];
    const random = new Random(3);
    const values = each.shapes.map((shape) =>
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uniform(low, high)),
    );
    const expected = await gradients(eager, each, values, weights);
    for (const name of await kernelsOf(each, values)) seen.add(name);
    const actual = await gradients(compiled, each, values, weights);
    for (const name of Object.keys(expected)) {
      assert.deepEqual(actual[name].shape, expected[name].shape, `${each.of}: shape of ${name}`);
      assertClose(actual[name].data, expected[name].data, 1e-5, `${each.of}: ${name}`);
    }
    if (each.step) continue;
    const objective = (inputs: Float32Array[]) =>
      tf.tidy(() => {
        const y = each.f(...inputs.map((data, i) => tf.tensor(data.slice(), [...each.shapes[i]])));
        return weights(y.shape).reduce((sum, w, i) => sum + w * y.dataSync()[i], 0);
      });
    const h = 1e-2;
    for (const [k, input] of values.entries()) {
      const differences = Array.from(input, (value, i) => {
        const at = (x: number) => objective(values.map((data, j) => (j === k ? data.with(i, x) : data)));
        return (at(value + h) - at(value - h)) / (2 * h);
      });
      assertClose(actual[`g x${k}`].data, differences, 1e-2, `${each.of}: finite differences of x${k}`);
    }
  }
  const untested = COMPILED_KERNELS.filter((kernel) => !seen.has(kernel));
  assert.deepEqual(untested, [], 'kernels without a case');
});
