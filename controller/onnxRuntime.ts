// ONNX Runtime through its C interface (onnxruntime_c_api.h): a run that is synchronous and leaves no garbage.
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi, { type LibraryHandle } from 'koffi';
import { FarsightError, messageOf } from '../contract/errors.js';

// The package's own interface answers by a promise, which a thread that never returns to its event loop does not get,
// and its native binding makes about 1 kB of garbage a run.

/** Version of the table of functions that is asked for; every later runtime still has it, at the same places. */
const API_VERSION = 17;
/** Places in that table, fixed for good. */
const API = {
  GetErrorMessage: 2,
  CreateEnv: 3,
  CreateSessionFromArray: 8,
  CreateSessionOptions: 10,
  SetIntraOpNumThreads: 24,
  SetInterOpNumThreads: 25,
  CreateTensorWithDataAsOrtValue: 49,
  CreateCpuMemoryInfo: 69,
  ReleaseStatus: 93,
  ReleaseMemoryInfo: 94,
  ReleaseSession: 95,
  ReleaseValue: 96,
  ReleaseSessionOptions: 100,
  AddSessionConfigEntry: 130,
  RunWithBinding: 133,
  CreateIoBinding: 134,
  ReleaseIoBinding: 135,
  BindInput: 136,
  BindOutput: 137,
  length: 138,
} as const;
const LOG_ERRORS = 3;
const FLOAT32 = 1;
/** OrtDeviceAllocator, OrtMemTypeDefault. */
const CPU_MEMORY = [0, 0];

/** A pointer, or an argument that C takes as one. */
type Address = bigint | null;
type Argument = Address | number | string | ArrayBufferView;
type Parameter = 'void *' | 'const char *' | 'int' | 'size_t';

interface Runtime {
  /** Calls a function that answers with a status; throws its message when that is an error. */
  call(place: number, parameters: Parameter[], ...given: Argument[]): void;
  /** The same for a function whose last parameter is where it puts a new object. */
  make(place: number, parameters: Parameter[], ...given: Argument[]): Address;
  release(place: number, object: Address): void;
  /** The function at `place`, for calling it often; what it returns goes to `check`. */
  bare(place: number, parameters: Parameter[]): (...given: Argument[]) => Address;
  check(status: Address): void;
  environment: Address;
}

/** Held for good: a library that is garbage collected is unloaded, under those who have pointers into it. */
let library: LibraryHandle | undefined;
let loaded: Runtime | undefined;

/** Loads the library that the package `onnxruntime-node` brings for this system, once. */
function runtime(): Runtime {
  loaded ??= load();
  return loaded;
}

function load(): Runtime {
  let table: Address[];
  try {
    const home = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
    const folder = join(home, 'bin', 'napi-v6', process.platform, process.arch);
    const file = readdirSync(folder).find((name) => /^(lib)?onnxruntime\.(so|dll|.*dylib)/.test(name));
    if (file === undefined) throw new Error(`no library in ${folder}`);
    library = koffi.load(join(folder, file));
    const base = library.func('void *OrtGetApiBase()')();
    const getApi = koffi.decode(
      koffi.decode(base, koffi.array('void *', 1))[0],
      koffi.proto('void *', ['uint32_t']),
    );
    table = koffi.decode(getApi(API_VERSION), koffi.array('void *', API.length));
  } catch (error) {
    throw new FarsightError(
      `ONNX Runtime's library does not load (${messageOf(error)}); install onnxruntime-node in the version that package.json names`,
    );
  }
  const at = (place: number, result: string, parameters: string[]) =>
    koffi.decode(table[place], koffi.proto(result, parameters));
  const message = at(API.GetErrorMessage, 'const char *', ['void *']);
  const releaseStatus = at(API.ReleaseStatus, 'void', ['void *']);
  const check = (status: Address) => {
    if (!status) return;
    const text = message(status);
    releaseStatus(status);
    throw new Error(text);
  };
  const made = new BigUint64Array(1);
  const self: Runtime = {
    check,
    bare: (place, parameters) => at(place, 'void *', parameters),
    call: (place, parameters, ...given) => check(at(place, 'void *', parameters)(...given)),
    make(place, parameters, ...given) {
      self.call(place, [...parameters, 'void *'], ...given, made);
      return made[0];
    },
    release: (place, object) => at(place, 'void', ['void *'])(object),
    environment: null,
  };
  self.environment = self.make(API.CreateEnv, ['int', 'const char *'], LOG_ERRORS, 'farsight');
  return self;
}

/** A tensor `[1, values.length]` of a model's, by name; the values stay where they are. */
export interface BoundTensor {
  name: string;
  values: Float32Array<ArrayBuffer>;
}

/** A float32 vector in memory that neither moves nor goes away, as a `BoundTensor` needs it. */
export function pinnedVector(length: number): Float32Array<ArrayBuffer> {
  // Given its buffer, even a short array lies outside the garbage-collected heap.
  return new Float32Array(new ArrayBuffer(4 * length));
}

/** A model of one input and one output, bound for good to two vectors. One thread; denormals are 0. */
export class BoundSession {
  readonly #runtime = runtime();
  readonly #run: (...given: Argument[]) => Address;
  readonly #session: Address;
  readonly #binding: Address;
  readonly #values: Address[];
  /** Held, because the session reads and writes their memory. */
  readonly tensors: readonly BoundTensor[];

  /** Throws an `Error` with the runtime's message when it cannot load the model. */
  constructor(model: Uint8Array, input: BoundTensor, output: BoundTensor) {
    const ort = this.#runtime;
    this.tensors = [input, output];
    this.#run = ort.bare(API.RunWithBinding, ['void *', 'void *', 'void *']);
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
    const status = this.#run(this.#session, null, this.#binding);
    if (status) this.#runtime.check(status);
  }

  /** Gives the session's memory back; it cannot run after that. */
  release(): void {
    const ort = this.#runtime;
    ort.release(API.ReleaseIoBinding, this.#binding);
    for (const value of this.#values) ort.release(API.ReleaseValue, value);
    ort.release(API.ReleaseSession, this.#session);
  }
}
