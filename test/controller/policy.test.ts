// Loading a policy: the C interface of ONNX Runtime works in place, and a file that is not whole is refused.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import v8 from 'node:v8';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { CommandLimits } from '../../contract/commandLimits.js';
import { FarsightError } from '../../contract/errors.js';
import { decodeModel, encodeModel } from '../../contract/onnx.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { startLoop } from '../../controller/controller.js';
import { Envelope } from '../../controller/envelope.js';
import { Policy } from '../../controller/policy.js';
import { divisionPolicyFixture, policyFixture, temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const path = join(directory, 'policy.onnx');
const file = policyFixture(path);

/** The one line of a `FarsightError` that `work` must throw. */
async function refusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    assert.ok(error instanceof FarsightError, String(error));
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  throw new Error('was not refused');
}

test('the synchronous run computes in place what the public API computes, with denormals as 0', async () => {
  const policy = new Policy('policy.onnx', file.bytes, file.manifest);
  const { action } = policy;
  const session = await InferenceSession.create(file.bytes);
  for (let i = 0; i < 20; i++) {
    policy.observation.set([Math.sin(i), Math.cos(i), i / 10, -i, 1]);
    policy.run();
    const expected = await session.run({
      observation: new Tensor('float32', Float32Array.from(policy.observation), [1, 5]),
    });
    assert.equal(policy.action, action);
    assert.deepEqual(action, expected.action.data);
  }
  policy.release();

  const quotient = divisionPolicyFixture(join(directory, 'quotient.onnx'));
  const division = new Policy('quotient.onnx', quotient.bytes, quotient.manifest);
  division.observation[0] = 1e-40;
  division.run();
  assert.ok(Number.isNaN(division.action[0]), 'a denormal divided by itself is 0 / 0');
  division.release();
});

test('a run leaves no garbage', () => {
  const policy = new Policy('policy.onnx', file.bytes, file.manifest);
  for (let i = 0; i < 5000; i++) policy.run();
  const before = v8.getHeapStatistics().used_heap_size;
  for (let i = 0; i < 2000; i++) policy.run();
  const bytes = v8.getHeapStatistics().used_heap_size - before;
  assert.ok(bytes < 2000 * 50, `${bytes} bytes in 2000 runs`);
  policy.release();
});

test('a file cut off anywhere is refused in one line', async () => {
  const { length } = file.bytes;
  const cut = join(directory, 'cut.onnx');
  for (const share of [0, 0.001, 0.1, 0.3, 0.5, 0.8, 0.99]) {
    writeFileSync(cut, file.bytes.subarray(0, Math.floor(share * length)));
    assert.match(await refusal(() => readPolicyFile(cut)), /policy '.*cut\.onnx': .*(cut off|not a policy)/);
  }
  writeFileSync(cut, file.bytes.subarray(0, length - 1));
  assert.match(await refusal(() => readPolicyFile(cut)), /cut off/);
});

test('a single altered byte is refused, in the weights and in the manifest', async () => {
  const altered = join(directory, 'altered.onnx');
  const text = Buffer.from(file.bytes);
  for (const position of [text.indexOf('weight_1') - 40, text.indexOf('"controlRate":100') + 14]) {
    const bytes = Buffer.from(file.bytes);
    bytes[position] ^= 1;
    writeFileSync(altered, bytes);
    assert.match(await refusal(() => readPolicyFile(altered)), /altered\.onnx': .*(altered|damaged)/);
  }
});

test('another task, a future version and a missing file are refused by name', async () => {
  assert.match(await refusal(() => readPolicyFile(path, 'hopper')), /for task 'three-joints', not 'hopper'/);
  const model = decodeModel(readFileSync(path));
  for (const entry of model.metadataProps) {
    if (entry.key === 'farsight.manifest') entry.value = entry.value.replace('"version":1', '"version":2');
  }
  const future = join(directory, 'future.onnx');
  writeFileSync(future, encodeModel(model));
  assert.match(await refusal(() => readPolicyFile(future)), /version 2, .* up to 1: update Farsight/);
  assert.match(await refusal(() => readPolicyFile(join(directory, 'none.onnx'))), /no such file/);
});

test('the loop refuses a policy that computes something else than was exported, and one of another shape', async () => {
  const wrong = divisionPolicyFixture(join(directory, 'wrong.onnx'), {
    selfCheck: [{ observation: [0.5], action: [0.9] }],
  });
  assert.match(
    await refusal(() => startLoop({ policy: wrong, name: 'wrong.onnx', rateHz: 100 })),
    /^policy 'wrong\.onnx': self-check 0 fails: action 'slider' is 1, exported as 0\.9$/,
  );
  const { observation } = file.manifest;
  const wide = divisionPolicyFixture(join(directory, 'wide.onnx'), { observation });
  assert.match(
    await refusal(() => startLoop({ policy: wide, name: 'wide.onnx', rateHz: 100 })),
    /^policy 'wide\.onnx': ONNX Runtime cannot run it: .*observation/,
  );
});

test('safety limits that cannot hold are refused', async () => {
  const withJoint = (joint: object) => ({
    ...file.manifest,
    safety: { ...file.manifest.safety, joints: [joint] } as typeof file.manifest.safety,
  });
  assert.match(
    await refusal(() => new Envelope(withJoint({ joint: 'tail' }), 500)),
    /joint 'tail', which no/,
  );
  assert.match(
    await refusal(() => new CommandLimits(withJoint({ joint: 'knee', position: [3, 4] }), 500)),
    /action 'knee' \[-2, 2\] .* nothing in common/,
  );
});
