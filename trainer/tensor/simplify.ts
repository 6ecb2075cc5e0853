// Makes a traced graph small without changing what it computes: gradients leave hundreds of operators that do nothing.
import {
  apply,
  CONSTANT,
  constantValue,
  type Graph,
  INPUT,
  inOrder,
  type Shape,
  sameShape,
  scalarValue,
  sizeOf,
  uniform,
  type Value,
} from './graph.js';

/**
 * The same outputs from fewer operators: dead code, identities, casts, ×1, +0, ×0, common subexpressions, constants,
 * needless broadcasts and copies. Results equal the original's to rounding; 0 × NaN and 0 × ∞ count as 0.
 */
export function simplify(graph: Graph): Graph {
  let values = [...graph.outputs.values()];
  for (let size = Number.POSITIVE_INFINITY; ; ) {
    values = rewriteAll(values);
    const now = inOrder(values).length;
    if (now >= size) break;
    size = now;
  }
  return { ...graph, outputs: new Map([...graph.outputs.keys()].map((name, i) => [name, values[i]])) };
}

function rewriteAll(outputs: readonly Value[]): Value[] {
  const replaced = new Map<Value, Value>();
  const known = new Map<string, Value>();
  const numbers = new Map<Value, number>();
  const numberOf = (value: Value) => {
    let number = numbers.get(value);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(value, number);
    }
    return number;
  };
  for (const value of inOrder(outputs)) {
    if (value.op === INPUT) {
      replaced.set(value, value);
      continue;
    }
    const inputs = value.inputs.map((input) => replaced.get(input) as Value);
    const same = inputs.every((input, i) => input === value.inputs[i]);
    const rewritten = rewrite(same ? value : { ...value, inputs });
    // One value for each distinct computation.
    const key =
      rewritten.op === CONSTANT
        ? `${rewritten.dtype}[${rewritten.shape}]${(rewritten.elements as Float32Array).length > 64 ? `#${numberOf(rewritten)}` : rewritten.elements}`
        : rewritten.op === INPUT
          ? `input ${rewritten.name}`
          : `${rewritten.op}(${rewritten.inputs.map(numberOf)})${JSON.stringify([rewritten.indices, rewritten.attributes])}[${rewritten.shape}]`;
    const first = known.get(key) ?? rewritten;
    known.set(key, first);
    replaced.set(value, first);
  }
  return outputs.map((value) => replaced.get(value) as Value);
}

function rewrite(value: Value): Value {
  const [a, b] = value.inputs;
  switch (value.op) {
    case 'Identity':
      return a;
    case 'Cast':
      if (a.dtype === value.dtype) return a;
      if (a.op === CONSTANT) return castConstant(a, value);
      return value;
    case 'Reshape':
      return reshaped(a, value);
    case 'Transpose':
      return transposed(a, value);
    case 'Expand': {
      if (sameShape(a.shape, value.shape)) return a;
      const all = uniform(a);
      return all === undefined ? value : filled(value.shape, all);
    }
    case 'ReduceSum':
    case 'ReduceMean':
    case 'ReduceMax':
    case 'ReduceMin':
      return reduced(a, value);
    case 'Add':
    case 'Sub':
    case 'Mul':
    case 'Div':
    case 'Max':
    case 'Min':
    case 'Pow':
      return arithmetic(value, a, b);
    case 'Neg':
      if (a.op === 'Neg') return a.inputs[0];
      if (a.op === 'Mul') {
        const [x, y] = a.inputs;
        const [factor, other] = uniform(x) === undefined ? [uniform(y), x] : [uniform(x), y];
        if (factor !== undefined) return { ...a, inputs: [other, scalarValue(-factor)] };
      }
      if (a.op === 'Expand')
        return expanded(rewrite(apply('Neg', [a.inputs[0]], a.inputs[0].shape)), value.shape);
      return uniform(a) === undefined ? value : filled(value.shape, -(uniform(a) as number));
    case 'Concat':
      return value.inputs.length === 1 ? a : value;
    case 'Slice':
      if (sameShape(a.shape, value.shape)) return a;
      return uniform(a) === undefined ? value : filled(value.shape, uniform(a) as number);
    case 'Pad':
      if (sameShape(a.shape, value.shape)) return a;
      return uniform(a) === 0 ? filled(value.shape, 0) : value;
    case 'MatMul':
      return withoutBatchExpand(value, a, b);
    default:
      return value;
  }
}

