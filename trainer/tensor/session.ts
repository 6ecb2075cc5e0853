// Compiled graphs in ONNX Runtime: loaded once, run on the calling thread and beside it.
import koffi from 'koffi';
import { messageOf, UsageError } from '../../contract/errors.js';
import {
  type Address,
  API,
  CPU_ARENA,
  type Parameter,
  RUN_PARAMETERS,
  runtime,
} from '../../contract/onnxRuntime.js';
import { INSTALL_CUDA } from '../../contract/packages.js';
import type { NdArray } from './array.js';
import type { Thread } from './threads.js';

export type Device = 'cpu' | 'cuda';

/** The runtime, and its function that is called often. */
let native: ReturnType<typeof load> | undefined;
function load() {
  const ort = runtime();
  // All sessions take their memory from one arena: what one has left in the cache, the next one finds there.
  const arena = ort.make(API.CreateCpuMemoryInfo, ['int', 'int'], ...CPU_ARENA);
  ort.call(API.CreateAndRegisterAllocator, ['void *', 'void *', 'void *'], ort.environment, arena, null);
  ort.release(API.ReleaseMemoryInfo, arena);
  return { ort, run: ort.bare(API.Run, RUN_PARAMETERS) };
}
function loaded() {
  native ??= load();
  return native;
}

const freeSessions = new FinalizationRegistry<Address>((session) =>
  runtime().release(API.ReleaseSession, session),
);

/** One graph, its inputs and outputs in a fixed order. Several runs at once are allowed. */
export class Session {
  readonly #session: Address;
  readonly #inputs: Names;
  readonly #outputs: Names;

  /** Throws a UsageError when the device is not there. */
  constructor(model: Uint8Array, inputs: readonly string[], outputs: readonly string[], device: Device) {
    const { ort } = loaded();
    this.#inputs = new Names(inputs);
    this.#outputs = new Names(outputs);
    const options = ort.make(API.CreateSessionOptions, []);
    try {
      ort.call(API.SetIntraOpNumThreads, ['void *', 'int'], options, 1);
      ort.call(API.SetInterOpNumThreads, ['void *', 'int'], options, 1);
      const entry: Parameter[] = ['void *', 'const char *', 'const char *'];
      ort.call(API.AddSessionConfigEntry, entry, options, 'session.set_denormal_as_zero', '1');
      ort.call(API.AddSessionConfigEntry, entry, options, 'session.use_env_allocators', '1');
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

  /** A job of running it. */
  job(): Job {
    return new Job(this, this.#session as bigint, this.#inputs, this.#outputs);
  }
}

/** One run of a session at a time, with the arrays that it reads and writes. */
export class Job {
  /** The arguments of `Run`. */
  readonly words: readonly bigint[];
  /** Held, because the run needs it. */
  readonly session: Session;
  readonly #inputs: Pointers;
  readonly #outputs: Pointers;
  /** Held, because the run needs them. */
  arrays: readonly (readonly NdArray[])[] = [];

  constructor(session: Session, address: bigint, inputs: Names, outputs: Names) {
    this.session = session;
    const { length: reads } = inputs.pointers;
    const { length: writes } = outputs.pointers;
    [this.#inputs, this.#outputs] = [new Pointers(reads), new Pointers(writes)];
    const [given, wanted] = [this.#inputs.address, this.#outputs.address];
    this.words = [address, 0n, inputs.address, given, BigInt(reads), outputs.address, BigInt(writes), wanted];
  }

  /** Sets what the next run reads and writes. */
  set(inputs: readonly NdArray[], outputs: readonly NdArray[]): void {
    this.arrays = [inputs, outputs];
    for (let i = 0; i < inputs.length; i++) this.#inputs.pointers[i] = inputs[i].tensor;
    for (let i = 0; i < outputs.length; i++) this.#outputs.pointers[i] = outputs[i].tensor;
  }
}

/** Runs all of them at the same time: the first on the calling thread, the others beside it on `threads`. */
export function runTogether(jobs: readonly Job[], threads: readonly Thread[] = []): void {
  const { ort, run } = loaded();
  for (let i = 1; i < jobs.length; i++) threads[i - 1].begin(jobs[i].words);
  const statuses = [run(...jobs[0].words)];
  for (let i = 1; i < jobs.length; i++) statuses.push(threads[i - 1].end());
  for (const status of statuses) if (status) ort.check(status);
}

/** Pointers in memory that does not move. */
class Pointers {
  readonly pointers: BigUint64Array;
  readonly address: bigint;

  constructor(count: number) {
    // Given its buffer, even a short array lies outside of the garbage-collected heap.
    this.pointers = new BigUint64Array(new ArrayBuffer(8 * count));
    this.address = BigInt(koffi.address(this.pointers));
  }
}

/** Names as C strings, and pointers to them. */
class Names extends Pointers {
  /** Held, because the pointers go there. */
  readonly text: Uint8Array;

  constructor(names: readonly string[]) {
    super(names.length);
    const strings = names.map((name) => Buffer.from(`${name}\0`));
    this.text = new Uint8Array(new ArrayBuffer(strings.reduce((sum, { length }) => sum + length, 0)));
    const beginning = BigInt(koffi.address(this.text));
    let length = 0;
    for (const [i, string] of strings.entries()) {
      this.text.set(string, length);
      this.pointers[i] = beginning + BigInt(length);
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
      `--device cuda: ONNX Runtime cannot use CUDA here (${messageOf(error)}); install its CUDA provider (${INSTALL_CUDA}) or use --device cpu`,
    );
  }
}
