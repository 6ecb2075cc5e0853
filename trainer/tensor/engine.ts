// Runs programs: compiled to ONNX Runtime, or eagerly by TensorFlow.js as the reference, from the same source.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { makeDirectory } from '../../contract/directory.js';
import { messageOf, UsageError } from '../../contract/errors.js';
import { gradientOf, NdArray, type NdArrays } from './array.js';
import { dump, matrixFlops } from './dump.js';
import {
  CONSTANT,
  type Graph,
  INPUT,
  inOrder,
  inputValue,
  type Shape,
  toModel,
  type Value,
} from './graph.js';
import './kernels.js';
import { simplify } from './simplify.js';
import { type Tensor, type Tensors, tf } from './tf.js';
import { trace } from './trace.js';

export type Shapes = Readonly<Record<string, Shape>>;

/** A computation from named inputs to named outputs, written in TensorFlow.js. Output names differ from input names. */
export interface ProgramSource {
  name: string;
  inputs: Shapes;
  body: (inputs: Tensors) => Tensors;
}

/**
 * A computation with its gradient in two parts, so that something may be decided between them: `body` forward; then,
 * given the objective's derivative by each output in `cotangents`, its derivative by each input in `by`, as outputs
 * that `gradientOf` names.
 */
export interface DifferentiableSource extends ProgramSource {
  cotangents: readonly string[];
  by: readonly string[];
}

export interface Program {
  /** FLOPs of the matrix products in one run; 0 when eager. */
  readonly matrixFlops: number;
  /** Arrays for every output, for callers that have none of their own. */
  outputs(): Record<string, NdArray>;
  /** Reads `inputs`, writes into the arrays in `outputs`. */
  run(inputs: NdArrays, outputs: NdArrays): Promise<void>;
}

export interface Differentiable {
  readonly matrixFlops: number;
  /** A place for one forward run's outputs and for what the backward run needs of it. */
  tape(): Tape;
  forward(inputs: NdArrays, tape: Tape): Promise<void>;
  /** @param cotangents by the names of the outputs that they belong to */
  backward(inputs: NdArrays, cotangents: NdArrays, tape: Tape, outputs: NdArrays): Promise<void>;
}
export interface Tape {
  readonly outputs: NdArrays;
  readonly residuals: NdArrays;
}

export interface Engine {
  readonly kind: 'compiled' | 'eager';
  program(source: ProgramSource): Promise<Program>;
  differentiable(source: DifferentiableSource): Promise<Differentiable>;
}

export interface CompiledOptions {
  /** Threads of ONNX Runtime. */
  threads: number;
  device: 'cpu' | 'cuda';
  /** Write each program's table and ONNX file into this directory. */
  dumpDirectory?: string;
}

/** The name of the input that carries the derivative by an output. */
function cotangentOf(output: string): string {
  return `d ${output}`;
}

function arrays(shapes: Iterable<readonly [string, Shape]>): Record<string, NdArray> {
  return Object.fromEntries([...shapes].map(([name, shape]) => [name, new NdArray(shape)]));
}

function outputShapes(graph: Graph): [string, Shape][] {
  return [...graph.outputs].map(([name, { shape }]) => [name, shape]);
}

/** Programs traced, simplified, and run by ONNX Runtime. */
export class CompiledEngine implements Engine {
  readonly kind = 'compiled';
  readonly #options: CompiledOptions;

  constructor(options: CompiledOptions) {
    this.#options = options;
  }

  async program(source: ProgramSource): Promise<Program> {
    const graph = this.#graph(source.name, source.inputs, source.body);
    const session = await this.#session(graph);
    return {
      matrixFlops: matrixFlops(graph),
      outputs: () => arrays(outputShapes(graph)),
      run: (inputs, outputs) => runSession(session, inputs, outputs),
    };
  }

  async differentiable(source: DifferentiableSource): Promise<Differentiable> {
    const { name, inputs, body, cotangents, by } = source;
    const shapes = new Map(outputShapes(this.#graph(name, inputs, body)));
    const cotangentShapes = Object.fromEntries(
      cotangents.map((output) => [cotangentOf(output), shapes.get(output) as Shape]),
    );
    const whole = this.#graph(name, { ...inputs, ...cotangentShapes }, (all) => {
      let outputs: Tensors = {};
      const objective = (...values: Tensor[]) => {
        outputs = body({ ...all, ...named(by, values) });
        return cotangents
          .map((output) => tf.sum(tf.mul(outputs[output], all[cotangentOf(output)])))
          .reduce((sum, term) => tf.add(sum, term));
      };
      const { grads } = tf.valueAndGrads(objective as never)(by.map((input) => all[input]));
      return { ...outputs, ...named(by.map(gradientOf), grads) };
    });
    const { forwardGraph, backwardGraph, residuals } = cut(
      whole,
      [...shapes.keys()],
      new Set(Object.keys(cotangentShapes)),
    );
    const [forwardSession, backwardSession] = [
      await this.#session(forwardGraph),
      await this.#session(backwardGraph),
    ];
    return {
      matrixFlops: matrixFlops(forwardGraph) + matrixFlops(backwardGraph),
      tape: () => ({ outputs: arrays(shapes), residuals: arrays(residuals) }),
      forward: (given, tape) => runSession(forwardSession, given, { ...tape.outputs, ...tape.residuals }),
      backward: (given, derivatives, tape, outputs) =>
        runSession(
          backwardSession,
          { ...given, ...renamed(derivatives, cotangentOf), ...tape.residuals },
          outputs,
        ),
    };
  }

