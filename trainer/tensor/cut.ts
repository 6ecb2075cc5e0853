// Cuts a program and its gradient into a forward and a backward graph.
import { CONSTANT, type Graph, INPUT, inOrder, inputValue, type Value } from './graph.js';

/** These only move numbers: done again in the backward part, they need not be kept. */
const MOVES = new Set(['Transpose', 'Reshape', 'Expand']);
/** Of an input, so does this. */
const isInputOrPart = ({ op, inputs: [source] }: Value): boolean =>
  op === INPUT || (['Slice', 'Reshape'].includes(op) && isInputOrPart(source));

/**
 * Cuts a graph in two, joined by the values that cross (residuals). All that does not depend on a cotangent is done
 * forward, where its operands are in the cache: a product of several values then crosses as one.
 */
export function cut(graph: Graph, forwardOutputs: readonly string[], cotangents: ReadonlySet<string>) {
  const first = new Map(forwardOutputs.map((name) => [name, graph.outputs.get(name) as Value]));
  const last = new Map([...graph.outputs].filter(([name]) => !first.has(name)));
  const late = new Set<Value>();
  for (const value of inOrder(graph.outputs.values())) {
    if (
      (value.op === INPUT && cotangents.has(value.name as string)) ||
      value.inputs.some((input) => late.has(input))
    ) {
      late.add(value);
    }
  }
  const crosses = (value: Value) =>
    !late.has(value) &&
    value.dtype === 'float32' &&
    value.op !== CONSTANT &&
    !isInputOrPart(value) &&
    !MOVES.has(value.op);
  const residuals = new Map<string, Value>();
  const substitute = new Map<Value, Value>();
  const rebuilt = (value: Value): Value => {
    const known = substitute.get(value);
    if (known) return known;
    let made = value;
    if (crosses(value)) {
      const name = `residual ${residuals.size}`;
      residuals.set(name, value);
      made = inputValue(name, value.shape);
    } else if (value.inputs.length > 0)
      made = { ...value, inputs: value.inputs.map((input) => substitute.get(input) ?? rebuilt(input)) };
    substitute.set(value, made);
    return made;
  };
  const lastOutputs = new Map<string, Value>();
  for (const [name, value] of last) lastOutputs.set(name, rebuilt(value));
  const used = (outputs: ReadonlyMap<string, Value>) => {
    const inputs = inOrder(outputs.values()).filter(({ op }) => op === INPUT);
    return new Map(inputs.map((value) => [value.name as string, value]));
  };
  const forwardAll = new Map([...first, ...residuals]);
  return {
    forwardGraph: { name: `${graph.name} forward`, inputs: used(forwardAll), outputs: forwardAll },
    backwardGraph: { name: `${graph.name} backward`, inputs: used(lastOutputs), outputs: lastOutputs },
    residuals: [...residuals].map(([name, { shape }]) => [name, shape] as const),
  };
}
