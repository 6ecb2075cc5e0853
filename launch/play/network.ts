// A policy's graph computed in JavaScript, from the weights in its file: for a page that has no ONNX Runtime.
import { FarsightError } from '../../contract/errors.js';
import type { OnnxGraph } from '../../contract/onnx.js';

/** A graph as a page holds it: numbers in base64, little-endian, as in the file. */
export interface PackedGraph {
  input: string;
  output: string;
  nodes: { op: string; inputs: string[]; output: string }[];
  weights: { name: string; dims: number[]; int64: boolean; data: string }[];
}

/** What a node computes on: `rows` rows of `columns` numbers. */
interface Matrix {
  rows: number;
  columns: number;
  values: Float32Array;
}

type Elementwise = (a: number, b: number) => number;
const BINARY: Record<string, Elementwise> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
};
const UNARY: Record<string, (a: number) => number> = {
  Relu: (a) => Math.max(0, a),
  Sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  Tanh: Math.tanh,
};
const OPERATORS = [...Object.keys(BINARY), ...Object.keys(UNARY), 'MatMul', 'Gemm', 'Slice'];

/** What a page needs of `graph`. Throws a `FarsightError` for an operator that the page cannot compute. */
export function packGraph({ node, initializer, input, output }: OnnxGraph): PackedGraph {
  return {
    input: input[0].name,
    output: output[0].name,
    nodes: node.map(({ opType, input, output, attribute }) => {
      if (!OPERATORS.includes(opType) || (attribute ?? []).length > 0) {
        throw new FarsightError(
          `the policy uses the ONNX operator ${opType}${OPERATORS.includes(opType) ? ' with attributes' : ''}, which a page cannot compute; export it with Farsight`,
        );
      }
      return { op: opType, inputs: input, output: output[0] };
    }),
    weights: initializer.map(({ name, dims, dataType, rawData }) => ({
      name,
      dims: dims.map(Number),
      int64: dataType === 7,
      data: Buffer.from(rawData).toString('base64'),
    })),
  };
}

/**
 * The policy as a function. Sums are made in double precision and every result is rounded to float32, so that it agrees
 * with ONNX Runtime to float32's rounding. What it returns is valid until the next call.
 */
export function networkOf(graph: PackedGraph): (observation: Float32Array) => Float32Array {
  const known = new Map<string, Matrix>();
  const indices = new Map<string, number[]>();
  for (const { name, dims, int64, data } of graph.weights) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    if (int64) indices.set(name, Array.from(new BigInt64Array(bytes.buffer), Number));
    else {
      const columns = dims.at(-1) ?? 1;
      const values = new Float32Array(bytes.buffer);
      known.set(name, { rows: values.length / columns, columns, values });
    }
  }
  return (observation) => {
    known.set(graph.input, { rows: 1, columns: observation.length, values: observation });
    for (const { op, inputs, output } of graph.nodes) {
      const [a, b, c] = inputs.map((name) => known.get(name)!);
      known.set(
        output,
        compute(
          op,
          a,
          b,
          c,
          inputs.slice(1).map((name) => indices.get(name)!),
        ),
      );
    }
    return known.get(graph.output)!.values;
  };
}

function compute(op: string, a: Matrix, b: Matrix, c: Matrix | undefined, numbers: number[][]): Matrix {
  if (op in BINARY) return broadcast(BINARY[op], a, b);
  if (op in UNARY) return { ...a, values: a.values.map((value) => UNARY[op](value)) };
  if (op === 'MatMul') return product(a, b);
  if (op === 'Gemm') return c ? broadcast(BINARY.Add, product(a, b), c) : product(a, b);
  return slice(a, numbers);
}

function product(a: Matrix, b: Matrix): Matrix {
  const values = new Float32Array(a.rows * b.columns);
  const sums = new Float64Array(b.columns);
  for (let row = 0; row < a.rows; row++) {
    sums.fill(0);
    for (let k = 0; k < a.columns; k++) {
      const factor = a.values[row * a.columns + k];
      if (factor === 0) continue;
      const start = k * b.columns;
      for (let j = 0; j < b.columns; j++) sums[j] += factor * b.values[start + j];
    }
    values.set(sums, row * b.columns);
  }
  return { rows: a.rows, columns: b.columns, values };
}

/** One row or one column of either stands for all. */
function broadcast(apply: Elementwise, a: Matrix, b: Matrix): Matrix {
  const rows = Math.max(a.rows, b.rows);
  const columns = Math.max(a.columns, b.columns);
  const values = new Float32Array(rows * columns);
  const at = (m: Matrix, row: number, column: number) =>
    m.values[(m.rows === 1 ? 0 : row) * m.columns + (m.columns === 1 ? 0 : column)];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      values[row * columns + column] = apply(at(a, row, column), at(b, row, column));
  return { rows, columns, values };
}

/** Rows and columns from `starts` up to `ends`, of all axes. */
function slice(a: Matrix, [starts, ends]: number[][]): Matrix {
  const bound = (index: number, size: number) =>
    Math.min(size, Math.max(0, index < 0 ? index + size : index));
  const [top, left] = [bound(starts[0], a.rows), bound(starts[1], a.columns)];
  const [bottom, right] = [bound(ends[0], a.rows), bound(ends[1], a.columns)];
  const columns = right - left;
  const values = new Float32Array((bottom - top) * columns);
  for (let row = top; row < bottom; row++)
    values.set(a.values.subarray(row * a.columns + left, row * a.columns + right), (row - top) * columns);
  return { rows: bottom - top, columns, values };
}
