// Arrays that live outside any program: preallocated, read and written in place by whatever runs the program.
import { type Shape, sizeOf } from './graph.js';
import { tensorOn } from './ortTensor.js';

/** Where a smaller array lies in a larger one: so many elements after its beginning. */
export interface Part {
  readonly start: number;
  readonly shape: Shape;
}

/** A float32 array with a shape, row-major. Programs read and write `data` itself; nothing is copied. */
export class NdArray {
  readonly shape: Shape;
  readonly data: Float32Array;
  #tensor?: bigint;
  #parts?: WeakMap<Part, NdArray>;

  constructor(shape: Shape, data: Float32Array<ArrayBufferLike> = new Float32Array(sizeOf(shape))) {
    this.shape = shape;
    this.data = data;
  }

  static scalar(value: number): NdArray {
    return new NdArray([], Float32Array.of(value));
  }

  /** The same memory as ONNX Runtime takes it, for as long as this array lives. */
  get tensor(): bigint {
    this.#tensor ??= tensorOn(this);
    return this.#tensor;
  }

  /** A part of it, on the same memory; the same one for the same `part`. */
  part(part: Part): NdArray {
    this.#parts ??= new WeakMap();
    let array = this.#parts.get(part);
    if (!array) {
      array = new NdArray(part.shape, this.data.subarray(part.start, part.start + sizeOf(part.shape)));
      this.#parts.set(part, array);
    }
    return array;
  }
}

/** Arrays by the name of the program's input or output that they are for. */
export type NdArrays = Readonly<Record<string, NdArray>>;

/** The program's output that holds the derivative by its input `name`. */
export function gradientOf(name: string): string {
  return `gradient ${name}`;
}

/** Arrays begin at multiples of this many floats: a cache line. */
const ALIGNMENT = 16;

/**
 * The parameters of a network, one after another in a single memory, and so are their gradients and moments: programs
 * read and write each by name, an optimiser walks over all at once.
 */
export class Parameters {
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly flat: NdArray;
  readonly gradient: NdArray;
  /** First and second moment, for Adam. */
  readonly m: NdArray;
  readonly v: NdArray;
  /** Optimiser steps taken. */
  steps = 0;
  /** Views on `flat`, by name. */
  readonly arrays: NdArrays;
  /** Views on `gradient`, by the names that `gradientOf` gives. */
  readonly gradients: NdArrays;

  constructor(shapes: Readonly<Record<string, Shape>>) {
    this.shapes = shapes;
    const starts = new Map<string, number>();
    let end = 0;
    for (const [name, shape] of Object.entries(shapes)) {
      starts.set(name, end);
      end += Math.ceil(sizeOf(shape) / ALIGNMENT) * ALIGNMENT;
    }
    const memory = () => new NdArray([end]);
    [this.flat, this.gradient, this.m, this.v] = [memory(), memory(), memory(), memory()];
    const views = (whole: NdArray, rename: (name: string) => string) =>
      Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => {
          const start = starts.get(name) as number;
          return [rename(name), new NdArray(shape, whole.data.subarray(start, start + sizeOf(shape)))];
        }),
      );
    this.arrays = views(this.flat, (name) => name);
    this.gradients = views(this.gradient, gradientOf);
  }

  /** Sets the arrays that `values` names. */
  assign(values: Readonly<Record<string, Float32Array>>): void {
    for (const [name, data] of Object.entries(values)) this.arrays[name].data.set(data);
  }
}
