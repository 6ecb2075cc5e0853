// Runs programs: compiled to ONNX Runtime, or eagerly by TensorFlow.js as the reference, from the same source.

import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { makeDirectory } from '../../contract/directory.js';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import { Turns } from '../turns.js';
import { gradientOf, type NdArray, type NdArrays } from './array.js';
import { Blocks, cutIntoBlocks, makeArrays, type Placement, type Shapes } from './blocks.js';
import { matrixFlops, secondsOf } from './cost.js';
import { cut } from './cut.js';
import { dump } from './dump.js';
import { type Graph, toModel, type Value } from './graph.js';
import './kernels.js';
import type { Device } from './session.js';
import { simplify } from './simplify.js';
import { type Tensor, type Tensors, tf } from './tf.js';
import { trace } from './trace.js';

export type { Shapes } from './blocks.js';

/** A computation from named inputs to named outputs, written in TensorFlow.js. Output names differ from input names. */
export interface ProgramSource {
  name: string;
  inputs: Shapes;
  body: (inputs: Tensors) => Tensors;
  /**
   * Inputs and outputs that threads may share out: each computes a block of their first axes with all of the other
   * inputs, and outputs that are not named are the sum of what the blocks make of them. A gradient is named by its
   * input. The body takes its shapes from its inputs.
   */
  split?: readonly string[];
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
  /** Of each block. */
  readonly residuals: readonly NdArrays[];
}

export interface Engine {
  readonly kind: 'compiled' | 'eager';
  program(source: ProgramSource): Promise<Program>;
  differentiable(source: DifferentiableSource): Promise<Differentiable>;
}

export interface CompiledOptions {
  /** Threads that share a program's blocks. */
  threads: number;
  device: Device;
  /** Write each program's table and ONNX file into this directory. */
  dumpDirectory?: string;
}

/** The name of the input that carries the derivative by an output. */
function cotangentOf(output: string): string {
  return `d ${output}`;
}

/** A block of less work than this, by a rough estimate, is done before another thread has taken it up. */
const LEAST_SECONDS = 30e-6;

/** Programs traced, simplified, and run by ONNX Runtime. */
export class CompiledEngine implements Engine {
  readonly kind = 'compiled';
  readonly #options: CompiledOptions;

  constructor(options: CompiledOptions) {
    this.#options = options;
  }

  async program({ name, inputs, body, split = [] }: ProgramSource): Promise<Program> {
    // Of many programs each may take a second: signals are heard between them.
    await setImmediate();
    const cutNames = new Set(split.flatMap((each) => [each, gradientOf(each)]));
    const graphs = this.#cut(name, inputs, cutNames, body).map((shapes) => this.#graph(name, shapes, body));
    const blocks = await this.#load(graphs, (each) => (cutNames.has(each) ? 'cut' : 'whole'));
    const outputs = [...graphs[0].outputs.keys()];
    return {
      matrixFlops: sum(graphs.map(matrixFlops)),
      outputs: () => makeArrays(outputs.map((each) => [each, blocks.shapes[each]])),
      run: async (given, wanted) => blocks.run(given, wanted),
    };
  }

