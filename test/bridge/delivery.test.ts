// Policies delivered to a pendulum that is balanced meanwhile: through a real broker, by real commands, the bad ones too.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Metadata, MetadataKind } from '@tufjs/models';
import mqtt from 'mqtt';
import { PolicyRepository, type RoleKeys } from '../../bridge/policyRepository.js';
import { servePolicies } from '../../bridge/policyServer.js';
import { RECORD_FILE } from '../../bridge/rollout.js';
import { makeKey, readKeys } from '../../bridge/signingKeys.js';
import { watchRobots } from '../../bridge/watcher.js';
import { desiredTopic, ROLES } from '../../contract/delivery.js';
import { tensorInfo } from '../../contract/onnx.js';
import { INPUT, OUTPUT, writePolicyFile } from '../../contract/policyFile.js';
import type { DeliveryEvent } from '../../contract/telemetry.js';
import { startCommand } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';
import { pendulumPolicy } from '../fixtures/pendulum.js';
import { temporaryDirectory } from '../fixtures/policy.js';
import { rowsOf } from './fleet.js';
import { Mosquitto, needsMosquitto } from './mosquitto.js';

const folder = temporaryDirectory();
const at = (name: string) => join(folder, name);
const started = new Set<ReturnType<typeof startCommand>>();
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
});
const farsight = (...args: string[]) => {
  const command = startCommand(args, { env: { ...process.env, FARSIGHT_LOG: 'silent' } });
  started.add(command);
  return command;
};