function castConstant(a: Value, value: Value): Value {
  const convert = { float32: (x: number) => x, int64: Math.trunc, bool: (x: number) => (x === 0 ? 0 : 1) }[
    value.dtype
  ];
  return constantValue(value.shape, (a.elements as Float32Array).map(convert), value.dtype);
}

function filled(shape: Shape, value: number): Value {
  return constantValue(shape, Float32Array.of(value));
}

function expanded(value: Value, shape: Shape): Value {
  return sameShape(value.shape, shape) ? value : apply('Expand', [value], shape, { indices: [shape] });
}

function reshaped(a: Value, value: Value): Value {
  if (sameShape(a.shape, value.shape)) return a;
  if (a.op === CONSTANT) return { ...a, shape: value.shape };
  if (a.op === 'Reshape') return rewrite({ ...value, inputs: [a.inputs[0]] });
  return value;
}

function transposed(a: Value, value: Value): Value {
  const perm = value.attributes.perm as readonly number[];
  if (perm.every((axis, i) => axis === i)) return a;
  if (uniform(a) !== undefined) return filled(value.shape, uniform(a) as number);
  if (a.op === 'Transpose') {
    const inner = a.attributes.perm as readonly number[];
    return rewrite({
      ...value,
      inputs: [a.inputs[0]],
      attributes: { perm: perm.map((axis) => inner[axis]) },
    });
  }
  // Moving axes of length 1 moves no data.
  const moved = perm.filter((axis) => a.shape[axis] !== 1);
  if (moved.every((axis, i) => i === 0 || moved[i - 1] < axis)) {
    return rewrite(
      apply('Reshape', [a], value.shape, { dtype: a.dtype, indices: [value.shape], origin: value.origin }),
    );
  }
  return value;
}

function reduced(a: Value, value: Value): Value {
  const [axes] = value.indices;
  if (axes.every((axis) => a.shape[axis] === 1)) {
    return rewrite(apply('Reshape', [a], value.shape, { indices: [value.shape], origin: value.origin }));
  }
  const all = uniform(a);
  if (all !== undefined)
    return filled(
      value.shape,
      value.op === 'ReduceSum' ? (all * sizeOf(a.shape)) / sizeOf(value.shape) : all,
    );
  return value;
}

function arithmetic(value: Value, left: Value, right: Value): Value {
  const { op, shape } = value;
  // Elementwise operators broadcast by themselves, and what is the same everywhere need not be computed everywhere.
  const a = left.op === 'Expand' ? left.inputs[0] : left;
  const b = right.op === 'Expand' ? right.inputs[0] : right;
  const own = broadcastShape(a.shape, b.shape);
  if (!sameShape(own, shape)) return expanded(rewrite({ ...value, inputs: [a, b], shape: own }), shape);
  const x = uniform(a);
  const y = uniform(b);
  if (x !== undefined && y !== undefined) return filled(shape, compute(op, x, y));
  if (op === 'Add' && y === 0) return expanded(a, shape);
  if (op === 'Add' && x === 0) return expanded(b, shape);
  if (op === 'Sub' && y === 0) return expanded(a, shape);
  if (op === 'Sub' && x === 0)
    return rewrite(apply('Neg', [expanded(b, shape)], shape, { origin: value.origin }));
  if (op === 'Mul' && y === 1) return expanded(a, shape);
  if (op === 'Mul' && x === 1) return expanded(b, shape);
  if (op === 'Mul' && (x === 0 || y === 0)) return filled(shape, 0);
  if (op === 'Mul' && y === -1)
    return rewrite(apply('Neg', [expanded(a, shape)], shape, { origin: value.origin }));
  if (op === 'Mul' && x === -1)
    return rewrite(apply('Neg', [expanded(b, shape)], shape, { origin: value.origin }));
  if (op === 'Div' && y !== undefined)
    return rewrite({ ...value, op: 'Mul', inputs: [a, scalarLike(b, 1 / y)] });
  if (op === 'Div' && x === 0) return filled(shape, 0);
  if (op === 'Pow' && y === 1) return expanded(a, shape);
  if (op === 'Pow' && y === 2) return { ...value, op: 'Mul', inputs: [a, a] };
  if (op === 'Add' && b.op === 'Neg') return rewrite({ ...value, op: 'Sub', inputs: [a, b.inputs[0]] });
  if (op === 'Add' && a.op === 'Neg') return rewrite({ ...value, op: 'Sub', inputs: [b, a.inputs[0]] });
  if (op === 'Sub' && b.op === 'Neg') return rewrite({ ...value, op: 'Add', inputs: [a, b.inputs[0]] });
  if ((op === 'Mul' || op === 'Div') && a.op === 'Neg')
    return negated({ ...value, inputs: [a.inputs[0], b] });
  if ((op === 'Mul' || op === 'Div') && b.op === 'Neg')
    return negated({ ...value, inputs: [a, b.inputs[0]] });
  if (op === 'Mul') {
    const merged = mergedFactors(value, a, b, x, y);
    if (merged) return merged;
  }
  if (op === 'Add') {
    const joined = joinedPads(a, b);
    if (joined) return joined;
  }
  // A constant of equal elements needs no array when the other operand has the shape already.
  const inputs = [a, b].map((operand, i) => {
    const number = uniform(operand);
    return number !== undefined && sameShape((i === 0 ? b : a).shape, shape) ? scalarValue(number) : operand;
  });
  return inputs[0] === value.inputs[0] && inputs[1] === value.inputs[1] ? value : { ...value, inputs };
}

