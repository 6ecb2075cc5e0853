// A compiled graph in ONNX Runtime: loaded once, run on the calling thread or beside it.
import koffi from 'koffi';
import { messageOf, UsageError } from '../../contract/errors.js';
import {
  type Address,
  API,
  CPU_MEMORY,
  FLOAT32,
  type Parameter,
  runtime,
} from '../../contract/onnxRuntime.js';
import type { NdArray } from './array.js';

export type Device = 'cpu' | 'cuda';

const LOG_FATAL = 4;
const RUN: Parameter[] = ['void *', 'void *', 'void *', 'void *', 'size_t', 'void *', 'size_t', 'void *'];
const TENSOR: Parameter[] = ['void *', 'void *', 'size_t', 'void *', 'size_t', 'int', 'void *'];

/** The functions that are called often, and what each call of them needs. */
let native: ReturnType<typeof load> | undefined;
function load() {
  const ort = runtime();
  return {
    ort,
    run: ort.bare(API.Run, RUN),
    makeTensor: ort.bare(API.CreateTensorWithDataAsOrtValue, TENSOR),
    memory: ort.make(API.CreateCpuMemoryInfo, ['int', 'int'], ...CPU_MEMORY),
    releaseTensor: ort.bare(API.ReleaseValue, ['void *']),
  };
}
function loaded() {
  native ??= load();
  return native;
}

const freeTensors = new FinalizationRegistry<bigint>((tensor) => loaded().releaseTensor(tensor));
const freeSessions = new FinalizationRegistry<Address>((session) =>
  runtime().release(API.ReleaseSession, session),
);

/** An ONNX Runtime tensor on an array's memory, which stays where it is; released when the array is collected. */
export function tensorOn(array: NdArray): bigint {
  const { ort, makeTensor, memory } = loaded();
  const { data, shape } = array;
  // A short array lies in the garbage-collected heap until its buffer is asked for.
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const dimensions = BigInt64Array.from(shape, BigInt);
  const made = new BigUint64Array(1);
  ort.check(makeTensor(memory, bytes, data.byteLength, dimensions, shape.length, FLOAT32, made));
  freeTensors.register(array, made[0]);
  return made[0];
}

/** One graph, its inputs and outputs in a fixed order. Several runs at once are allowed. */
export class Session {
  readonly #session: Address;
  readonly #inputs: NamePointers;
  readonly #outputs: NamePointers;

  /** Throws a UsageError when the device is not there. */
  constructor(model: Uint8Array, inputs: readonly string[], outputs: readonly string[], device: Device) {
    const { ort } = loaded();
    this.#inputs = new NamePointers(inputs);
    this.#outputs = new NamePointers(outputs);
    const options = ort.make(API.CreateSessionOptions, []);
    try {
      ort.call(API.SetIntraOpNumThreads, ['void *', 'int'], options, 1);
      ort.call(API.SetInterOpNumThreads, ['void *', 'int'], options, 1);
      ort.call(API.SetSessionLogSeverityLevel, ['void *', 'int'], options, LOG_FATAL);
      const entry: Parameter[] = ['void *', 'const char *', 'const char *'];
      ort.call(API.AddSessionConfigEntry, entry, options, 'session.set_denormal_as_zero', '1');
      if (device === 'cuda') useCuda(options);
      const create: Parameter[] = ['void *', 'void *', 'size_t', 'void *'];
      this.#session = ort.make(
        API.CreateSessionFromArray,
        create,
        ort.environment,
        model,
        model.length,
        options,
      );
    } finally {
      ort.release(API.ReleaseSessionOptions, options);
    }
    freeSessions.register(this, this.#session);
  }

  /** Computes the outputs on the calling thread. */
  run(inputs: readonly NdArray[], outputs: readonly NdArray[]): void {
    const { ort, run } = loaded();
    const status = run(...this.#given(inputs, outputs));
    if (status) ort.check(status);
  }

  /** Computes the outputs on a thread of Node's pool, which has four unless UV_THREADPOOL_SIZE says otherwise. */
  runBeside(inputs: readonly NdArray[], outputs: readonly NdArray[]): Promise<void> {
    const { ort, run } = loaded();
    return new Promise((resolve, reject) => {
      const given = this.#given(inputs, outputs);
      const done = (error: unknown, status: Address) => {
        try {
          if (error) throw error;
          ort.check(status);
          // The arrays, and the pointers to them, had to live until here.
          resolve(void [this, inputs, outputs, given]);
        } catch (problem) {
          reject(problem);
        }
      };
      run.async(...given, done);
    });
  }

  #given(inputs: readonly NdArray[], outputs: readonly NdArray[]) {
    return [
      this.#session,
      null,
      this.#inputs.pointers,
      pointersTo(inputs),
      inputs.length,
      this.#outputs.pointers,
      outputs.length,
      pointersTo(outputs),
    ] as const;
  }
}

function pointersTo(arrays: readonly NdArray[]): BigUint64Array {
  // Given its buffer, even a short array lies outside the heap: a run beside must find it where it was.
  const pointers = new BigUint64Array(new ArrayBuffer(8 * arrays.length));
  for (let i = 0; i < arrays.length; i++) pointers[i] = arrays[i].tensor;
  return pointers;
}

/** Names as C strings, and where they lie. */
class NamePointers {
  readonly pointers: BigUint64Array;
  readonly text: Uint8Array;

  constructor(names: readonly string[]) {
    const strings = names.map((name) => Buffer.from(`${name}\0`));
    this.text = new Uint8Array(new ArrayBuffer(strings.reduce((sum, { length }) => sum + length, 0)));
    this.pointers = new BigUint64Array(new ArrayBuffer(8 * names.length));
    const beginning = koffi.address(this.text) as bigint;
    let length = 0;
    for (const [i, string] of strings.entries()) {
      this.text.set(string, length);
      this.pointers[i] = BigInt(beginning) + BigInt(length);
      length += string.length;
    }
  }
}

function useCuda(options: Address): void {
  const { ort } = loaded();
  try {
    const append = ort.exported('OrtSessionOptionsAppendExecutionProvider_CUDA', ['void *', 'int']);
    ort.check(append(options, 0));
  } catch (error) {
    throw new UsageError(
      `--device cuda: ONNX Runtime cannot use CUDA here (${messageOf(error)}); install its CUDA libraries (npm rebuild onnxruntime-node with ONNXRUNTIME_NODE_INSTALL_CUDA=v12) or use --device cpu`,
    );
  }
}