  async differentiable(source: DifferentiableSource): Promise<Differentiable> {
    await setImmediate();
    const { name, inputs, body, cotangents, by, split = [] } = source;
    const cutNames = new Set(split.flatMap((each) => [each, cotangentOf(each), gradientOf(each)]));
    const halves = this.#cut(name, inputs, cutNames, body).map((shapes) => {
      const outputs = this.#graph(name, shapes, body).outputs;
      const seeds = cotangents.map((output) => [cotangentOf(output), (outputs.get(output) as Value).shape]);
      const whole = this.#graph(name, { ...shapes, ...Object.fromEntries(seeds) }, (all) => {
        let outputs: Tensors = {};
        const objective = (...values: Tensor[]) => {
          outputs = body({ ...all, ...named(by, values) });
          return cotangents
            .map((output) => tf.sum(tf.mul(outputs[output], all[cotangentOf(output)])))
            .reduce((total, term) => tf.add(total, term));
        };
        const { grads } = tf.valueAndGrads(objective as never)(by.map((input) => all[input]));
        return { ...outputs, ...named(by.map(gradientOf), grads) };
      });
      return cut(whole, [...outputs.keys()], new Set(cotangents.map(cotangentOf)));
    });
    const residuals = new Set(halves[0].residuals.map(([each]) => each));
    const placement = (each: string) => (residuals.has(each) ? 'own' : cutNames.has(each) ? 'cut' : 'whole');
    const forward = await this.#load(
      halves.map(({ forwardGraph }) => forwardGraph),
      placement,
    );
    const backward = await this.#load(
      halves.map(({ backwardGraph }) => backwardGraph),
      placement,
    );
    const outputs = [...halves[0].forwardGraph.outputs.keys()].filter((each) => !residuals.has(each));
    return {
      matrixFlops: sum(
        halves.map(
          ({ forwardGraph, backwardGraph }) => matrixFlops(forwardGraph) + matrixFlops(backwardGraph),
        ),
      ),
      tape: () => ({
        outputs: makeArrays(outputs.map((each) => [each, forward.shapes[each]])),
        residuals: halves.map((half) => makeArrays(half.residuals)),
      }),
      forward: async (given, tape) => forward.run(given, tape.outputs, tape.residuals),
      backward: async (given, derivatives, tape, wanted) =>
        backward.run({ ...given, ...renamed(derivatives, cotangentOf) }, wanted, tape.residuals),
    };
  }

  /** The shapes of each block. */
  #cut(name: string, inputs: Shapes, split: ReadonlySet<string>, body: ProgramSource['body']): Shapes[] {
    const { threads, device } = this.#options;
    if (threads === 1 || device === 'cuda' || split.size === 0) return [inputs];
    const blocks = Math.floor(secondsOf(this.#graph(name, inputs, body)) / LEAST_SECONDS);
    return cutIntoBlocks(inputs, split, Math.max(1, Math.min(threads, blocks)));
  }

  #graph(name: string, inputs: Shapes, body: ProgramSource['body']): Graph {
    return simplify(trace(name, inputs, body, this.#options.dumpDirectory !== undefined));
  }

  async #load(graphs: readonly Graph[], placement: Placement): Promise<Blocks> {
    const { device, dumpDirectory } = this.#options;
    if (dumpDirectory !== undefined) {
      makeDirectory(dumpDirectory);
      const [graph] = graphs;
      const file = join(dumpDirectory, graph.name.replaceAll(/[^\w.-]+/g, '-'));
      askedBy('--dump', () => {
        writeWhole(`${file}.txt`, dump(graph));
        writeWhole(`${file}.onnx`, toModel(graph));
      });
    }
    return Blocks.load(graphs, placement, device);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** The same programs run kernel by kernel on TensorFlow.js's current backend: slow, and the reference. */
export class EagerEngine implements Engine {
  readonly kind = 'eager';
  readonly #turns: Turns;

  /** @param stop its reason is thrown by what runs after it has aborted */
  constructor(stop?: AbortSignal) {
    this.#turns = new Turns(stop);
  }

  async program({ inputs, body }: ProgramSource): Promise<Program> {
    return {
      matrixFlops: 0,
      outputs: () => {
        const { outputs } = trace('shapes', inputs, body);
        return makeArrays([...outputs].map(([name, { shape }]) => [name, shape]));
      },
      run: async (given, outputs) => {
        await this.#turns.pass();
        tf.tidy(() => store(body(tensors(inputs, given)), outputs));
      },
    };
  }

  async differentiable(source: DifferentiableSource): Promise<Differentiable> {
    const { inputs, body, cotangents, by } = source;
    const forward = await this.program(source);
    return {
      matrixFlops: 0,
      tape: () => ({ outputs: forward.outputs(), residuals: [] }),
      forward: async (given, tape) => forward.run(given, tape.outputs),
      backward: async (given, derivatives, _tape, outputs) => {
        await this.#turns.pass();
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
        });
      },
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
