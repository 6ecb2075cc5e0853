// A TensorFlow.js backend that computes nothing: it records the kernels that a program and its gradients call.
import { FarsightError } from '../../contract/errors.js';
import {
  CONSTANT,
  constantValue,
  type DType,
  type Graph,
  INPUT,
  inputValue,
  type Shape,
  type Value,
} from './graph.js';
import { type Tensor, type Tensors, tf } from './tf.js';

const BACKEND = 'trace';

/** A kernel as the tracer sees it: symbolic inputs in, one value (or several) out. */
export type KernelRule = (
  inputs: Record<string, Value>,
  attributes: Record<string, unknown>,
) => Value | Value[];

class TraceBackend extends tf.KernelBackend {
  readonly #values = new WeakMap<object, Value>();

  symbol(tensor: { dataId: object }): Value {
    const value = this.#values.get(tensor.dataId);
    if (!value) throw new FarsightError('uses a tensor made outside of it: pass it as an input');
    return value;
  }

  info(value: Value): tf.TensorInfo {
    const dataId = {};
    this.#values.set(dataId, value);
    const dtype = value.dtype === 'int64' ? 'int32' : value.dtype;
    return { dataId, shape: [...value.shape], dtype };
  }

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): object {
    const dataId = {};
    const type: DType = dtype === 'int32' ? 'int64' : dtype === 'bool' ? 'bool' : 'float32';
    this.#values.set(dataId, constantValue(shape, Float32Array.from(values as Float32Array), type));
    return dataId;
  }

  override readSync(): never {
    throw new FarsightError(
      'reads a tensor (dataSync, arraySync): a compiled program has no numbers until it runs',
    );
  }
  override read(): never {
    return this.readSync();
  }
  override disposeData(): boolean {
    return true;
  }
  override incRef(): void {}
  decRef(): void {}
  override refCount(): number {
    return 1;
  }
  override numDataIds(): number {
    return 0;
  }
  override memory() {
    return { unreliable: true };
  }
  override floatPrecision(): 32 {
    return 32;
  }
  override epsilon(): number {
    return 1e-7;
  }
  override timerAvailable(): boolean {
    return false;
  }
  override dispose(): void {}
}

const backend = new TraceBackend();
tf.registerBackend(BACKEND, () => backend, 0);

/** Teaches the tracer one TensorFlow.js kernel. */
export function registerKernelRule(kernelName: string, rule: KernelRule): void {
  tf.registerKernel({
    kernelName,
    backendName: BACKEND,
    kernelFunc: ({ inputs, attrs }) => {
      const values = Object.fromEntries(
        Object.entries(inputs).flatMap(([name, tensor]) =>
          tensor ? [[name, backend.symbol(tensor as tf.TensorInfo)] as const] : [],
        ),
      );
      const made = rule(values, (attrs ?? {}) as Record<string, unknown>);
      const origin = recordOrigins ? programLine(new Error().stack) : undefined;
      const info = (value: Value) =>
        backend.info(
          origin && !value.origin && value.op !== INPUT && value.op !== CONSTANT
            ? { ...value, origin }
            : value,
        );
      return Array.isArray(made) ? made.map(info) : info(made);
    },
  });
}
let recordOrigins = false;

/**
 * Runs `body` on symbolic inputs of the given shapes and returns what it computed as a graph.
 *
 * Throws a FarsightError that names the operator and the line of the program when a kernel has no rule.
 *
 * @param origins record the source line of every operator, for dumps; slow
 */
export function trace(
  name: string,
  inputs: Readonly<Record<string, Shape>>,
  body: (inputs: Tensors) => Tensors,
  origins = false,
): Graph {
  const before = tf.getBackend();
  const stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 100;
  recordOrigins = origins;
  tf.setBackend(BACKEND);
  try {
    const values = new Map(Object.entries(inputs).map(([input, shape]) => [input, inputValue(input, shape)]));
    const tensors: Tensors = {};
    for (const [input, value] of values) {
      tensors[input] = tf.engine().makeTensorFromTensorInfo(backend.info(value)) as Tensor;
    }
    const outputs = new Map(
      Object.entries(body(tensors)).map(([output, tensor]) => [output, backend.symbol(tensor)]),
    );
    return { name, inputs: values, outputs };
  } catch (error) {
    throw explained(name, error);
  } finally {
    if (before) tf.setBackend(before);
    Error.stackTraceLimit = stackTraceLimit;
    recordOrigins = false;
  }
}

function explained(program: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const line = programLine(error.stack);
  const place = `program '${program}'${line ? ` (${line})` : ''}`;
  const kernel = /Kernel '(\w+)' not registered/.exec(error.message)?.[1];
  if (kernel)
    return new FarsightError(
      `${place}: operator '${kernel}' has no rule in trainer/tensor/kernels.ts; add one or write it with others`,
    );
  if (error instanceof FarsightError) return new FarsightError(`${place} ${error.message}`, { cause: error });
  error.message = `${place}: ${error.message}`;
  return error;
}

/** The first frame of a stack that is neither TensorFlow.js nor this engine: the line of the program. */
function programLine(stack = ''): string | undefined {
  const engine = /node_modules|tfjs|node:internal|<anonymous>\)$|[/\\]tensor[/\\]\w+\.[jt]s/;
  const own = stack
    .split('\n')
    .slice(1)
    .find((frame) => !engine.test(frame));
  return /([^/\\(]+[/\\][^/\\]+:\d+):\d+\)?$/.exec(own ?? '')?.[1];
}
