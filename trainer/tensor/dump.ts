// A compiled program as a table that a person can read: operators, shapes, cost, and the source line of each.
import { CONSTANT, type Graph, INPUT, operatorsOf, sizeOf, uniform, type Value } from './graph.js';

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

export function dump(graph: Graph): string {
  const operators = operatorsOf(graph);
  const index = new Map(operators.map((value, i) => [value, i]));
  const label = (value: Value) => {
    if (value.op === INPUT) return value.name as string;
    if (value.op === CONSTANT) return String(uniform(value) ?? `constant[${value.shape}]`);
    return `%${index.get(value)}`;
  };
  const counts = new Map<string, number>();
  let flops = 0;
  let bytes = 0;
  const lines = operators.map((value, i) => {
    const ownFlops = flopsOf(value);
    const ownBytes =
      4 *
      [value, ...value.inputs].reduce((sum, { op, shape }) => sum + (op === CONSTANT ? 0 : sizeOf(shape)), 0);
    counts.set(value.op, (counts.get(value.op) ?? 0) + 1);
    flops += ownFlops;
    bytes += ownBytes;
    const operands = [...value.inputs.map(label), ...value.indices.map((indices) => `(${indices})`)].join(
      ' ',
    );
    return [
      `%${i}`.padEnd(6),
      value.op.padEnd(12),
      `[${value.shape}]`.padEnd(15),
      quantity(ownFlops, 'FLOP').padStart(11),
      quantity(ownBytes, 'B').padStart(9),
      `  ${operands}`.padEnd(36),
      value.origin ?? '',
    ]
      .join(' ')
      .trimEnd();
  });
  const named = (values: ReadonlyMap<string, Value>, show: (name: string, value: Value) => string) =>
    [...values].map(([name, value]) => show(name, value)).join(', ');
  return `${[
    `program ${graph.name}: ${operators.length} operators, ${quantity(flops, 'FLOP')}, ${quantity(bytes, 'B')} read and written`,
    [...counts]
      .sort((a, b) => b[1] - a[1])
      .map(([op, count]) => `${op} ${count}`)
      .join(', '),
    `inputs: ${named(graph.inputs, (name, { shape }) => `${name} [${shape}]`)}`,
    ...lines,
    `outputs: ${named(graph.outputs, (name, value) => `${name} [${value.shape}] = ${label(value)}`)}`,
  ].join('\n')}\n`;
}

function quantity(value: number, unit: string): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} G${unit}`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M${unit}`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)} k${unit}`;
  return `${value} ${unit}`;
}
