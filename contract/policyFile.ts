// The policy file: π₀ as one ONNX model with its manifest and its digest inside.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { FarsightError } from './errors.js';
import { MANIFEST_VERSION, type Manifest, manifestSchema } from './manifest.js';
import { decodeModel, encodeModel, IR_VERSION, type OnnxGraph, OPSET } from './onnx.js';
import { findingsOf } from './schemaErrors.js';
import { writeWhole } from './wholeFile.js';

/** Names of the model's input `[1, n]` and output `[1, m]`, both float32. */
export const INPUT = 'observation';
export const OUTPUT = 'action';
const MANIFEST_KEY = 'farsight.manifest';
/** The file's last entry: its value, SHA-256 of every byte before it in hex, is the end of the file. */
const DIGEST_KEY = 'farsight.sha256';
const DIGEST_LENGTH = 64;

export interface PolicyFile {
  manifest: Manifest;
  /** The whole file, as ONNX Runtime takes it. */
  bytes: Uint8Array;
  /** SHA-256 of the whole file: the policy's identity in recordings, telemetry and lineage. */
  sha256: string;
}

/**
 * Writes `graph` with `manifest` to `path`: whatever happens leaves the old file or the new one, never a part.
 */
export function writePolicyFile(path: string, graph: OnnxGraph, manifest: Manifest): PolicyFile {
  const text = JSON.stringify(manifestSchema.parse(manifest));
  // None of the keys by which legged robots' deployment code reads ONNX policies (joint_names, action_scale,
  // joint_stiffness …): they say that the output is scaled and held as a position by gains, and here it is the command.
  const entries = {
    [MANIFEST_KEY]: text,
    [DIGEST_KEY]: '0'.repeat(DIGEST_LENGTH),
  };
  const bytes = encodeModel({
    irVersion: IR_VERSION,
    producerName: 'farsight',
    producerVersion: String(MANIFEST_VERSION),
    graph,
    opsetImport: OPSET,
    metadataProps: Object.entries(entries).map(([key, value]) => ({ key, value })),
  });
  bytes.set(Buffer.from(digest(bytes)), bytes.length - DIGEST_LENGTH);
  writeWhole(path, bytes);
  return { manifest, bytes, sha256: sha256(bytes) };
}

/**
 * Reads and verifies a policy file. Throws a `FarsightError` that names the file and what is wrong with it: missing,
 * cut off, not a policy, altered, from a later version, or for another task than `task`.
 */
export function readPolicyFile(path: string, task?: string): PolicyFile {
  const refuse = (why: string) => new FarsightError(`policy '${path}': ${why}`);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw refuse(code === 'ENOENT' ? 'no such file' : `cannot be read (${code})`);
  }
  let model: ReturnType<typeof decodeModel>;
  try {
    model = decodeModel(bytes);
  } catch {
    throw refuse('is not a whole ONNX file: cut off or damaged; export or copy it again');
  }
  const metadata = new Map(model.metadataProps.map(({ key, value }) => [key, value]));
  const text = metadata.get(MANIFEST_KEY);
  if (text === undefined)
    throw refuse(`has no '${MANIFEST_KEY}': not a policy that Farsight exported, or cut off`);
  const json = parseJson(text);
  const version = (json as { version?: unknown } | undefined)?.version;
  if (typeof version === 'number' && version > MANIFEST_VERSION) {
    throw refuse(
      `has manifest version ${version}, this Farsight reads up to ${MANIFEST_VERSION}: update Farsight`,
    );
  }
  if (metadata.get(DIGEST_KEY) !== digest(bytes)) {
    throw refuse('was altered after its export (its digest does not match); export or copy it again');
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) throw refuse(`bad manifest: ${findingsOf(parsed.error)}`);
  const manifest = parsed.data;
  if (task !== undefined && manifest.task !== task) {
    throw refuse(`is for task '${manifest.task}', not '${task}'`);
  }
  return { manifest, bytes, sha256: sha256(bytes) };
}

/**
 * Replays the manifest's self-check through `infer`. Throws when an action differs by more than 1e-4 of the
 * actuator's range: the runtime or the file does not compute what was trained.
 */
export function selfCheck(
  name: string,
  manifest: Manifest,
  infer: (observation: Float32Array) => Float32Array,
): void {
  for (const [index, pair] of manifest.selfCheck.entries()) {
    const action = infer(Float32Array.from(pair.observation));
    for (const [i, { joint, limits }] of manifest.action.entries()) {
      const tolerance = 1e-4 * (limits[1] - limits[0]);
      if (!(Math.abs(action[i] - pair.action[i]) <= tolerance)) {
        throw new FarsightError(
          `policy '${basename(name)}': self-check ${index} fails: action '${joint}' is ${action[i]}, exported as ${pair.action[i]}`,
        );
      }
    }
  }
}

function digest(bytes: Uint8Array): string {
  return sha256(bytes.subarray(0, -DIGEST_LENGTH));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
