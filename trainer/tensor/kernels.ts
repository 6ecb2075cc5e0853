// The TensorFlow.js kernels that a compiled program may use, each as ONNX operators.
import { ElementType } from '../../contract/onnx.js';
import { apply, constantValue, type DType, type Shape, scalarValue, type Value } from './graph.js';
import { tf } from './tf.js';
import { type KernelRule, registerKernelRule } from './trace.js';

const broadcastShape = tf.broadcast_util.assertAndGetBroadcastShape;

function binary(op: string, dtype?: DType): KernelRule {
  return ({ a, b }) =>
    apply(op, [a, b], broadcastShape([...a.shape], [...b.shape]), { dtype: dtype ?? a.dtype });
}

function unary(op: string): KernelRule {
  return ({ x }) => apply(op, [x], x.shape, { dtype: x.dtype });
}

function reshape(x: Value, shape: Shape): Value {
  return apply('Reshape', [x], shape, { dtype: x.dtype, indices: [shape] });
}

function slice(x: Value, begin: readonly number[], size: readonly number[]): Value {
  const end = begin.map((start, i) => start + size[i]);
  return apply('Slice', [x], size, { dtype: x.dtype, indices: [begin, end, begin.map((_, i) => i)] });
}

function cast(x: Value, dtype: DType): Value {
  return apply('Cast', [x], x.shape, { dtype, attributes: { to: ElementType[dtype] } });
}

function reduction(op: string): KernelRule {
  return ({ x, input }, { axis, reductionIndices, keepDims }) => {
    const source = x ?? input;
    const axes = tf.util.parseAxisParam((axis ?? reductionIndices) as number | number[], [...source.shape]);
    const shape = keepDims
      ? source.shape.map((dimension, i) => (axes.includes(i) ? 1 : dimension))
      : source.shape.filter((_, i) => !axes.includes(i));
    if (axes.length === 0) return source;
    return apply(op, [source], shape, { indices: [axes], attributes: { keepdims: keepDims ? 1 : 0 } });
  };
}

function filled(shape: Shape, value: number, dtype: DType): Value {
  return constantValue(
    shape,
    new Float32Array(
      Math.max(
        1,
        shape.reduce((a, b) => a * b, 1),
      ),
    ).fill(value),
    dtype,
  );
}

function axisOf(axis: unknown, shape: Shape): number {
  return tf.util.parseAxisParam(axis as number, [...shape])[0];
}