  #graph(name: string, inputs: Shapes, body: ProgramSource['body']): Graph {
    return simplify(trace(name, inputs, body, this.#options.dumpDirectory !== undefined));
  }

  async #session(graph: Graph): Promise<InferenceSession> {
    const { threads, device, dumpDirectory } = this.#options;
    const model = toModel(graph);
    if (dumpDirectory !== undefined) {
      makeDirectory(dumpDirectory);
      const file = join(dumpDirectory, graph.name.replaceAll(/[^\w.-]+/g, '-'));
      writeFileSync(`${file}.txt`, dump(graph));
      writeFileSync(`${file}.onnx`, model);
    }
    try {
      return await InferenceSession.create(model, {
        executionProviders: device === 'cuda' ? ['cuda'] : ['cpu'],
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        graphOptimizationLevel: 'all',
        logSeverityLevel: 4,
        // Several sessions take turns: one that has finished must not keep a core spinning.
        extra: { session: { force_spinning_stop: '1', set_denormal_as_zero: '1' } },
      });
    } catch (error) {
      if (device === 'cuda') {
        throw new UsageError(
          `--device cuda: ONNX Runtime cannot use CUDA here (${messageOf(error)}); install its CUDA libraries (npm rebuild onnxruntime-node with ONNXRUNTIME_NODE_INSTALL_CUDA=v12) or use --device cpu`,
        );
      }
      throw error;
    }
  }
}

async function runSession(session: InferenceSession, inputs: NdArrays, outputs: NdArrays): Promise<void> {
  const feeds: Record<string, NdArray['ort']> = {};
  for (const name of session.inputNames) {
    const array = inputs[name];
    if (!array) throw new Error(`input '${name}' is missing`);
    feeds[name] = array.ort;
  }
  const fetches: Record<string, NdArray['ort']> = {};
  for (const name of session.outputNames) fetches[name] = outputs[name].ort;
  await session.run(feeds, fetches);
}

/** These only move numbers: done again in the backward part, they need not be kept. */
const MOVES = new Set(['Transpose', 'Reshape', 'Expand']);

/**
 * Cuts a graph in two, joined by the values that cross (residuals). All that does not depend on a cotangent is done
 * forward, where its operands are in the cache: a product of several values then crosses as one.
 */
function cut(graph: Graph, forwardOutputs: readonly string[], cotangents: ReadonlySet<string>) {
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
    ![INPUT, CONSTANT].includes(value.op) &&
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

/** The same programs run kernel by kernel on TensorFlow.js's current backend: slow, and the reference. */
export class EagerEngine implements Engine {
  readonly kind = 'eager';

  async program({ inputs, body }: ProgramSource): Promise<Program> {
    return {
      matrixFlops: 0,
      outputs: () => arrays(outputShapes(trace('shapes', inputs, body))),
      run: async (given, outputs) => tf.tidy(() => store(body(tensors(inputs, given)), outputs)),
    };
  }

  async differentiable(source: DifferentiableSource): Promise<Differentiable> {
    const { inputs, body, cotangents, by } = source;
    const forward = await this.program(source);
    return {
      matrixFlops: 0,
      tape: () => ({ outputs: forward.outputs(), residuals: {} }),
      forward: (given, tape) => forward.run(given, tape.outputs),
      backward: async (given, derivatives, _tape, outputs) =>
        tf.tidy(() => {
          const all = tensors(inputs, given);
          const weights = Object.fromEntries(
            cotangents.map((output) => [
              output,
              tf.tensor(derivatives[output].data, [...derivatives[output].shape]),
            ]),
          );
          const objective = (...values: Tensor[]) => {
            const made = body({ ...all, ...named(by, values) });
            return cotangents
              .map((output) => tf.sum(tf.mul(made[output], weights[output])))
              .reduce((sum, term) => tf.add(sum, term));
          };
          const { grads } = tf.valueAndGrads(objective as never)(by.map((input) => all[input]));
          store(named(by.map(gradientOf), grads), outputs);
        }),
    };
  }
}

/** Copies of the elements, because TensorFlow.js keeps a reference to what it is given. */
function tensors(shapes: Shapes, given: NdArrays): Tensors {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, tf.tensor(given[name].data.slice(), [...shape])]),
  );
}

function store(values: Tensors, outputs: NdArrays): void {
  for (const [name, tensor] of Object.entries(values))
    outputs[name].data.set(tensor.dataSync() as Float32Array);
}

function named(names: readonly string[], values: readonly Tensor[]): Tensors {
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}

function renamed(given: NdArrays, rename: (name: string) => string): NdArrays {
  return Object.fromEntries(Object.entries(given).map(([name, array]) => [rename(name), array]));
}

/** Puts TensorFlow.js on CUDA when `@tensorflow/tfjs-node-gpu` is installed and works, else on its own CPU backend. */
export async function selectEagerBackend(): Promise<string> {
  try {
    const name: string = '@tensorflow/tfjs-node-gpu';
    await import(name);
  } catch {
    tf.setBackend('cpu');
  }
  await tf.ready();
  return tf.getBackend();
}