test(
  'good policies act, bad ones are refused or taken back, and the pendulum stays up',
  needsMosquitto,
  async () => {
    const broker = new Mosquitto(await freePort());
    await broker.start();
    after(() => broker.dispose());
    const directory = at('repository');
    const keys = at('keys');
    const roles = Object.fromEntries(
      ROLES.map((role) => [role, { keys: [makeKey(keys, role)], threshold: 1 }]),
    );
    const repository = PolicyRepository.init({ directory, keys: readKeys(keys) }, roles as RoleKeys);
    const server = await servePolicies(directory, { host: '127.0.0.1', port: 0 });
    after(() => server.stop());

    const deliveries: DeliveryEvent[] = [];
    const acted: string[] = [];
    let lean = 0;
    const watcher = await watchRobots({
      broker: { url: broker.url },
      poses: true,
      onMessage({ kind, message }) {
        if (kind === 'pose')
          lean = Math.max(lean, Math.abs(message.position[message.joints.indexOf('hinge')] ?? 9));
        if (kind !== 'event') return;
        if (message.event.kind === 'delivery') deliveries.push(message.event);
        if (message.event.kind === 'policy loaded') acted.push(message.event.policy.sha256);
      },
    });
    after(() => watcher.stop());
    const client = await mqtt.connectAsync(broker.url);
    after(() => client.endAsync());
    const announce = (payload: unknown) =>
      client.publishAsync(desiredTopic('arm-1'), JSON.stringify(payload), { qos: 1, retain: true });
    const desire = (target: string) => announce({ version: 1, robot: 'arm-1', target });
    const until = async (met: () => boolean) => {
      for (let i = 0; i < 1500 && !met(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
      assert.ok(met());
    };
    /** The first of the events after the first `seen` that satisfies it. */
    const next = async (state: DeliveryEvent['state'], seen: number) => {
      for (let i = 0; i < 1500; i++, await new Promise((resolve) => setTimeout(resolve, 20))) {
        const found = deliveries.slice(seen).find((event) => event.state === state);
        if (found) return found;
      }
      throw new Error(`no '${state}' among ${JSON.stringify(deliveries.slice(seen))}`);
    };

    const first = pendulumPolicy(at('first.onnx'));
    const control = () =>
      farsight(
        ...[
          'control',
          '--policy',
          at('first.onnx'),
          '--rate',
          '500',
          '--name',
          'arm-1',
          '--mqtt',
          broker.url,
        ],
        ...[
          '--deliver',
          server.url,
          '--trust',
          join(directory, 'metadata', '1.root.json'),
          '--slots',
          at('slots'),
        ],
        ...['--shadow', '1', '--handover', '1', '--health', '2', '--json', '--record', at('recordings')],
      );
    let robot = control();
    const rollout = (target: string, ...flags: string[]) =>
      farsight(
        ...[
          'deliver',
          'rollout',
          target,
          '--repository',
          directory,
          '--mqtt',
          broker.url,
          '--stages',
          'canary,100%',
          ...flags,
        ],
        ...['--groups', at('groups.yaml'), '--patience', '60', '--soak', '0.2', '--json'],
      ).ended;
    writeFileSync(at('groups.yaml'), 'canary: [arm-1]\n');
    for (let i = 0; i < 1000 && !watcher.robots.get('arm-1')?.raw; i++)
      await new Promise((resolve) => setTimeout(resolve, 20));

    const better = pendulumPolicy(at('better.onnx'), 1.2);
    const rolled = await rollout(at('better.onnx'), '--keys', keys);
    const [good] = repository.targets().keys();
    assert.deepEqual(
      JSON.parse(rolled.stdout),
      { done: true, accepted: ['arm-1'], failed: [] },
      rolled.stderr,
    );
    assert.deepEqual(
      deliveries.map(({ state, target, policy }) => [state, target, policy]),
      ['verified', 'shadowed', 'acting', 'accepted'].map((state) => [state, good, better.sha256]),
    );
    assert.deepEqual(acted, [first.sha256, better.sha256]);

    // Signed, valid, and it tips the pole over: unlike in its shadow, once it acts.
    const { sha256: wrong } = pendulumPolicy(at('flipped.onnx'), -1);
    const flipped = repository.publish(at('flipped.onnx')).target;
    const halting = rollout(flipped);
    await next('acting', 4);
    // From here on its disk takes no note of it.
    mkdirSync(at('slots/slots.json.tmp'));
    const halted = await halting;
    assert.equal(halted.code, 1);
    const outcome = JSON.parse(halted.stdout);
    assert.match(outcome.reason, /1 failed: arm-1/);
    assert.deepEqual([outcome.accepted, outcome.failed], [[], ['arm-1']]);
    const back = await next('rolled back', 4);
    assert.match(
      back.reason!,
      /observations are .* deviations from those of training, before at most .*; after [\d.]+ s/,
    );
    await until(() => acted.at(-1) === better.sha256);
    assert.match((await next('refused', 4)).reason!, /slots\.json' cannot be written/);
    rmdirSync(at('slots/slots.json.tmp'));
    const record = readFileSync(join(directory, RECORD_FILE), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      record.map(({ stage, robot, what }) => [stage, robot, what]),
      [
        ['canary', 'arm-1', 'announced'],
        ['canary', 'arm-1', 'acting'],
        ['canary', 'arm-1', 'accepted'],
        ['canary', undefined, 'stage done'],
        ['100%', undefined, 'stage done'],
        ['100%', undefined, 'done'],
        ['canary', 'arm-1', 'announced'],
        ['canary', 'arm-1', 'acting'],
        ['canary', 'arm-1', 'failed'],
        ['canary', undefined, 'halted'],
      ],
    );

    /** Announces a target, and returns why it was refused. */
    const refusal = async (target: string) => {
      const seen = deliveries.length;
      await desire(target);
      return (await next('refused', seen)).reason!;
    };
    assert.match(await refusal(flipped), /it was tried before: observations are/);
    assert.match(await refusal(good.replace('/1.', '/9.')), /not among the signed targets/);
    pendulumPolicy(at('full.onnx'), 0, 3);
    assert.match(
      await refusal(repository.publish(at('full.onnx')).target),
      /its actions differ from the acting policy's by 50 % of their range/,
    );
    // The square root of what leans the other way.
    const { manifest } = pendulumPolicy(at('root.onnx'));
    writePolicyFile(
      at('root.onnx'),
      {
        name: 'root',
        node: [
          {
            input: [INPUT],
            output: ['sum'],
            opType: 'ReduceSum',
            attribute: [{ name: 'keepdims', type: 2, i: 1 }],
          },
          { input: ['sum'], output: [OUTPUT], opType: 'Sqrt' },
        ],
        initializer: [],
        input: [tensorInfo(INPUT, [1, 4])],
        output: [tensorInfo(OUTPUT, [1, 1])],
      },
      manifest,
    );
    assert.match(
      await refusal(repository.publish(at('root.onnx')).target),
      /its action for joint 'slider' is not finite for the observation/,
    );
    const faster = { safety: { ...manifest.safety, joints: [{ joint: 'hinge', velocity: 100 }] } };
    pendulumPolicy(at('limits.onnx'), 1.1, 0, faster);
    assert.match(await refusal(repository.publish(at('limits.onnx')).target), /its safety limits differ/);
    pendulumPolicy(at('rate.onnx'), 1, 0, { controlRate: 50 });
    assert.match(
      await refusal(repository.publish(at('rate.onnx')).target),
      /it is for the interface '.*', this robot's is/,
    );
    pendulumPolicy(at('task.onnx'), 1, 0, { task: 'hopper' });
    assert.match(
      await refusal(repository.publish(at('task.onnx')).target),
      /it is for the interface 'hopper-/,
    );
    // Whoever has the keys signs it under another task's name.
    assert.match(
      await refusal(misnamed(directory, keys, good)),
      /is for task 'hopper', not 'inverted-pendulum'/,
    );
    const seen = deliveries.length;
    await announce({ robot: 'arm-1', target: '../../etc/passwd' });
    assert.match((await next('refused', seen)).reason!, /the announcement is malformed/);

    // The power goes while a policy is on trial: afterwards the good one acts, and the other gets one more try.
    const { sha256: tried } = pendulumPolicy(at('third.onnx'), 0.9);
    const third = repository.publish(at('third.onnx')).target;
    const before = deliveries.length;
    await desire(third);
    await next('acting', before);
    // Its file is there, whole, before a row of it.
    await until(() => readdirSync(at('recordings')).filter((name) => name.endsWith('.mcap')).length === 5);
    robot.child.kill('SIGKILL');
    await robot.ended;
    robot = control();
    assert.deepEqual((await next('interrupted', before)).target, third);
    assert.equal(acted.at(-1), better.sha256);
    await next('accepted', before);
    assert.match(await refusal(good), /downgraded: version \d+ acts here/);
    assert.ok(lean < 0.2, `the pole leant ${lean} rad`);
    robot.child.kill('SIGINT');
    const ended = await robot.ended;
    assert.deepEqual([ended.code, JSON.parse(ended.stdout).fault], [0, 'none'], ended.stderr);

    // What was recorded says the same, and all of it is taken, what the killed one left too.
    const collect = ['collect', '--out', at('fleet'), '--import', at('recordings'), '--json'];
    const collected = JSON.parse((await farsight(...collect).ended).stdout);
    assert.equal(collected.quarantined, 0);
    const { sources } = await rowsOf(at('fleet'));
    assert.deepEqual(
      sources.map(({ segment, policy }) => [segment, policy]),
      [
        ...[first.sha256, better.sha256, wrong, better.sha256, tried].map((policy, i) => [i, policy]),
        ...[better.sha256, tried].map((policy, i) => [i, policy]),
      ],
    );
  },
);

/** Signs the policy file of the task hopper as the next version for the pendulum. */
function misnamed(directory: string, keys: string, good: string): string {
  const { version } = PolicyRepository.open({ directory, keys: [] }).roles()[1];
  const path = join(directory, 'metadata', `${version}.targets.json`);
  const targets = Metadata.fromJSON(MetadataKind.Targets, JSON.parse(readFileSync(path, 'utf8')));
  const { signed } = targets;
  const other = Object.values(signed.targets).find(({ path: name }) => name.startsWith('hopper-'))!;
  const name = good.replace('/1.', '/99.');
  const { length, hashes } = other;
  const custom = { ...signed.targets[good].custom, version: 99 };
  const json = targets.toJSON() as { signed: { version: number; targets: Record<string, unknown> } };
  json.signed.targets[name] = { length, hashes, custom };
  json.signed.version++;
  const next = Metadata.fromJSON(MetadataKind.Targets, json as never);
  for (const { name: role, sign } of readKeys(keys)) if (role === 'targets') next.sign(sign!, false);
  writeFileSync(join(directory, 'metadata', `${version + 1}.targets.json`), JSON.stringify(next.toJSON()));
  const file = (of: string, at: string) =>
    join(directory, 'targets', of.split('/')[0], `${hashes.sha256}.${at}.onnx`);
  writeFileSync(file(name, '99'), readFileSync(file(other.path, '1')));
  PolicyRepository.open({ directory, keys: readKeys(keys) }).refresh();
  return name;
}
