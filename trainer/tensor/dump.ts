// A compiled program as a table that a person can read: operators, shapes, cost, and the source line of each.
import { bytesOf, flopsOf } from './cost.js';
import { CONSTANT, type Graph, INPUT, operatorsOf, uniform, type Value } from './graph.js';

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
    const ownBytes = bytesOf(value);
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
