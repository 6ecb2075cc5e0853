// Hostile mirrors: whatever one sends, a robot's client takes nothing that the repository does not sign now, and says why.
import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { PolicyClient } from '../../bridge/policyClient.js';
import { PolicyRepository, type RoleKeys } from '../../bridge/policyRepository.js';
import { servePolicies } from '../../bridge/policyServer.js';
import { makeKey, readKeys } from '../../bridge/signingKeys.js';
import { ROLES } from '../../contract/delivery.js';
import { startCommand } from '../fixtures/command.js';
import { freePort } from '../fixtures/freePort.js';
import { divisionPolicyFixture, temporaryDirectory } from '../fixtures/policy.js';

const folder = temporaryDirectory();
const first = join(folder, 'first.onnx');
const second = join(folder, 'second.onnx');
const sha = [first, second].map(
  (path, seed) =>
    divisionPolicyFixture(path, { selfCheck: [{ observation: [seed + 1], action: [1] }] }).sha256,
);
const TARGET = 'division-';
let made = 0;

/** A repository with a key a role, its own server, and a client of a robot that trusts it. */
async function fixture() {
  const place = join(folder, String(made++));
  const directory = join(place, 'repository');
  const keys = join(place, 'keys');
  const roles = Object.fromEntries(
    ROLES.map((role) => [role, { keys: [makeKey(keys, role)], threshold: 1 }]),
  ) as RoleKeys;
  const repository = PolicyRepository.init({ directory, keys: readKeys(keys) }, roles);
  const server = await servePolicies(directory, { host: '127.0.0.1', port: 0 });
  after(() => server.stop());
  const client = () =>
    new PolicyClient({
      url: server.url,
      root: join(directory, 'metadata', '1.root.json'),
      directory: join(place, 'trust'),
    });
  return { place, directory, keys, repository, url: server.url, client };
}
const openWith = (directory: string, keys: string, lifetimes = {}) =>
  PolicyRepository.open({ directory, keys: readKeys(keys), lifetimes });
const metadata = (directory: string, name: string) => join(directory, 'metadata', name);
/** Replaces what is signed, and keeps the signatures. */
function forge(path: string, change: (signed: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(path, 'utf8'));
  change(json.signed);
  writeFileSync(path, JSON.stringify(json));
}

test('a published policy arrives, bit for bit, with what is signed of it', async () => {
  const { repository, client } = await fixture();
  const { target, waitsFor } = repository.publish(first);
  assert.deepEqual(waitsFor, []);
  assert.match(target, new RegExp(`^${TARGET}[0-9a-f]{8}/1\\.onnx$`));
  const signed = await client().fetch(target);
  assert.equal(signed.policy.sha256, sha[0]);
  assert.deepEqual(signed.about, {
    task: 'division',
    interface: target.split('/')[0],
    version: 1,
    parent: null,
  });
  assert.match(repository.publish(second).target, /\/2\.onnx$/);
  assert.throws(() => repository.publish(first), /published already, as division-.*\/1\.onnx/);
  // A number is never used twice, whatever was withdrawn.
  assert.throws(() => repository.withdraw('constructor'), /target 'constructor': not in the repository/);
  repository.withdraw(target.replace('/1.', '/2.'));
  assert.match(repository.publish(second).target, /\/3\.onnx$/);
  await assert.rejects(client().fetch(target.replace('/1.', '/2.')), /not among the signed targets/);
});

