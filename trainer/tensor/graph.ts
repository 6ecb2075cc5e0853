// The graph that a traced program becomes, each value knowing the operator and the values that it comes from.
import {
  type Attribute,
  AttributeType,
  ElementType,
  encodeModel,
  IR_VERSION,
  type OnnxGraph,
  type OnnxTensor,
  OPSET,
  tensorInfo,
} from '../../contract/onnx.js';

export type DType = 'float32' | 'int64' | 'bool';
export type Shape = readonly number[];

/** One array: an input, a constant, or what an ONNX operator makes of other values. */
export interface Value {
  readonly op: string;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly inputs: readonly Value[];
  /** Index inputs (shapes, axes, bounds) that follow `inputs`. */
  readonly indices: readonly (readonly number[])[];
  readonly attributes: Readonly<Record<string, number | readonly number[]>>;
  /** An input's name. */
  readonly name?: string;
  /** An input that is a part of another: whose, and how many elements after its beginning. */
  readonly part?: { readonly of: string; readonly start: number };
  /** A constant's elements in row-major order; a single one when all are equal. */
  readonly elements?: Float32Array;
  /** The line of the program that asked for it. */
  readonly origin?: string;
}

/** A whole program: its inputs and outputs by name. */
export interface Graph {
  readonly name: string;
  readonly inputs: ReadonlyMap<string, Value>;
  readonly outputs: ReadonlyMap<string, Value>;
}

export const INPUT = 'input';
export const CONSTANT = 'constant';

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dimension, i) => dimension === b[i]);
}

export function inputValue(name: string, shape: Shape): Value {
  return { op: INPUT, name, shape, dtype: 'float32', inputs: [], indices: [], attributes: {} };
}

export function constantValue(shape: Shape, values: Float32Array, dtype: DType = 'float32'): Value {
  const first = values[0];
  const elements =
    values.length > 1 && values.every((value) => Object.is(value, first)) ? values.slice(0, 1) : values;
  return { op: CONSTANT, shape, dtype, elements, inputs: [], indices: [], attributes: {} };
}

export function scalarValue(value: number): Value {
  return constantValue([], Float32Array.of(value));
}

/** The value of a float constant whose elements are all equal, else undefined. */
export function uniform(value: Value): number | undefined {
  return value.op === CONSTANT && value.dtype === 'float32' && value.elements?.length === 1
    ? value.elements[0]
    : undefined;
}

export function apply(
  op: string,
  inputs: readonly Value[],
  shape: Shape,
  options: Partial<Pick<Value, 'dtype' | 'attributes' | 'indices' | 'origin'>> = {},
): Value {
  return { op, inputs, shape, dtype: 'float32', indices: [], attributes: {}, ...options };
}

/** Every value that the given ones need, themselves included, each after those that it comes from. */
export function inOrder(values: Iterable<Value>): Value[] {
  const order: Value[] = [];
  const entered = new Set<Value>();
  const done = new Set<Value>();
  const stack = [...values].reverse();
  while (stack.length > 0) {
    const value = stack[stack.length - 1];
    if (!entered.has(value)) {
      entered.add(value);
      for (let i = value.inputs.length - 1; i >= 0; i--) {
        if (!entered.has(value.inputs[i])) stack.push(value.inputs[i]);
      }
    } else {
      stack.pop();
      if (!done.has(value)) {
        done.add(value);
        order.push(value);
      }
    }
  }
  return order;
}

/** The operators of a graph in the order in which they run. */
export function operatorsOf(graph: Graph): Value[] {
  return inOrder(graph.outputs.values()).filter(({ op }) => op !== INPUT && op !== CONSTANT);
}

/**
 * The graph as ONNX. An output that is an input, a constant or another output as well passes through an Identity,
 * because ONNX wants each output to be an operator's own.
 */
export function toOnnx(graph: Graph): OnnxGraph {
  const names = new Map<Value, string>();
  const indexNames = new Map<string, string>();
  const initializer: OnnxTensor[] = [];
  const node: OnnxGraph['node'] = [];
  const identities: [name: string, value: Value][] = [];
  for (const [name, value] of graph.inputs) names.set(value, name);
  for (const [name, value] of graph.outputs) {
    if (names.has(value) || value.op === CONSTANT) identities.push([name, value]);
    else names.set(value, name);
  }
  const indexName = (indices: readonly number[]): string => {
    const key = indices.join();
    const known = indexNames.get(key);
    if (known !== undefined) return known;
    const name = `indices${indexNames.size}`;
    const rawData = new Uint8Array(BigInt64Array.from(indices, BigInt).buffer);
    initializer.push({ name, dims: [indices.length], dataType: ElementType.int64, rawData });
    indexNames.set(key, name);
    return name;
  };
  for (const value of inOrder(graph.outputs.values())) {
    if (value.op === INPUT) continue;
    const name = names.get(value) ?? `v${names.size}`;
    names.set(value, name);
    if (value.op === CONSTANT) initializer.push(constantTensor(name, value));
    else {
      node.push({
        opType: value.op,
        input: [...value.inputs.map((input) => names.get(input) as string), ...value.indices.map(indexName)],
        output: [name],
        attribute: Object.entries(value.attributes).map(([key, setting]) => attribute(key, setting)),
      });
    }
  }
  for (const [name, value] of identities) {
    node.push({ opType: 'Identity', input: [names.get(value) as string], output: [name] });
  }
  return {
    name: graph.name,
    node,
    initializer,
    input: [...graph.inputs].map(([name, { shape }]) => tensorInfo(name, shape)),
    output: [...graph.outputs].map(([name, { shape }]) => tensorInfo(name, shape)),
  };
}

export function toModel(graph: Graph): Uint8Array {
  return encodeModel({
    irVersion: IR_VERSION,
    producerName: 'farsight',
    graph: toOnnx(graph),
    opsetImport: OPSET,
    metadataProps: [],
  });
}

function attribute(name: string, setting: number | readonly number[]): Attribute {
  return typeof setting === 'number'
    ? { name, type: AttributeType.int, i: setting }
    : { name, type: AttributeType.ints, ints: [...setting] };
}

function constantTensor(name: string, { shape, dtype, elements }: Value): OnnxTensor {
  const count = sizeOf(shape);
  const values = elements as Float32Array;
  const full = values.length === count ? values : new Float32Array(count).fill(values[0]);
  const dims = [...shape];
  switch (dtype) {
    case 'float32':
      return { name, dims, dataType: ElementType.float32, rawData: new Uint8Array(full.slice().buffer) };
    case 'int64':
      return {
        name,
        dims,
        dataType: ElementType.int64,
        rawData: new Uint8Array(BigInt64Array.from(full, BigInt).buffer),
      };
    case 'bool':
      return { name, dims, dataType: ElementType.bool, rawData: Uint8Array.from(full) };
  }
}
