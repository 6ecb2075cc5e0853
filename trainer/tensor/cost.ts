// What a graph costs to run: floating-point operations, bytes, and a rough guess at the time.
import { CONSTANT, type Graph, operatorsOf, sizeOf, type Value } from './graph.js';

const MOVES_ONLY = new Set(['Identity', 'Reshape', 'Transpose', 'Slice', 'Pad', 'Concat', 'Expand', 'Cast']);

/** Floating-point operations of one operator, a fused multiply-add counting as two. */
export function flopsOf(value: Value): number {
  if (value.op === 'MatMul') {
    const [a] = value.inputs;
    return 2 * sizeOf(value.shape) * a.shape[a.shape.length - 1];
  }
  if (MOVES_ONLY.has(value.op)) return 0;
  return Math.max(sizeOf(value.shape), ...value.inputs.map(({ shape }) => sizeOf(shape)));
}

/** FLOPs of a graph's matrix products alone. */
export function matrixFlops(graph: Graph): number {
  return operatorsOf(graph).reduce((sum, value) => sum + (value.op === 'MatMul' ? flopsOf(value) : 0), 0);
}

/** Bytes that one operator reads and writes. */
export function bytesOf(value: Value): number {
  const elements = [value, ...value.inputs].map(({ op, shape }) => (op === CONSTANT ? 0 : sizeOf(shape)));
  return 4 * elements.reduce((sum, count) => sum + count, 0);
}

/** Of one core of today; good to a factor of two or three. */
const FLOPS_PER_SECOND = 1.5e11;
const BYTES_PER_SECOND = 1e11;
const SECONDS_PER_OPERATOR = 3e-7;

/** A rough guess at the seconds that one thread takes for a graph. */
export function secondsOf(graph: Graph): number {
  return operatorsOf(graph).reduce(
    (sum, value) =>
      sum +
      SECONDS_PER_OPERATOR +
      (value.op === 'MatMul' ? flopsOf(value) / FLOPS_PER_SECOND : bytesOf(value) / BYTES_PER_SECOND),
    0,
  );
}