/** -(a b) for (-a) b: signs move outward until they meet another one or a sum. */
function negated(product: Value): Value {
  return rewrite(apply('Neg', [rewrite(product)], product.shape, { origin: product.origin }));
}

function scalarLike(value: Value, number: number): Value {
  return filled(value.shape, number);
}

/** (x · c) · d = x · (c d) for constants c and d. */
function mergedFactors(
  value: Value,
  a: Value,
  b: Value,
  x: number | undefined,
  y: number | undefined,
): Value | undefined {
  const [factor, other] = x !== undefined ? [x, b] : [y, a];
  if (factor === undefined) return undefined;
  if (other.op === 'Mul' && sameShape(other.shape, value.shape)) {
    for (const i of [0, 1]) {
      const inner = uniform(other.inputs[i]);
      if (inner !== undefined && sameShape(other.inputs[1 - i].shape, value.shape)) {
        return rewrite({ ...value, inputs: [other.inputs[1 - i], scalarValue(inner * factor)] });
      }
    }
  }
  return undefined;
}

/** The sum of two slices' gradients, each padded with zeros where the other lies, is their concatenation. */
function joinedPads(a: Value, b: Value): Value | undefined {
  if (a.op !== 'Pad' || b.op !== 'Pad' || !sameShape(a.shape, b.shape)) return undefined;
  const rank = a.shape.length;
  const along = (pads: readonly number[]) => {
    const axes = a.shape.map((_, i) => i).filter((i) => pads[i] !== 0 || pads[rank + i] !== 0);
    return axes.length === 1 ? axes[0] : undefined;
  };
  const axis = along(a.indices[0]);
  if (axis === undefined || axis !== along(b.indices[0])) return undefined;
  const [first, second] = a.indices[0][axis] === 0 ? [a, b] : [b, a];
  const split = first.inputs[0].shape[axis];
  if (
    first.indices[0][axis] !== 0 ||
    second.indices[0][rank + axis] !== 0 ||
    second.indices[0][axis] !== split
  )
    return undefined;
  return apply('Concat', [first.inputs[0], second.inputs[0]], a.shape, {
    attributes: { axis },
    origin: a.origin,
  });
}

function broadcastShape(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    return x === 1 ? y : x;
  });
}

/** MatMul broadcasts leading axes by itself: one operand with all of them is enough. */
function withoutBatchExpand(value: Value, a: Value, b: Value): Value {
  const batch = value.shape.slice(0, -2);
  const full = (operand: Value) => sameShape(operand.shape.slice(0, -2), batch);
  const stripped = (operand: Value, other: Value): Value => {
    if (operand.op !== 'Expand' || !full(other)) return operand;
    const [source] = operand.inputs;
    return sameShape(source.shape.slice(-2), operand.shape.slice(-2)) ? source : operand;
  };
  const left = stripped(a, b);
  const right = stripped(b, left);
  return left === a && right === b ? value : { ...value, inputs: [left, right] };
}

function compute(op: string, x: number, y: number): number {
  switch (op) {
    case 'Add':
      return x + y;
    case 'Sub':
      return x - y;
    case 'Mul':
      return x * y;
    case 'Div':
      return x / y;
    case 'Max':
      return Math.max(x, y);
    case 'Min':
      return Math.min(x, y);
    default:
      return x ** y;
  }
}
