// ONNX Runtime's C interface (onnxruntime_c_api.h), for the controller's loop and for the trainer's engine.
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi, { type LibraryHandle } from 'koffi';
import { FarsightError, messageOf } from './errors.js';

// The package's own interface computes on the calling thread behind a promise, which a thread that never returns to
// its event loop does not get, and its native binding makes about 1 kB of garbage a run.

/** Version of the table of functions that is asked for; every later runtime still has it, at the same places. */
const API_VERSION = 17;
/** Places in that table, fixed for good. */
export const API = {
  GetErrorMessage: 2,
  CreateEnv: 3,
  CreateSessionFromArray: 8,
  Run: 9,
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
  CreateAndRegisterAllocator: 144,
  length: 145,
} as const;
/** It logs nothing: what fails comes back as a status, whose text is thrown. */
const LOG_FATAL = 4;
export const FLOAT32 = 1;
/** OrtDeviceAllocator, OrtMemTypeDefault. */
export const CPU_MEMORY = [0, 0];
/** OrtArenaAllocator, OrtMemTypeDefault. */
export const CPU_ARENA = [1, 0];

/** A pointer, or an argument that C takes as one. */
export type Address = bigint | null;
export type Argument = Address | number | string | ArrayBufferView;
export type Parameter = 'void *' | 'const char *' | 'int' | 'size_t';

/** A function of the library. */
export type Bare = (...given: readonly Argument[]) => Address;

/** Of `Run`: session, options, names and values of the inputs, how many, names of the outputs, how many, their values. */
export const RUN_PARAMETERS: Parameter[] = [
  ...(['void *', 'void *', 'void *', 'void *', 'size_t', 'void *', 'size_t', 'void *'] as const),
];

export interface Runtime {
  /** Calls a function that answers with a status; throws its message when that is an error. */
  call(place: number, parameters: Parameter[], ...given: Argument[]): void;
  /** The same for a function whose last parameter is where it puts a new object. */
  make(place: number, parameters: Parameter[], ...given: Argument[]): Address;
  release(place: number, object: Address): void;
  /** The function at `place`, for calling it often; what it returns goes to `check`. */
  bare(place: number, parameters: Parameter[]): Bare;
  /** A function that the library has outside of the table. */
  exported(name: string, parameters: Parameter[]): Bare;
  check(status: Address): void;
  environment: Address;
}

/** Held for good: a library that is garbage collected is unloaded, under those who have pointers into it. */
let library: LibraryHandle | undefined;
let loaded: Runtime | undefined;

/** Loads the library that the package `onnxruntime-node` brings for this system, once. */
export function runtime(): Runtime {
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
    exported: (name, parameters) => (library as LibraryHandle).func(name, 'void *', parameters) as Bare,
    call: (place, parameters, ...given) => check(at(place, 'void *', parameters)(...given)),
    make(place, parameters, ...given) {
      self.call(place, [...parameters, 'void *'], ...given, made);
      return made[0];
    },
    release: (place, object) => at(place, 'void', ['void *'])(object),
    environment: null,
  };
  self.environment = self.make(API.CreateEnv, ['int', 'const char *'], LOG_FATAL, 'farsight');
  return self;
}