const rules: Record<string, KernelRule> = {
  Add: binary('Add'),
  Sub: binary('Sub'),
  Multiply: binary('Mul'),
  RealDiv: binary('Div'),
  Maximum: binary('Max'),
  Minimum: binary('Min'),
  Pow: binary('Pow'),
  Greater: binary('Greater', 'bool'),
  GreaterEqual: binary('GreaterOrEqual', 'bool'),
  Less: binary('Less', 'bool'),
  LessEqual: binary('LessOrEqual', 'bool'),
  Equal: binary('Equal', 'bool'),
  LogicalAnd: binary('And', 'bool'),
  LogicalOr: binary('Or', 'bool'),
  LogicalNot: unary('Not'),
  SquaredDifference: (inputs) => {
    const difference = binary('Sub')(inputs, {}) as Value;
    return apply('Mul', [difference, difference], difference.shape);
  },
  Abs: unary('Abs'),
  Exp: unary('Exp'),
  Log: unary('Log'),
  Neg: unary('Neg'),
  Reciprocal: unary('Reciprocal'),
  Relu: unary('Relu'),
  Sigmoid: unary('Sigmoid'),
  Sign: unary('Sign'),
  Softplus: unary('Softplus'),
  Sqrt: unary('Sqrt'),
  Tanh: unary('Tanh'),
  Rsqrt: ({ x }) => apply('Reciprocal', [apply('Sqrt', [x], x.shape)], x.shape),
  Square: ({ x }) => apply('Mul', [x, x], x.shape),
  Step: ({ x }, { alpha }) => {
    const above = apply('Greater', [x, scalarValue(0)], x.shape, { dtype: 'bool' });
    if (alpha === 0) return cast(above, 'float32');
    return apply('Where', [above, scalarValue(1), scalarValue(alpha as number)], x.shape);
  },
  ClipByValue: ({ x }, { clipValueMin, clipValueMax }) =>
    apply('Clip', [x, scalarValue(clipValueMin as number), scalarValue(clipValueMax as number)], x.shape),
  Select: ({ condition, t, e }) => apply('Where', [condition, t, e], t.shape),
  Identity: ({ x }) => x,
  Cast: ({ x }, { dtype }) => cast(x, dtype === 'int32' ? 'int64' : (dtype as DType)),
  Reshape: ({ x }, { shape }) =>
    reshape(x, tf.util.inferFromImplicitShape(shape as number[], tf.util.sizeFromShape([...x.shape]))),
  ExpandDims: ({ input }, { dim }) => {
    const shape = [...input.shape];
    const at = dim as number;
    shape.splice(at < 0 ? shape.length + 1 + at : at, 0, 1);
    return reshape(input, shape);
  },
  Transpose: ({ x }, { perm }) =>
    apply(
      'Transpose',
      [x],
      (perm as number[]).map((axis) => x.shape[axis]),
      { attributes: { perm: perm as number[] } },
    ),
  BatchMatMul: ({ a, b }, { transposeA, transposeB }) => {
    const left = transposeA ? transposeLast(a) : a;
    const right = transposeB ? transposeLast(b) : b;
    const batch = broadcastShape([...left.shape.slice(0, -2)], [...right.shape.slice(0, -2)]);
    return apply(
      'MatMul',
      [left, right],
      [...batch, left.shape.at(-2) as number, right.shape.at(-1) as number],
    );
  },
  Sum: reduction('ReduceSum'),
  Mean: reduction('ReduceMean'),
  Max: reduction('ReduceMax'),
  Min: reduction('ReduceMin'),
  Slice: ({ x }, { begin, size }) => {
    const [start, extent] = tf.slice_util.parseSliceParams(
      { shape: [...x.shape], rank: x.shape.length } as never,
      begin as number[],
      size as number[],
    );
    return slice(x, start, extent);
  },
  SplitV: ({ x }, { numOrSizeSplits, axis }) => {
    const along = axisOf(axis, x.shape);
    const sizes = tf.backend_util.prepareSplitSize(
      { shape: [...x.shape] } as never,
      numOrSizeSplits as number | number[],
      along,
    );
    let start = 0;
    return sizes.map((size) => {
      const begin = x.shape.map((_, i) => (i === along ? start : 0));
      start += size;
      return slice(
        x,
        begin,
        x.shape.map((dimension, i) => (i === along ? size : dimension)),
      );
    });
  },
  Concat: (inputs, { axis }) => {
    const parts = Object.values(inputs);
    const along = axisOf(axis, parts[0].shape);
    const shape = parts[0].shape.map((dimension, i) =>
      i === along ? parts.reduce((sum, part) => sum + part.shape[i], 0) : dimension,
    );
    return apply('Concat', parts, shape, { dtype: parts[0].dtype, attributes: { axis: along } });
  },
  Pack: (inputs, { axis }) => {
    const parts = Object.values(inputs);
    const one = [...parts[0].shape];
    one.splice(axis as number, 0, 1);
    const shape = one.map((dimension, i) => (i === axis ? parts.length : dimension));
    return apply(
      'Concat',
      parts.map((part) => reshape(part, one)),
      shape,
      { attributes: { axis: axis as number } },
    );
  },
  Unpack: ({ value }, { axis }) => {
    const along = axisOf(axis, value.shape);
    const rest = value.shape.filter((_, i) => i !== along);
    return Array.from({ length: value.shape[along] }, (_, k) =>
      reshape(
        slice(
          value,
          value.shape.map((_, i) => (i === along ? k : 0)),
          value.shape.map((dimension, i) => (i === along ? 1 : dimension)),
        ),
        rest,
      ),
    );
  },
  PadV2: ({ x }, { paddings, constantValue: fill }) => {
    const pads = paddings as [number, number][];
    const shape = x.shape.map((dimension, i) => dimension + pads[i][0] + pads[i][1]);
    const amounts = [...pads.map(([before]) => before), ...pads.map(([, after]) => after)];
    if (fill !== 0) throw new Error('tf.pad is compiled for zero padding only');
    return apply('Pad', [x], shape, { indices: [amounts] });
  },
  Tile: ({ x }, { reps }) => {
    const repeats = reps as number[];
    const shape = x.shape.map((dimension, i) => dimension * repeats[i]);
    if (x.shape.every((dimension, i) => dimension === 1 || repeats[i] === 1)) {
      return apply('Expand', [x], shape, { dtype: x.dtype, indices: [shape] });
    }
    return apply('Tile', [x], shape, { dtype: x.dtype, indices: [repeats] });
  },
  ZerosLike: ({ x }) => filled(x.shape, 0, x.dtype),
  OnesLike: ({ x }) => filled(x.shape, 1, x.dtype),
  Fill: (_, { shape, value, dtype }) =>
    filled(shape as number[], value as number, dtype === 'int32' ? 'int64' : ((dtype as DType) ?? 'float32')),
};

function transposeLast(x: Value): Value {
  const rank = x.shape.length;
  const perm = x.shape.map((_, i) => (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i));
  return apply(
    'Transpose',
    [x],
    perm.map((axis) => x.shape[axis]),
    { attributes: { perm } },
  );
}

for (const [kernel, rule] of Object.entries(rules)) registerKernelRule(kernel, rule);

/** The kernels with a rule: what tests go through one by one. */
export const COMPILED_KERNELS: readonly string[] = Object.keys(rules);
