// An array's memory as ONNX Runtime takes it: a tensor of its own on the same numbers.
import { API, CPU_MEMORY, FLOAT32, type Parameter, runtime } from '../../contract/onnxRuntime.js';
import type { Shape } from './graph.js';

const TENSOR: Parameter[] = ['void *', 'void *', 'size_t', 'void *', 'size_t', 'int', 'void *'];

/** The functions that make and release tensors, and what each call of them needs. */
let native: ReturnType<typeof load> | undefined;
function load() {
  const ort = runtime();
  return {
    ort,
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

/** An ONNX Runtime tensor on an array's memory, which stays where it is; released when the array is collected. */
export function tensorOn(array: { readonly data: Float32Array; readonly shape: Shape }): bigint {
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