test('unsigned, signed by another key, altered: refused', async () => {
  const { place, directory, repository, client } = await fixture();
  const { target } = repository.publish(first);
  const good = readFileSync(metadata(directory, 'timestamp.json'), 'utf8');
  const unsigned = JSON.parse(good);
  unsigned.signatures = [];
  writeFileSync(metadata(directory, 'timestamp.json'), JSON.stringify(unsigned));
  await assert.rejects(client().fetch(target), /not signed by who may: timestamp was signed by 0\/1 keys/);

  // All of it made anew with keys of the attacker's own.
  const theirs = join(place, 'theirs');
  const roles = Object.fromEntries(
    ROLES.map((role) => [role, { keys: [makeKey(theirs, role)], threshold: 1 }]),
  );
  const other = join(place, 'other');
  PolicyRepository.init({ directory: other, keys: readKeys(theirs) }, roles as RoleKeys).publish(second);
  cpSync(metadata(other, 'timestamp.json'), metadata(directory, 'timestamp.json'));
  await assert.rejects(client().fetch(target), /not signed by who may/);

  writeFileSync(metadata(directory, 'timestamp.json'), good);
  assert.equal((await client().fetch(target)).policy.sha256, sha[0]);
  // A new root that the old one did not sign.
  cpSync(metadata(other, '1.root.json'), metadata(directory, '2.root.json'));
  forge(metadata(directory, '2.root.json'), (signed) => {
    signed.version = 2;
  });
  await assert.rejects(client().fetch(target), /not signed by who may: root was signed by 0\/1 keys/);
  rmSync(metadata(directory, '2.root.json'));

  forge(metadata(directory, '2.targets.json'), (signed) => {
    (signed.targets as Record<string, { custom: { version: number } }>)[target].custom.version = 9;
  });
  rmSync(join(place, 'trust'), { recursive: true });
  await assert.rejects(client().fetch(target), /not signed by who may: targets was signed by 0\/1 keys/);
});

test('expired, frozen, downgraded, mixed: refused, and all is well again with the next true answer', async () => {
  const { place, directory, keys, repository, client } = await fixture();
  const { target } = repository.publish(first);
  const names = () => readdirSync(join(directory, 'metadata'));
  const old = join(place, 'old');
  cpSync(join(directory, 'metadata'), old, { recursive: true });
  const next = repository.publish(second).target;
  assert.equal((await client().fetch(next)).policy.sha256, sha[1]);

  // The mirror goes back to what was signed before: valid, and older than what this robot has seen.
  const now = join(place, 'now');
  cpSync(join(directory, 'metadata'), now, { recursive: true });
  cpSync(old, join(directory, 'metadata'), { recursive: true });
  await assert.rejects(
    client().fetch(target),
    /downgraded: New timestamp version \d+ is less than current version/,
  );

  // A true timestamp beside the snapshot of another time.
  cpSync(now, join(directory, 'metadata'), { recursive: true });
  const newest = (role: string) =>
    Math.max(...names().map((name) => Number(new RegExp(`^(\\d+)\\.${role}`).exec(name)?.[1] ?? 0)));
  const snapshots = newest('snapshot');
  cpSync(join(old, `${snapshots - 1}.snapshot.json`), metadata(directory, `${snapshots}.snapshot.json`));
  rmSync(join(place, 'trust'), { recursive: true });
  await assert.rejects(client().fetch(next), /Snapshot version doesn't match timestamp/);
  cpSync(now, join(directory, 'metadata'), { recursive: true });
  cpSync(join(old, '2.targets.json'), metadata(directory, `${newest('targets')}.targets.json`));
  rmSync(join(place, 'trust'), { recursive: true });
  await assert.rejects(client().fetch(next), /Version 2 of targets does not match snapshot version 3/);
  cpSync(now, join(directory, 'metadata'), { recursive: true });

  // Nobody refreshes, or a mirror is frozen: what holds for a second is refused after it, though it was accepted once.
  openWith(directory, keys, { timestamp: 2 / 86_400 }).refresh();
  assert.equal((await client().fetch(next)).policy.sha256, sha[1]);
  await new Promise((resolve) => setTimeout(resolve, 2100));
  await assert.rejects(
    client().fetch(next),
    /timestamp.json is expired: nobody refreshes it, or a mirror is frozen/,
  );
  openWith(directory, keys).refresh();
  assert.equal((await client().fetch(next)).policy.sha256, sha[1]);
  assert.throws(
    () => PolicyRepository.open({ directory, keys: [] }).refresh(),
    /timestamp: its key is not at hand/,
  );
});

test('cut short, altered, endless, away: refused, and nothing is left behind', async () => {
  const { place, directory, repository, client } = await fixture();
  const { target } = repository.publish(first);
  const file = join(directory, 'targets', target.split('/')[0], `${sha[0]}.1.onnx`);
  const bytes = readFileSync(file);
  const trust = join(place, 'trust');
  writeFileSync(file, bytes.subarray(0, 100));
  await assert.rejects(
    client().fetch(target),
    /not the bytes that were signed: Expected length \d+ but got 100/,
  );
  const altered = Buffer.from(bytes);
  altered[50] ^= 1;
  writeFileSync(file, altered);
  await assert.rejects(client().fetch(target), /not the bytes that were signed: Expected hash/);
  rmSync(file);
  await assert.rejects(client().fetch(target), /answers 404/);

  // A mirror that never ends, for each kind of file.
  const endless = async (part: RegExp) => {
    let sent = 0;
    const pour = (response: ServerResponse) => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 32))) sent += 65_536;
      if (!response.destroyed) response.once('drain', () => pour(response));
    };
    const server = createServer((request, response) => {
      if (part.test(request.url!)) return pour(response);
      try {
        response.end(readFileSync(join(directory, request.url!)));
      } catch {
        response.writeHead(404).end();
      }
    }).listen(0, '127.0.0.1');
    const { port } = await new Promise<AddressInfo>((resolve) =>
      server.once('listening', () => resolve(server.address() as AddressInfo)),
    );
    const robot = new PolicyClient({
      url: `http://127.0.0.1:${port}`,
      root: metadata(directory, '1.root.json'),
      directory: join(place, 'endless', part.source.replaceAll(/\W/g, '')),
    });
    await assert.rejects(robot.fetch(target), /not the bytes that were signed: Max length reached/);
    assert.ok(sent < 20e6, `${sent} bytes for ${part}`);
    server.closeAllConnections();
    server.close();
  };
  writeFileSync(file, bytes);
  for (const part of [/timestamp\.json/, /2\.root\.json/, /snapshot\.json/, /targets\.json/, /\.onnx/])
    await endless(part);
  assert.deepEqual(readdirSync(trust), ['trust.json']);
  assert.equal((await client().fetch(target)).policy.sha256, sha[0]);
  const nobody = new PolicyClient({
    url: `http://127.0.0.1:${await freePort()}`,
    root: metadata(directory, '1.root.json'),
    directory: trust,
  });
  await assert.rejects(nobody.fetch(target), /ECONNREFUSED/);
});

