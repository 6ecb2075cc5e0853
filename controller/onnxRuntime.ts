// π₀'s session in the loop: one input, one output, a run that is synchronous and leaves no garbage.
import {
  type Address,
  API,
  type Bare,
  CPU_MEMORY,
  FLOAT32,
  type Parameter,
  runtime,
} from '../contract/onnxRuntime.js';

/** A tensor `[1, values.length]` of a model's, by name; the values stay where they are. */
export interface BoundTensor {
  name: string;
  values: Float32Array;
}

/** A float32 vector in memory that neither moves nor goes away, as a `BoundTensor` needs it. */
export function pinnedVector(length: number): Float32Array<ArrayBuffer> {
  // Given its buffer, even a short array lies outside the garbage-collected heap.
  return new Float32Array(new ArrayBuffer(4 * length));
}

/** A model of one input and one output, bound for good to two vectors. One thread; denormals are 0. */
export class BoundSession {
  readonly #runtime = runtime();
  /** The runtime's function that `run` calls with `addresses`, from any thread; what it returns goes to `check`. */
  readonly bare: Bare;
  readonly #session: Address;
  readonly #binding: Address;
  readonly #values: Address[];
  /** Held, because the session reads and writes their memory. */
  readonly tensors: readonly BoundTensor[];

  /** Throws an `Error` with the runtime's message when it cannot load the model. */
  constructor(model: Uint8Array, input: BoundTensor, output: BoundTensor) {
    const ort = this.#runtime;
    this.tensors = [input, output];
    this.bare = ort.bare(API.RunWithBinding, ['void *', 'void *', 'void *']);
    const options = ort.make(API.CreateSessionOptions, []);
    ort.call(API.SetIntraOpNumThreads, ['void *', 'int'], options, 1);
    ort.call(API.SetInterOpNumThreads, ['void *', 'int'], options, 1);
    ort.call(
      API.AddSessionConfigEntry,
      ['void *', 'const char *', 'const char *'],
      options,
      'session.set_denormal_as_zero',
      '1',
    );
    try {
      this.#session = ort.make(
        API.CreateSessionFromArray,
        ['void *', 'void *', 'size_t', 'void *'],
        ort.environment,
        model,
        model.length,
        options,
      );
    } finally {
      ort.release(API.ReleaseSessionOptions, options);
    }
    const memory = ort.make(API.CreateCpuMemoryInfo, ['int', 'int'], ...CPU_MEMORY);
    this.#values = this.tensors.map(({ values }) =>
      ort.make(
        API.CreateTensorWithDataAsOrtValue,
        ['void *', 'void *', 'size_t', 'void *', 'size_t', 'int'],
        memory,
        values,
        values.byteLength,
        new BigInt64Array([1n, BigInt(values.length)]),
        2,
        FLOAT32,
      ),
    );
    ort.release(API.ReleaseMemoryInfo, memory);
    this.#binding = ort.make(API.CreateIoBinding, ['void *'], this.#session);
    const named: Parameter[] = ['void *', 'const char *', 'void *'];
    ort.call(API.BindInput, named, this.#binding, input.name, this.#values[0]);
    ort.call(API.BindOutput, named, this.#binding, output.name, this.#values[1]);
  }

  /** Computes the output's values from the input's. Throws an `Error` with the runtime's message when it fails. */
  run(): void {
    const status = this.bare(this.#session, null, this.#binding);
    if (status) this.check(status);
  }

  /** Throws an `Error` with the runtime's message for a status that `bare` returned. */
  check = (status: Address): void => this.#runtime.check(status);

  /** Of session and binding, as `bare` takes them. */
  get addresses(): [bigint, bigint] {
    return [this.#session as bigint, this.#binding as bigint];
  }

  /** Gives the session's memory back; it cannot run after that. */
  release(): void {
    const ort = this.#runtime;
    ort.release(API.ReleaseIoBinding, this.#binding);
    for (const value of this.#values) ort.release(API.ReleaseValue, value);
    ort.release(API.ReleaseSession, this.#session);
  }
}
