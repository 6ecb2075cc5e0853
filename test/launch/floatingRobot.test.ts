// A robot that floats from training to control: a policy for Ant, hardly trained, is exported and served.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPolicyFile } from '../../contract/policyFile.js';
import { jointsOf } from '../../contract/terms.js';
import { control } from '../../launch/control.js';
import { startRun } from '../../trainer/run/train.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';

test('ant: trained, exported, and served on the simulated robot', async () => {
  const { policy } = await startRun(
    join(temporaryDirectory(), 'run'),
    { task: 'ant', preset: 'smoke', seed: 1, options: { ...tinyRun, steps: 80, evaluateEvery: 80 } },
    new CompiledEngine({ threads: 1, device: 'cpu' }),
  );
  assert.ok(policy);
  const { manifest } = readPolicyFile(policy);
  assert.equal(manifest.observation.length, 27);
  const limits = new Map(manifest.safety.joints.map((entry) => [entry.joint, entry]));
  assert.ok([...limits.keys()].every((joint) => jointsOf(manifest).includes(joint)));
  const { position, velocity } = limits.get('root.wx')!;
  assert.ok(position === undefined && velocity! > 0, 'an angular velocity has no position');
  assert.equal(limits.get('root.qw')!.velocity, undefined);
  assert.equal(limits.get('root.qw')!.jumpMargin, undefined);

  const report = await control({ policy, task: 'ant', rateHz: 200, duration: 1 });
  assert.ok(report.ticks + report.missed >= 200);
  assert.equal(report.mode, 'policy', report.fault);
});