test('what expires is signed for another term, without a policy that comes or goes', async () => {
  const place = join(folder, 'terms');
  const directory = join(place, 'repository');
  const keys = join(place, 'keys');
  const roles = Object.fromEntries(
    ROLES.map((role) => [role, { keys: [makeKey(keys, role)], threshold: 1 }]),
  ) as RoleKeys;
  PolicyRepository.init({ directory, keys: readKeys(keys), lifetimes: { root: 1, targets: 1 } }, roles);
  const { target } = openWith(directory, keys, { targets: 1 }).publish(first);
  const lasts = (role: string) => {
    const { expires } = openWith(directory, keys)
      .roles()
      .find((each) => each.role === role)!;
    return Math.round((Date.parse(expires) - Date.now()) / 86_400_000);
  };
  for (const [role, days] of [
    ['root', 365],
    ['targets', 90],
  ] as const) {
    const { code } = await startCommand(['deliver', 'role', role, '--repository', directory, '--keys', keys])
      .ended;
    assert.deepEqual([code, lasts(role)], [0, days]);
  }
  assert.deepEqual([...openWith(directory, keys).targets().keys()], [target]);
});

test('thresholds, keys that are elsewhere, a root key that is lost and one that is rotated', async () => {
  const place = join(folder, 'ceremony');
  const directory = join(place, 'repository');
  const [safe, desk, online] = ['safe', 'desk', 'online'].map((name) => join(place, name));
  // Each place has its private keys, and the public ones of the others.
  const share = () => {
    const all = [safe, desk, online].flatMap((from) =>
      readdirSync(from)
        .filter((name) => name.endsWith('.pub'))
        .map((name) => join(from, name)),
    );
    for (const to of [safe, desk, online])
      for (const path of all) writeFileSync(join(to, path.split('/').at(-1)!), readFileSync(path));
  };
  for (const [where, names] of [
    [safe, ['root-1', 'root-2']],
    [desk, ['root-3', 'targets-1', 'targets-2']],
    [online, ['online']],
  ] as const)
    for (const name of names) makeKey(where, name);
  share();
  const at = (where: string) => openWith(directory, where);
  const pick = (...names: string[]) => readKeys(desk).filter(({ name }) => names.includes(name));
  const roles: RoleKeys = {
    root: { keys: pick('root-1', 'root-2', 'root-3'), threshold: 2 },
    targets: { keys: pick('targets-1', 'targets-2'), threshold: 2 },
    snapshot: { keys: pick('online'), threshold: 1 },
    timestamp: { keys: pick('online'), threshold: 1 },
  };
  mkdirSync(directory, { recursive: true });
  assert.throws(() => at(desk), /none there/);
  PolicyRepository.init({ directory, keys: readKeys(desk) }, roles);
  assert.throws(() => at(online).publish(first), /its root waits for signatures/);
  assert.match(at(desk).sign()[0], /root: 1 of 2 signatures of its new keys/);
  assert.match(at(safe).sign()[0], /targets: 0 of 2 signatures of its keys/);
  assert.match(at(desk).sign()[0], /snapshot: its key is not at hand/);
  at(online).refresh();

  const server = await servePolicies(directory, { host: '127.0.0.1', port: 0 });
  after(() => server.stop());
  const root = metadata(directory, '1.root.json');
  const robot = new PolicyClient({ url: server.url, root, directory: join(place, 'trust') });
  const { target, waitsFor } = at(desk).publish(first);
  assert.match(waitsFor[0], /snapshot: its key/);
  await assert.rejects(robot.fetch(target), /not among the signed targets/);
  at(online).refresh();
  assert.equal((await robot.fetch(target)).policy.sha256, sha[0]);

  // root-1 is lost, root-4 takes its place: enough of the old and enough of the new keys sign, at two places.
  makeKey(safe, 'root-4');
  share();
  const key = (name: string) => readKeys(online).filter((each) => each.name === name);
  assert.throws(
    () => at(online).changeRole('root', { remove: [...key('root-1'), ...key('root-2')] }),
    /1 keys would be left, and 2 must sign/,
  );
  const waits = at(online).changeRole('root', { add: key('root-4'), remove: key('root-1') });
  assert.deepEqual(
    waits.map((text) => text.slice(0, 40)),
    ['root: 0 of 2 signatures of its keys (far', 'root: 0 of 2 signatures of its new keys '],
  );
  rmSync(join(safe, 'root-1.key'));
  assert.equal(at(safe).sign()[0].slice(0, 36), 'root: 1 of 2 signatures of its keys ');
  assert.match(at(desk).sign()[0], /its key is not at hand/);
  at(online).refresh();
  // Leaked targets keys: what they signed counts no more, and is signed again by the one in their place.
  makeKey(desk, 'targets-3');
  share();
  const change = { add: key('targets-3'), remove: pick('targets-1', 'targets-2'), threshold: 1 };
  at(desk).changeRole('targets', change);
  at(safe).sign();
  at(desk).sign();
  at(online).refresh();
  assert.deepEqual(
    at(online)
      .roles()
      .map(({ role, version, threshold }) => [role, version, threshold]),
    [
      ['root', 3, 2],
      ['targets', 3, 1],
      ['snapshot', 3, 1],
      ['timestamp', 5, 1],
    ],
  );
  // The robot walks from the root that it was brought, over both changes, to what they sign.
  const next = at(desk).publish(second).target;
  at(online).refresh();
  assert.equal((await robot.fetch(next)).policy.sha256, sha[1]);

  chmodSync(join(desk, 'targets-3.key'), 0o640);
  assert.throws(() => readKeys(desk), /others may read the private key: chmod 600/);
  assert.throws(() => makeKey(online, 'online'), /a key is never replaced/);
});
