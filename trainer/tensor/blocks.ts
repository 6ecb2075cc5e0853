// A program on several threads: arrays are cut along their first axis, and each thread computes its block of them.
import { NdArray, type NdArrays, type Part } from './array.js';
import { apply, type Graph, inputValue, type Shape, sizeOf, toModel, type Value } from './graph.js';
import { lower, type Slot } from './lower.js';
import { type Device, type Job, runTogether, Session } from './session.js';
import { type Thread, threadsBeside } from './threads.js';

export type Shapes = Readonly<Record<string, Shape>>;

/**
 * What each block sees of arrays of these shapes when those in `split` are cut along their first axis, as evenly as
 * goes: at most `most` blocks, and fewer when axes of different lengths cannot be cut alike.
 */
export function cutIntoBlocks(shapes: Shapes, split: ReadonlySet<string>, most: number): Shapes[] {
  const lengths = Object.keys(shapes)
    .filter((name) => split.has(name))
    .map((name) => shapes[name][0]);
  if (lengths.length === 0) return [shapes];
  const alike = lengths.every((length) => length === lengths[0]);
  let count = Math.min(most, ...lengths);
  while (!alike && lengths.some((length) => length % count !== 0)) count--;
  return Array.from({ length: count }, (_, i) =>
    mapShapes(shapes, (name, [length, ...rest]) => {
      if (!split.has(name)) return shapes[name];
      const [begin, end] = [i, i + 1].map((at) => Math.floor((length * at) / count));
      return [end - begin, ...rest];
    }),
  );
}

function mapShapes(shapes: Shapes, map: (name: string, shape: Shape) => Shape): Shapes {
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, map(name, shape)]));
}

/**
 * What becomes of a name in each block: `cut` gives it the block's part of an array; `whole` gives all blocks the same
 * input, and sums what they put out; `own` is an array of the block's own.
 */
export type Placement = (name: string) => 'cut' | 'whole' | 'own';

interface Lane {
  job: Job;
  inputs: readonly Slot[];
  outputs: readonly Slot[];
  /** Where this block's terms of sums go; the first block's go to where the sum is wanted. */
  terms: NdArrays;
}

/** The graphs of a program's blocks, which run at the same time. One run after the other. */
export class Blocks {
  /** Of inputs and outputs as a whole. */
  readonly shapes: Shapes;
  readonly #lanes: Lane[];
  readonly #jobs: readonly Job[];
  readonly #sums: readonly string[];
  readonly #threads: readonly Thread[];
  readonly #add?: Job;

  static async load(graphs: readonly Graph[], placement: Placement, device: Device): Promise<Blocks> {
    return new Blocks(graphs, placement, device, await threadsBeside(graphs.length - 1));
  }

  private constructor(
    graphs: readonly Graph[],
    placement: Placement,
    device: Device,
    threads: readonly Thread[],
  ) {
    this.#threads = threads;
    const whole: Record<string, Shape> = {};
    const sessions = new Map<string, Session>();
    const names = [...graphs[0].outputs.keys()];
    this.#sums = graphs.length > 1 ? names.filter((name) => placement(name) === 'whole') : [];
    this.#lanes = graphs.map((graph, i) => {
      const parts: Record<string, Part> = {};
      for (const [name, { shape }] of [...graph.inputs, ...graph.outputs]) {
        const [length, ...rest] = shape;
        const before = whole[name]?.[0] ?? 0;
        if (placement(name) === 'cut') parts[name] = { start: before * sizeOf(rest), shape };
        whole[name] = parts[name] ? [before + length, ...rest] : shape;
      }
      const { graph: lowered, inputs, outputs } = lower(graph);
      const key = JSON.stringify([...graph.inputs.values()].map(({ shape }) => shape));
      if (!sessions.has(key)) sessions.set(key, sessionOf(lowered, device));
      const inBlock = ({ of, part }: Slot): Slot => {
        const { start, shape } = parts[of] ?? { start: 0, shape: undefined };
        return { of, part: part ? { start: start + part.start, shape: part.shape } : shape && parts[of] };
      };
      return {
        job: (sessions.get(key) as Session).job(),
        inputs: inputs.map(inBlock),
        outputs: outputs.map(inBlock),
        terms: i === 0 ? {} : makeArrays(this.#sums.map((name) => [name, whole[name]])),
      };
    });
    this.shapes = whole;
    this.#jobs = this.#lanes.map(({ job }) => job);
    if (this.#sums.length > 0)
      this.#add = sessionOf(additions(this.#sums, whole, graphs.length), device).job();
  }

  /** How many blocks there are. */
  get count(): number {
    return this.#lanes.length;
  }

  /** @param own for each block, the arrays of its own */
  run(inputs: NdArrays, outputs: NdArrays, own: readonly NdArrays[] = []): void {
    for (const [i, { job, ...lane }] of this.#lanes.entries()) {
      const arrays = (slots: readonly Slot[], given: NdArrays, kind: string) =>
        slots.map(({ of, part }) => {
          const array = own[i]?.[of] ?? given[of];
          if (!array) throw new Error(`${kind} '${of}' is missing`);
          return part ? array.part(part) : array;
        });
      const wanted = i === 0 ? outputs : { ...outputs, ...lane.terms };
      job.set(arrays(lane.inputs, inputs, 'input'), arrays(lane.outputs, wanted, 'output'));
    }
    runTogether(this.#jobs, this.#threads);
    if (!this.#add) return;
    const sums = this.#sums.map((name) => outputs[name]);
    const terms = this.#lanes.slice(1).flatMap((lane) => this.#sums.map((name) => lane.terms[name]));
    this.#add.set([...sums, ...terms], sums);
    runTogether([this.#add]);
  }
}

function sessionOf(graph: Graph, device: Device): Session {
  return new Session(toModel(graph), [...graph.inputs.keys()], [...graph.outputs.keys()], device);
}

export function makeArrays(shapes: Iterable<readonly [string, Shape]>): Record<string, NdArray> {
  return Object.fromEntries([...shapes].map(([name, shape]) => [name, new NdArray(shape)]));
}

/** The sums of what `count` blocks put out, block after block; in place is safe, element by element. */
function additions(names: readonly string[], shapes: Shapes, count: number): Graph {
  const terms = Array.from({ length: count }, (_, i) =>
    names.map((name) => inputValue(`${name}, block ${i}`, shapes[name])),
  );
  const sum = (values: readonly Value[]) => values.reduce((a, b) => apply('Add', [a, b], a.shape));
  return {
    name: 'sums over blocks',
    inputs: new Map(terms.flat().map((value) => [value.name as string, value])),
    outputs: new Map(names.map((name, k) => [name, sum(terms.map((block) => block[k]))])),
  };
}
