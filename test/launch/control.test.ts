// A run from policy file to report: the loop, the simulated robot and the recorder together, ended by time and by signal.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FarsightError } from '../../contract/errors.js';
import { writeSyntheticPolicy } from '../../launch/bench/syntheticPolicy.js';
import { control } from '../../launch/control.js';
import { summary } from '../../launch/latencySummary.js';
import { loadTask, taskInterface } from '../../trainer/sim/task.js';
import { policyFixture, temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const policy = join(directory, 'policy.onnx');
writeSyntheticPolicy(policy, taskInterface(await loadTask('inverted-pendulum')), [16]);

test('a timed run reports its ticks and leaves a recording', async () => {
  const record = join(directory, 'recording');
  const report = await control({
    policy,
    task: 'inverted-pendulum',
    rateHz: 250,
    duration: 1,
    record,
    core: 0,
  });
  assert.equal(report.rateHz, 250);
  assert.ok(report.ticks + report.missed >= 250);
  assert.equal(report.mode, 'policy', report.fault);
  assert.equal(report.recording, record);
  assert.ok(readdirSync(record).some((name) => name.endsWith('.mcap')));
  for (const phase of Object.values(report.phases)) {
    assert.ok(
      phase.p50 > 0 && phase.p50 <= phase.p99 && phase.p99 <= phase.p9999 && phase.p9999 <= phase.max,
    );
  }
  const text = summary(report);
  for (const word of ['wake', 'infer', 'p99.99', 'missed', 'mode', 'interventions', 'garbage']) {
    assert.ok(text.includes(word), `${word} in\n${text}`);
  }
});

test('an operator and a signal have their way', async () => {
  const stop = new AbortController();
  const report = await control({
    policy,
    signal: stop.signal,
    started: (loop) => {
      loop.emergencyStop();
      setTimeout(() => stop.abort(), 100);
    },
  });
  assert.equal(report.mode, 'damping');
  assert.equal(report.fault, 'emergency stop');
});

test('what does not fit is refused in one line, and nothing keeps running', async () => {
  const other = join(directory, 'other.onnx');
  policyFixture(other);
  const refused = (options: Parameters<typeof control>[0], message: RegExp) =>
    assert.rejects(control(options), (error: Error) => {
      assert.ok(error instanceof FarsightError, error.stack);
      assert.match(error.message, message);
      return true;
    });
  await refused(
    { policy: other, task: 'inverted-pendulum' },
    /for task 'three-joints', not 'inverted-pendulum'/,
  );
  await refused({ policy, rateHz: 510 }, /nearest that fit: 500 and 525/);
  await refused({ policy: other }, /task 'three-joints'/);
  if (process.platform === 'linux') await refused({ policy, core: 999 }, /core 999: .* cores 0 to \d/);
});
