// Doctor's checks of Node, the inference runtime, the trainer's packages and the disk.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../contract/errors.js';
import { encodeModel, IR_VERSION, OPSET, tensorInfo } from '../../contract/onnx.js';
import { INSTALL_CUDA, installCommand, REINSTALL } from '../../contract/packages.js';
import { findChromium } from '../play/chromium.js';
import { type Check, ok } from './check.js';
import { installedPackage, readText } from './computer.js';

const NODE_NEEDED = 20;
const DISK_WANTED = 2 * 2 ** 30;

export async function softwareChecks(): Promise<Check[]> {
  return [
    node(),
    await onnxRuntime(),
    await cuda(),
    mujoco(),
    tensorFlow(),
    tensorFlowGpu(),
    chromium(),
    disk(),
  ];
}

function node(): Check {
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= NODE_NEEDED) return ok('Node', process.version);
  const remedy = `install Node ${NODE_NEEDED} or later from https://nodejs.org`;
  return { name: 'Node', status: 'broken', detail: `${process.version} is too old`, remedy };
}

/** Runs a model of one Identity, so that `ok` means that inference works. */
async function infer(provider: string): Promise<string> {
  const { default: ort } = await import('onnxruntime-node');
  const model = encodeModel({
    irVersion: IR_VERSION,
    graph: {
      name: 'identity',
      node: [{ opType: 'Identity', input: ['x'], output: ['y'] }],
      initializer: [],
      input: [tensorInfo('x', [1, 2])],
      output: [tensorInfo('y', [1, 2])],
    },
    opsetImport: OPSET,
    metadataProps: [],
  });
  const session = await ort.InferenceSession.create(model, { executionProviders: [provider] });
  const { y } = await session.run({ x: new ort.Tensor('float32', Float32Array.of(1, 2), [1, 2]) });
  await session.release();
  if (y.data[0] !== 1 || y.data[1] !== 2) throw new Error(`Identity of 1, 2 gave ${y.data}`);
  const bundled = ort.listSupportedBackends().filter((backend) => backend.bundled);
  return `${ort.env.versions.node}, providers ${bundled.map((backend) => backend.name).join(', ')}`;
}

async function onnxRuntime(): Promise<Check> {
  try {
    return ok('ONNX Runtime', await infer('cpu'));
  } catch (error) {
    return {
      name: 'ONNX Runtime',
      status: 'broken',
      detail: messageOf(error),
      remedy: REINSTALL,
    };
  }
}

async function cuda(): Promise<Check> {
  const name = 'CUDA';
  const driver = readText('/proc/driver/nvidia/version')?.match(/\d+\.\d+(\.\d+)?/)?.[0];
  if (driver === undefined)
    return { name, status: 'missing', detail: 'no NVIDIA driver; the CPU is the default', remedy: null };
  if (!hasCudaProvider()) {
    return {
      name,
      status: 'missing',
      detail: `driver ${driver}, but ONNX Runtime's CUDA provider is not installed`,
      remedy: INSTALL_CUDA,
    };
  }
  try {
    await infer('cuda');
    return ok(name, `driver ${driver}, ONNX Runtime's CUDA provider works`);
  } catch (error) {
    const detail = `driver ${driver}, but the CUDA provider fails: ${messageOf(error)}`;
    return { name, status: 'warning', detail, remedy: 'install CUDA 12 and cuDNN 9 for this driver' };
  }
}

function hasCudaProvider(): boolean {
  const bin = join(installedPackage('onnxruntime-node')?.directory ?? '', 'bin');
  if (!existsSync(bin)) return false;
  return readdirSync(bin).some((version) =>
    existsSync(join(bin, version, process.platform, process.arch, 'libonnxruntime_providers_cuda.so')),
  );
}

function mujoco(): Check {
  const found = installedPackage('@mujoco/mujoco');
  if (found) return ok('MuJoCo', found.version);
  const detail = 'not installed (trainer and simulated robot only)';
  return { name: 'MuJoCo', status: 'missing', detail, remedy: installCommand('@mujoco/mujoco') };
}

function chromium(): Check {
  const name = findChromium();
  if (name) return ok('Chromium', `${name}, draws clips of policies`);
  const detail = 'not installed (clips of policies only)';
  return { name: 'Chromium', status: 'missing', detail, remedy: 'apt install chromium' };
}

function tensorFlow(): Check {
  const found = installedPackage('@tensorflow/tfjs-core');
  if (found) return ok('TensorFlow.js', found.version);
  return {
    name: 'TensorFlow.js',
    status: 'missing',
    detail: 'not installed (trainer only)',
    remedy: installCommand('@tensorflow/tfjs-core'),
  };
}

/** Loaded in a process of its own: an addon that does not fit the machine may end the process. */
function tensorFlowGpu(): Check {
  const name = 'tfjs-node-gpu';
  const found = installedPackage('@tensorflow/tfjs-node-gpu');
  if (!found)
    return { name, status: 'missing', detail: 'not installed (optional, eager engine only)', remedy: null };
  const script = 'const tf = require(process.argv[1]); tf.ready().then(() => console.log(tf.getBackend()))';
  const run = spawnSync(process.execPath, ['-e', script, found.directory], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (run.status === 0) return ok(name, `${found.version}, backend ${run.stdout.trim().split('\n').at(-1)}`);
  const why = /Error: (.*)/.exec(run.stderr)?.[1] ?? `ended with ${run.signal ?? run.status}`;
  return {
    name,
    status: 'warning',
    detail: `${found.version} does not load: ${why}`,
    remedy:
      'npm rebuild @tensorflow/tfjs-node-gpu, with CUDA installed; without it the eager engine uses the CPU',
  };
}

function disk(): Check {
  const { bavail, bsize } = statfsSync(process.cwd());
  const free = bavail * bsize;
  const detail = `${(free / 2 ** 30).toFixed(1)} GiB free in ${process.cwd()}`;
  if (free >= DISK_WANTED) return ok('Disk', detail);
  return {
    name: 'Disk',
    status: 'warning',
    detail,
    remedy: 'free some space: runs and recordings grow by gigabytes',
  };
}
