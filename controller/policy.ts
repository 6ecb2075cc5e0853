// π₀ on ONNX Runtime as the loop calls it: one thread, preallocated tensors, run synchronously, checked before use.
import { createRequire } from 'node:module';
import { Tensor } from 'onnxruntime-node';
import { FarsightError, messageOf } from '../contract/errors.js';
import type { Manifest } from '../contract/manifest.js';
import { INPUT, OUTPUT, selfCheck } from '../contract/policyFile.js';

/** The part of onnxruntime-node's native binding that is used. The version is pinned, and a test watches over it. */
interface Binding {
  InferenceSession: new () => NativeSession;
}
interface NativeSession {
  loadModel(model: ArrayBufferLike, offset: number, length: number, options: object): void;
  run(feeds: Record<string, Tensor>, fetches: Record<string, Tensor>, options: object): unknown;
  readonly inputMetadata: { name: string; shape: number[] }[];
  readonly outputMetadata: { name: string; shape: number[] }[];
}

const OPTIONS = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  extra: { session: { set_denormal_as_zero: '1' } },
};

/**
 * Opens a session whose `run` is synchronous. ONNX Runtime's public API is asynchronous only, and a loop that blocks
 * its thread never comes to a promise's end, so there is no other way to fall back on.
 */
function openSession(model: Uint8Array): NativeSession {
  let binding: Binding;
  try {
    const module = createRequire(import.meta.url)('onnxruntime-node/dist/binding.js');
    module.initOrt();
    binding = module.binding;
  } catch (error) {
    throw new FarsightError(
      `ONNX Runtime's native library does not load (${messageOf(error)}); install onnxruntime-node in the version that package.json names`,
    );
  }
  const session = new binding.InferenceSession();
  session.loadModel(model.buffer, model.byteOffset, model.byteLength, OPTIONS);
  return session;
}

/** A loaded policy: fill `observation` `[n]`, call `run`, read `action` `[m]` in the robot's units. */
export class Policy {
  readonly observation: Float32Array;
  readonly action: Float32Array;
  readonly #session: NativeSession;
  readonly #feeds: Record<string, Tensor>;
  readonly #fetches: Record<string, Tensor>;
  readonly #runOptions = {};

  /**
   * Loads the model and replays the manifest's self-check. Throws a `FarsightError` that names the file `name` when
   * the runtime cannot run it, its shapes are not the manifest's, or it does not compute what was exported.
   */
  constructor(name: string, model: Uint8Array, manifest: Manifest) {
    this.observation = new Float32Array(manifest.observation.length);
    this.action = new Float32Array(manifest.action.length);
    const shape = { input: [1, this.observation.length], output: [1, this.action.length] };
    this.#feeds = { [INPUT]: new Tensor('float32', this.observation, shape.input) };
    this.#fetches = { [OUTPUT]: new Tensor('float32', this.action, shape.output) };
    try {
      this.#session = openSession(model);
    } catch (error) {
      if (error instanceof FarsightError) throw error;
      throw new FarsightError(`policy '${name}': ONNX Runtime cannot load it: ${messageOf(error)}`);
    }
    const { inputMetadata, outputMetadata } = this.#session;
    expectTensor(name, 'input', inputMetadata, INPUT, shape.input);
    expectTensor(name, 'output', outputMetadata, OUTPUT, shape.output);
    selfCheck(name, manifest, (observation) => {
      this.observation.set(observation);
      this.run();
      return this.action;
    });
  }

  run(): void {
    this.#session.run(this.#feeds, this.#fetches, this.#runOptions);
  }
}

function expectTensor(
  file: string,
  side: 'input' | 'output',
  found: readonly { name: string; shape: number[] }[],
  name: string,
  shape: readonly number[],
): void {
  const [tensor] = found;
  if (found.length === 1 && tensor.name === name && tensor.shape.join() === shape.join()) return;
  throw new FarsightError(
    `policy '${file}': its ${side} is ${found.map((t) => `${t.name} [${t.shape}]`).join(', ')}, its manifest wants ${name} [${shape}]`,
  );
}
