// The last step before ONNX: a graph's parts of inputs and outputs become views, operators become those that run fastest.
import type { Part } from './array.js';
import {
  apply,
  constantValue,
  type Graph,
  INPUT,
  inOrder,
  type Shape,
  scalarValue,
  sizeOf,
  type Value,
} from './graph.js';

/** The array, or the part of it, that one input or output of a lowered graph stands for. */
export interface Slot {
  readonly of: string;
  readonly part?: Part;
}

/** A graph for ONNX Runtime, and what its inputs and outputs are in the program's. */
export interface Lowered {
  readonly graph: Graph;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
}

export function lower(graph: Graph): Lowered {
  const replaced = new Map<Value, Value>();
  const views = new Map<string, Value>();
  for (const value of inOrder(graph.outputs.values())) {
    const inputs = value.inputs.map((input) => replaced.get(input) as Value);
    const same = inputs.every((input, i) => input === value.inputs[i]);
    const view = viewOfInput(same ? value : { ...value, inputs });
    const name = view.name as string;
    // One input for each view, however often it is taken.
    if (view.part && !views.has(name)) views.set(name, view);
    replaced.set(value, view.part ? (views.get(name) as Value) : fast(view));
  }
  const outputs = [...graph.outputs].flatMap(([name, value]) => pieces(name, replaced.get(value) as Value));
  const used = inOrder(outputs.map(({ value }) => value)).filter(({ op }) => op === INPUT);
  return {
    graph: {
      name: graph.name,
      inputs: new Map(used.map((value) => [value.name as string, value])),
      outputs: new Map(outputs.map(({ name, value }) => [name, value])),
    },
    inputs: used.map(({ name, part, shape }) =>
      part ? { of: part.of, part: { start: part.start, shape } } : { of: name as string },
    ),
    outputs: outputs.map(({ slot }) => slot),
  };
}

/** What lies in one piece within an input needs no operator: it is an input itself. */
function viewOfInput(value: Value): Value {
  const [source] = value.inputs;
  if (source?.op !== INPUT || (value.op !== 'Slice' && value.op !== 'Reshape')) return value;
  let start = 0;
  if (value.op === 'Slice') {
    const begin = firstOf(value);
    // In one piece: whole after the first axis that is cut, and single before it.
    const cut = value.shape.findIndex((size, i) => size !== source.shape[i]);
    if (value.shape.slice(0, cut).some((size) => size !== 1)) return value;
    if (value.shape.some((size, i) => i > cut && size !== source.shape[i])) return value;
    start = begin[cut] * sizeOf(source.shape.slice(cut + 1));
  }
  const of = source.part?.of ?? (source.name as string);
  start += source.part?.start ?? 0;
  return { ...source, name: `${of}+${start}[${value.shape}]`, shape: value.shape, part: { of, start } };
}

function firstOf({ indices: [begin] }: Value): readonly number[] {
  return begin;
}

/** An output that is put together from pieces, one after another in memory, is written piece by piece. */
function pieces(name: string, value: Value): { name: string; value: Value; slot: Slot }[] {
  const whole = [{ name, value, slot: { of: name } }];
  let joined = value;
  while (joined.op === 'Reshape') [joined] = joined.inputs;
  if (joined.op !== 'Concat') return whole;
  const axis = joined.attributes.axis as number;
  if (joined.shape.slice(0, axis).some((size) => size !== 1)) return whole;
  let start = 0;
  return joined.inputs.map((input, i) => {
    let piece = input;
    while (piece.op === 'Reshape') [piece] = piece.inputs;
    const part = { start, shape: piece.shape };
    start += sizeOf(piece.shape);
    return { name: `${name}[${i}]`, value: piece, slot: { of: name, part } };
  });
}

/** The same numbers to rounding from operators whose kernels are vectorised. */
function fast(value: Value): Value {
  const { op, shape, origin } = value;
  const [x] = value.inputs;
  const of = (name: string, ...inputs: Value[]) => apply(name, inputs, shape, { origin });
  if (op === 'Softplus') return of('Sub', of('Relu', x), of('Log', of('Sigmoid', of('Abs', x)))); // -log σ(|x|)
  if (op === 'ReduceSum' || op === 'ReduceMean') return reduced(value, x);
  return value;
}

/** A sum over the first axes is a product with a row of ones; that of squares has an operator. */
function reduced(value: Value, x: Value): Value {
  const { op, shape, origin, attributes, indices } = value;
  const axes = [...indices[0]].sort((a, b) => a - b);
  if (x.op === 'Mul' && x.inputs[0] === x.inputs[1] && axes.at(-1) === x.shape.length - 1) {
    const sum = apply('ReduceSumSquare', [x.inputs[0]], shape, { attributes, indices, origin });
    const share = sizeOf(shape) / sizeOf(x.shape);
    return op === 'ReduceSum' ? sum : apply('Mul', [sum, scalarValue(share)], shape, { origin });
  }
  const leading = axes.findIndex((axis, i) => axis !== i);
  const count = leading === -1 ? axes.length : leading;
  if (count === 0 || count === x.shape.length) return value;
  const [rows, columns] = [sizeOf(x.shape.slice(0, count)), sizeOf(x.shape.slice(count))];
  const weights = constantValue([1, rows], Float32Array.of(op === 'ReduceSum' ? 1 : 1 / rows));
  const reshape = (of: Value, to: Shape) => apply('Reshape', [of], to, { indices: [to], origin });
  const product = apply('MatMul', [weights, reshape(x, [rows, columns])], [1, columns], { origin });
  if (count === axes.length) return reshape(product, shape);
  const rest = axes.slice(count).map((axis) => axis - count);
  const inner = reshape(product, x.shape.slice(count));
  const left = inner.shape.flatMap((size, axis) =>
    rest.includes(axis) ? (attributes.keepdims ? [1] : []) : [size],
  );
  const done = apply(op, [inner], left, { attributes, indices: [rest], origin });
  return reshape(done, shape);
}
