// Arrays that live outside any program: preallocated, read and written in place by whatever runs the program.
import { Tensor } from 'onnxruntime-node';
import { type Shape, sizeOf } from './graph.js';

/** A float32 array with a shape, row-major. Programs read and write `data` itself; nothing is copied. */
export class NdArray {
  readonly shape: Shape;
  readonly data: Float32Array;
  /** The same memory as ONNX Runtime takes it. */
  readonly ort: Tensor;

  constructor(shape: Shape, data: Float32Array<ArrayBufferLike> = new Float32Array(sizeOf(shape))) {
    this.shape = shape;
    this.data = data;
    this.ort = new Tensor('float32', data, shape);
  }

  static scalar(value: number): NdArray {
    return new NdArray([], Float32Array.of(value));
  }
}

/** Arrays by the name of the program's input or output that they are for. */
export type NdArrays = Readonly<Record<string, NdArray>>;

/** The output that carries the new value of the state array `name`. */
export function updated(name: string): string {
  return `${name}'`;
}

/**
 * Arrays that a program reads and replaces, such as parameters and their Adam moments. Each exists twice: a run reads
 * the one and writes the other, then they change places, so that no run copies its state or overwrites what it still
 * has to read.
 */
export class State {
  readonly shapes: Readonly<Record<string, Shape>>;
  #current: Record<string, NdArray>;
  #next: Record<string, NdArray>;

  /** @param initial every array's first elements, by name; these memories are used, not copied */
  constructor(shapes: Readonly<Record<string, Shape>>, initial: Readonly<Record<string, Float32Array>> = {}) {
    this.shapes = shapes;
    const make = (data?: Readonly<Record<string, Float32Array>>) =>
      Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => [name, new NdArray(shape, data?.[name])]),
      );
    this.#current = make(initial);
    this.#next = make();
  }

  /** What a run reads. */
  get current(): NdArrays {
    return this.#current;
  }

  /** Where a run writes, by the names that `updated` gives. */
  get targets(): NdArrays {
    return Object.fromEntries(Object.entries(this.#next).map(([name, array]) => [updated(name), array]));
  }

  /** After a run: what it wrote becomes current. */
  advance(): void {
    [this.#current, this.#next] = [this.#next, this.#current];
  }

  /** Overwrites the current arrays that `values` names. */
  assign(values: Readonly<Record<string, Float32Array>>): void {
    for (const [name, data] of Object.entries(values)) this.#current[name]?.data.set(data);
  }
}
