// A trained policy as a file of its own: what it says, what eval and other controllers make of it alone, and how files that
// are damaged, strange or from the future are refused.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { FarsightError } from '../../contract/errors.js';
import { decodeModel, encodeModel, type OnnxModel } from '../../contract/onnx.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import type { EvaluationResult } from '../../launch/commands/eval.js';
import { Random } from '../../trainer/random.js';
import { startRun } from '../../trainer/run/train.js';
import { CompiledEngine } from '../../trainer/tensor/engine.js';
import { FARSIGHT } from '../fixtures/command.js';
import { policyFixture, temporaryDirectory } from '../fixtures/policy.js';
import { tinyRun } from '../mpdp/tiny.js';

const SEED = 4;
const directory = temporaryDirectory();
const policy = join(directory, 'elsewhere.onnx');

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [FARSIGHT, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** Writes a changed copy of the policy and returns its path. */
function changed(name: string, change: (model: OnnxModel) => void): string {
  const model = decodeModel(readFileSync(policy));
  change(model);
  const path = join(directory, name);
  writeFileSync(path, encodeModel(model));
  return path;
}

before(async () => {
  const engine = new CompiledEngine({ threads: 1, device: 'cpu' });
  const options = {
    ...tinyRun,
    steps: 80,
    evaluateEvery: 80,
    evaluationEpisodes: 4,
    normalizeObservations: true,
  };
  const config = { task: 'inverted-pendulum', preset: 'smoke', seed: SEED, options };
  await startRun(join(directory, 'run'), config, engine);
  cpSync(join(directory, 'run', 'policy.onnx'), policy);
  rmSync(join(directory, 'run'), { recursive: true });
});

test('eval of a policy for a task of one’s own asks for --task', () => {
  const own = join(directory, 'own.onnx');
  policyFixture(own);
  const { status, stderr } = run('eval', own);
  assert.equal(
    stderr,
    `error: policy '${own}' is for task 'three-joints', which is not built in: give its file with --task\n`,
  );
  assert.equal(status, 2);
});

test('eval of the file alone gives the returns that training had', () => {
  const { provenance } = readPolicyFile(policy).manifest;
  const { status, stdout, stderr } = run(
    ...['eval', policy, '--episodes', '4', '--seed', String(SEED + provenance.environmentSteps), '--json'],
  );
  assert.equal(status, 0, stderr);
  const result: EvaluationResult = JSON.parse(stdout);
  const { task, episodes, mean, sd, returns } = result;
  assert.deepEqual([task, episodes, returns.length], ['inverted-pendulum', 4, 4]);
  assert.deepEqual(mean, provenance.selectionReturn);
  const variance = returns.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 4;
  assert.ok(Math.abs(sd - Math.sqrt(variance)) < 1e-9);
  assert.equal(existsSync(join(directory, 'run')), false);
});

test('inspect for people and for machines say the same', () => {
  const machine = run('inspect', policy, '--json');
  const person = run('inspect', policy);
  assert.deepEqual([machine.status, machine.stderr, person.status, person.stderr], [0, '', 0, '']);
  const manifest = JSON.parse(machine.stdout);
  const { selfCheck, safety, derivedLimits, ...shown } = manifest;
  const [text, limits] = person.stdout.split('\nlimits\n');
  assert.deepEqual(JSON.parse(text), shown);
  for (const { joint } of safety.joints) assert.match(limits, new RegExp(`^${joint} .*\\*`, 'm'));
  assert.ok(derivedLimits.length > 0);
  assert.match(limits, /\nself-check: 16 pairs of observation and action\n$/);
  assert.equal(selfCheck.length, 16);
});

/**
 * What deployment code that goes by the keys of Isaac Lab's and mjlab's exporters tells the motors: positions, held with
 * gains. It refuses a file without all of the keys: undefined.
 */
function motorTargets(metadata: ReadonlyMap<string, string>, action: readonly number[]) {
  const [names, stiffness, damping, standing, scale] = [
    ...['joint_names', 'joint_stiffness', 'joint_damping', 'default_joint_pos', 'action_scale'],
  ].map((key) => metadata.get(key)?.split(','));
  if (!names || !stiffness || !damping || !standing || !scale) return undefined;
  return names.map((joint, i) => ({
    joint,
    position: Number(standing[i]) + Number(scale[i]) * action[i],
    held: Number(stiffness[i]) > 0,
  }));
}

test('no other controller’s keys make it scale a command again, or take an effort for a position', () => {
  const kinds = [
    { kind: 'effort', joint: 'hip', limits: [-3, 3] },
    { kind: 'position', joint: 'knee', limits: [-2, 1] },
    { kind: 'velocity', joint: 'wheel', limits: [-20, 20] },
  ] as const;
  for (const term of kinds) {
    const path = join(directory, `${term.kind}.onnx`);
    policyFixture(path, { action: [{ ...term, limits: [...term.limits] }] });
    const { metadataProps } = decodeModel(readFileSync(path));
    const metadata = new Map(metadataProps.map(({ key, value }) => [key, value]));
    const [{ action }] = readPolicyFile(path).manifest.selfCheck;
    const targets = motorTargets(metadata, action);
    if (targets === undefined) continue;
    assert.equal(term.kind, 'position');
    assert.deepEqual(targets, [{ joint: term.joint, position: action[0], held: true }]);
  }
});

test('a file cut off anywhere, or with any byte altered, is refused in one line', () => {
  const bytes = readFileSync(policy);
  const path = join(directory, 'damaged.onnx');
  const refused = (damaged: Uint8Array, what: string) => {
    writeFileSync(path, damaged);
    assert.throws(
      () => readPolicyFile(path),
      (error: Error) => {
        assert.ok(error instanceof FarsightError, `${what}: ${error.stack}`);
        assert.match(error.message, /^policy '.*damaged\.onnx': [^\n]+$/);
        return true;
      },
      what,
    );
  };
  for (let part = 0; part < 16; part++) {
    refused(bytes.subarray(0, Math.floor((part * bytes.length) / 16)), `cut at ${part}/16`);
  }
  refused(bytes.subarray(0, -1), 'without the last byte');
  refused(Buffer.concat([bytes, Buffer.of(0)]), 'with one byte more');
  const random = new Random(1);
  for (let i = 0; i < 64; i++) {
    const at = random.integer(bytes.length);
    const to = bytes[at] ^ (1 + random.integer(255));
    refused(Buffer.from(bytes).fill(to, at, at + 1), `byte ${at} of ${bytes.length} made ${to}`);
  }
  // One in each of the places that nothing computes with.
  for (const text of ['farsight.sha256', 'farsight.manifest', 'slider', 'controlRate', 'policy']) {
    const at = bytes.indexOf(text) + text.length - 1;
    refused(Buffer.from(bytes).fill(bytes[at] ^ 1, at, at + 1), `the last letter of ${text}`);
  }
});

test('every command that takes a policy refuses a wrong one in one line, exit code 1', () => {
  const notOnnx = join(directory, 'notes.txt');
  writeFileSync(notOnnx, 'not a policy at all\n');
  const cut = join(directory, 'cut.onnx');
  writeFileSync(cut, readFileSync(policy).subarray(0, 900));
  const other = join(directory, 'other.onnx');
  policyFixture(other);
  const manifestOf = (model: OnnxModel) =>
    model.metadataProps.find(({ key }) => key === 'farsight.manifest')!;
  const future = changed('future.onnx', (model) => {
    const entry = manifestOf(model);
    entry.value = JSON.stringify({ ...JSON.parse(entry.value), version: 2, more: true });
  });
  const plain = changed('plain.onnx', (model) => {
    model.metadataProps = [];
  });
  const heavier = changed('heavier.onnx', (model) => {
    model.graph.initializer[0].rawData[3] ^= 1;
  });
  const cases: [string[], RegExp][] = [
    [['inspect', notOnnx], /is not a whole ONNX file|has no 'farsight.manifest'/],
    [['inspect', cut], /cut off/],
    [['inspect', future], /manifest version 2, this Farsight reads up to 1: update Farsight/],
    [['inspect', plain], /has no 'farsight\.manifest': not a policy that Farsight exported/],
    [['inspect', directory], /cannot be read \(EISDIR\)/],
    [['inspect', join(directory, 'none.onnx')], /no such file/],
    [['eval', heavier], /was altered after its export/],
    [['eval', other, '--task', 'inverted-pendulum'], /is for task 'three-joints', not 'inverted-pendulum'/],
    [['control', '--policy', heavier, '--robot', 'sim', '--duration', '1'], /was altered after its export/],
  ];
  for (const [args, why] of cases) {
    const { status, stdout, stderr } = run(...args, '--json');
    assert.match(stderr, /^error: policy '[^\n]+\n$/, args.join(' '));
    assert.match(stderr, why);
    assert.deepEqual([status, stdout], [1, ''], args.join(' '));
  }
});
