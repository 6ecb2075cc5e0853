// The publisher's side of delivery: a TUF repository of policy files as plain files, which any web server can serve.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp } from '@tufjs/models';
import { z } from 'zod';
import { datasetName, datasetTaskOf } from '../contract/dataset.js';
import {
  type PolicyTarget,
  policyTargetSchema,
  ROLES,
  type RoleName,
  TARGETS_FOLDER,
} from '../contract/delivery.js';
import { makeDirectory } from '../contract/directory.js';
import { lockDirectory } from '../contract/directoryLock.js';
import { FarsightError, UsageError } from '../contract/errors.js';
import { readPolicyFile } from '../contract/policyFile.js';
import { writeWhole } from '../contract/wholeFile.js';
import { RepositoryMetadata, type Signed, verifies } from './repositoryMetadata.js';
import type { SigningKey } from './signingKeys.js';

const DAYS = { error: 'must be a number of days, above 0 and at most 36500' };
/** Days for which what a role signs holds. */
export const lifetimesSchema = z.record(z.enum(ROLES), z.number(DAYS).positive(DAYS).max(36_500, DAYS));
export const LIFETIMES: Readonly<Record<RoleName, number>> = {
  root: 365,
  targets: 90,
  snapshot: 7,
  timestamp: 1,
};
const KEYS = { error: 'must be a number of keys, at least 1' };
/** How many of a role's keys must sign. */
export const thresholdsSchema = z.record(z.enum(ROLES), z.int(KEYS).positive(KEYS));
export const THRESHOLDS: Readonly<Record<RoleName, number>> = {
  root: 1,
  targets: 1,
  snapshot: 1,
  timestamp: 1,
};
const SPEC = '1.0.31';
const DAY = 86_400_000;

export interface RepositoryOptions {
  directory: string;
  /** Those at hand; roles whose keys are elsewhere are signed there. */
  keys: readonly SigningKey[];
  lifetimes?: Partial<Record<RoleName, number>>;
}

/** Of each role, its keys and how many of them must sign. */
export type RoleKeys = Record<RoleName, { keys: SigningKey[]; threshold: number }>;

export interface RoleState {
  role: RoleName;
  version: number;
  expires: string;
  threshold: number;
  keys: string[];
}

export class PolicyRepository {
  readonly #directory: string;
  readonly #metadata: RepositoryMetadata;
  readonly #keys: readonly SigningKey[];
  readonly #lifetimes: Record<RoleName, number>;

  private constructor({ directory, keys, lifetimes }: RepositoryOptions) {
    this.#directory = directory;
    this.#metadata = new RepositoryMetadata(directory);
    this.#keys = keys;
    this.#lifetimes = { ...LIFETIMES, ...lifetimes };
  }

  /** Opens what `init` made. Throws a `FarsightError` when there is none. */
  static open(options: RepositoryOptions): PolicyRepository {
    const repository = new PolicyRepository(options);
    if (!repository.#metadata.exists)
      throw new FarsightError(
        `--repository '${options.directory}': none there; make one with: farsight deliver init`,
      );
    return repository;
  }

  /** Makes an empty repository. Throws a `FarsightError` for one that exists and for keys that do not suffice. */
  static init(options: RepositoryOptions, roles: RoleKeys): PolicyRepository {
    const { directory } = options;
    const repository = new PolicyRepository(options);
    if (repository.#metadata.exists)
      throw new FarsightError(`--repository '${directory}': there is one already`);
    const root = new Root({ ...repository.#header('root', 0), consistentSnapshot: true });
    for (const role of ROLES) {
      const { keys, threshold } = roles[role];
      if (keys.length < threshold || threshold < 1)
        throw new UsageError(`--threshold ${role}=${threshold}: the role has ${keys.length} keys`);
      for (const { key } of keys) root.addKey(key, role);
      root.roles[role] = withThreshold(root.roles[role], threshold);
    }
    repository.#metadata.make();
    makeDirectory(join(directory, TARGETS_FOLDER));
    return repository.#locked(() => {
      repository.#metadata.stage('root', new Metadata(root));
      repository.#metadata.stage('targets', new Metadata(new Targets(repository.#header('targets', 0))));
      repository.#settle();
      return repository;
    });
  }

  /**
   * Adds a policy file as the next version for its interface. Returns the target's name, and what signatures are still
   * missing. Throws a `FarsightError` for a file that is no policy.
   */
  publish(path: string): { target: string; waitsFor: string[] } {
    const { manifest, bytes, sha256 } = readPolicyFile(path);
    return this.#locked(() => {
      const { signed } = this.#draft('targets');
      const name = datasetName(datasetTaskOf(manifest));
      const published = Object.values(signed.targets).find(({ hashes }) => hashes.sha256 === sha256);
      if (published) throw new FarsightError(`policy '${path}' is published already, as ${published.path}`);
      const version = 1 + Math.max(0, ...this.#everPublished(name));
      const target = `${name}/${version}.onnx`;
      const custom: PolicyTarget = {
        ...{ task: manifest.task, interface: name, version },
        parent: manifest.provenance.parent,
      };
      const file = join(this.#directory, TARGETS_FOLDER, name, `${sha256}.${version}.onnx`);
      makeDirectory(dirname(file));
      writeWhole(file, bytes);
      const hashes = { sha256 };
      signed.addTarget(
        new TargetFile({ path: target, length: bytes.length, hashes, unrecognizedFields: { custom } }),
      );
      this.#metadata.stage('targets', new Metadata(signed));
      return { target, waitsFor: this.#settle() };
    });
  }

  /** Takes a target off the list: no robot begins to run it any more. */
  withdraw(target: string): { waitsFor: string[] } {
    return this.#locked(() => {
      const { signed } = this.#draft('targets');
      if (!Object.hasOwn(signed.targets, target))
        throw new FarsightError(`target '${target}': not in the repository`);
      delete signed.targets[target];
      this.#metadata.stage('targets', new Metadata(signed));
      return { waitsFor: this.#settle() };
    });
  }

  /** Signs the list of targets anew, as it is, before it expires. Returns what signatures are still missing. */
  renewTargets(): string[] {
    return this.#locked(() => {
      this.#metadata.stage('targets', new Metadata(this.#draft('targets').signed));
      return this.#settle();
    });
  }

  /**
   * Changes who may sign for a role. The change itself needs enough of the root keys before and after it; without any the root
   * is signed anew.
   */
  changeRole(
    role: RoleName,
    change: { add?: SigningKey[]; remove?: SigningKey[]; threshold?: number },
  ): string[] {
    return this.#locked(() => {
      const { signed } = this.#draft('root');
      const { add = [], remove = [] } = change;
      for (const { key } of add) signed.addKey(key, role);
      const gone = new Set(remove.map(({ key }) => key.keyID));
      const { keyIDs, threshold } = signed.roles[role];
      const kept = keyIDs.filter((id) => !gone.has(id));
      const wanted = change.threshold ?? threshold;
      if (kept.length < wanted || wanted < 1)
        throw new UsageError(`role ${role}: ${kept.length} keys would be left, and ${wanted} must sign`);
      signed.roles[role] = withThreshold(signed.roles[role], wanted, kept);
      const used = new Set(Object.values(signed.roles).flatMap((each) => each.keyIDs));
      for (const id of Object.keys(signed.keys)) if (!used.has(id)) delete signed.keys[id];
      this.#metadata.stage('root', new Metadata(signed));
      return this.#settle();
    });
  }

  /** Signs what is staged with the keys at hand. Returns what is still missing. */
  sign(): string[] {
    return this.#locked(() => this.#settle());
  }

  /** A new timestamp, and a new snapshot when it is due. Throws a `FarsightError` without their keys. */
  refresh(): void {
    this.#locked(() => {
      const missing = this.#refresh();
      if (missing.length > 0) throw new FarsightError(`cannot refresh: ${missing.join('; ')}`);
    });
  }

  /** The signed targets, by name. */
  targets(): Map<string, PolicyTarget & { sha256: string; length: number }> {
    const { signed } = this.#metadata.newest('targets') ?? { signed: { targets: {} } };
    return new Map(
      Object.values(signed.targets).map(({ path, custom, hashes, length }) => [
        path,
        { ...policyTargetSchema.parse(custom), sha256: hashes.sha256, length },
      ]),
    );
  }

  roles(): RoleState[] {
    const root = (this.#metadata.newest('root') ?? this.#metadata.staged('root') ?? this.#metadata.root())
      .signed;
    const names = new Map(this.#keys.map(({ name, key }) => [key.keyID, name]));
    return ROLES.map((role) => {
      const { version = 0, expires = '' } = this.#metadata.newest(role)?.signed ?? {};
      const { keyIDs, threshold } = root.roles[role];
      const keys = keyIDs.map((id) => `${names.get(id) ?? '?'} ${id.slice(0, 8)}`);
      return { role, version, expires, threshold, keys };
    });
  }

  /** Signs what is staged, makes it valid where enough have signed, and renews what depends on it. Returns what is missing. */
  #settle(): string[] {
    const missing: string[] = [];
    for (const role of ['root', 'targets'] as const) {
      const staged = this.#metadata.staged(role);
      if (!staged) continue;
      // The first root of all must be in force before anything else is signed.
      if (role === 'targets' && !this.#metadata.newest('root')) break;
      const ids = this.#signers(role, staged);
      for (const { key, sign } of this.#keys) if (sign && ids.has(key.keyID)) staged.sign(sign);
      const wants = this.#wanting(role, staged);
      if (wants.length > 0) {
        this.#metadata.stage(role, staged);
        missing.push(...wants);
        continue;
      }
      this.#metadata.enact(role, staged);
      this.#metadata.unstage(role);
      // A key that is trusted no more has signed nothing.
      if (role === 'root' && !this.#metadata.isStaged('targets')) {
        const targets = this.#metadata.newest('targets');
        if (targets && !verifies(this.#metadata.root(), 'targets', targets)) {
          this.#metadata.stage('targets', new Metadata(this.#draft('targets').signed));
        }
      }
    }
    return [...missing, ...(this.#metadata.newest('targets') ? this.#refresh() : [])];
  }

  #refresh(): string[] {
    const root = this.#metadata.root();
    const targets = this.#metadata.newest('targets')!;
    const missing: string[] = [];
    let snapshot = this.#metadata.newest('snapshot');
    const due = (metadata: Signed, role: RoleName) =>
      Date.parse(metadata.signed.expires) - Date.now() < (this.#lifetimes[role] * DAY) / 2;
    if (
      !snapshot ||
      snapshot.signed.meta['targets.json']?.version !== targets.signed.version ||
      due(snapshot, 'snapshot') ||
      !verifies(root, 'snapshot', snapshot)
    ) {
      const meta = { 'targets.json': new MetaFile({ version: targets.signed.version }) };
      const next = new Metadata(
        new Snapshot({ ...this.#header('snapshot', snapshot?.signed.version ?? 0), meta }),
      );
      missing.push(...this.#signNow('snapshot', next));
      if (missing.length > 0) return missing;
      this.#metadata.enact('snapshot', next);
      snapshot = next;
    }
    const before = this.#metadata.newest('timestamp')?.signed.version ?? 0;
    const snapshotMeta = new MetaFile({ version: snapshot.signed.version });
    const next = new Metadata(new Timestamp({ ...this.#header('timestamp', before), snapshotMeta }));
    missing.push(...this.#signNow('timestamp', next));
    // Last of all: until then robots see the repository as it was.
    if (missing.length === 0) this.#metadata.enact('timestamp', next);
    return missing;
  }

  /** Signs for a role whose keys are online. Returns what is missing. */
  #signNow(role: RoleName, metadata: Metadata<Snapshot> | Metadata<Timestamp>): string[] {
    const ids = new Set(this.#metadata.root().signed.roles[role].keyIDs);
    for (const { key, sign } of this.#keys) if (sign && ids.has(key.keyID)) metadata.sign(sign);
    return verifies(this.#metadata.root(), role, metadata) ? [] : [`${role}: its key is not at hand`];
  }

  /** Who may sign what is staged: for a new root the keys before and after. */
  #signers(role: 'root' | 'targets', staged: Signed): Set<string> {
    const trusted = role === 'root' ? this.#metadata.newest('root') : this.#metadata.root();
    return new Set([
      ...(trusted?.signed.roles[role].keyIDs ?? []),
      ...(role === 'root' ? (staged as Metadata<Root>).signed.roles.root.keyIDs : []),
    ]);
  }

  #wanting(role: 'root' | 'targets', staged: Signed): string[] {
    const before = role === 'root' ? this.#metadata.newest('root') : this.#metadata.root();
    const after = role === 'root' ? (staged as Metadata<Root>) : undefined;
    const wanting: string[] = [];
    for (const [who, root] of [
      ['', before],
      ['new ', after],
    ] as const) {
      if (!root || verifies(root, role, staged)) continue;
      const { keyIDs, threshold } = root.signed.roles[role];
      const have = keyIDs.filter((id) => staged.signatures[id]).length;
      wanting.push(`${role}: ${have} of ${threshold} signatures of its ${who}keys (farsight deliver sign)`);
    }
    return wanting;
  }

  /** What to change: what is staged, without its signatures, or the next version of what holds. */
  #draft(role: 'root'): { signed: Root };
  #draft(role: 'targets'): { signed: Targets };
  #draft(role: 'root' | 'targets'): { signed: Root | Targets } {
    this.#metadata.root();
    const newest = this.#metadata.newest(role);
    const { signed } = (this.#metadata.staged(role) ?? newest)!;
    const header = this.#header(role, newest?.signed.version ?? 0);
    if (signed instanceof Root) {
      const { keys, roles, consistentSnapshot } = signed;
      return { signed: new Root({ ...header, keys, roles, consistentSnapshot }) };
    }
    return { signed: new Targets({ ...header, targets: (signed as Targets).targets }) };
  }

  /** Versions whose file is there, withdrawn ones too: a number is never used twice. */
  #everPublished(name: string): number[] {
    const folder = join(this.#directory, TARGETS_FOLDER, name);
    return existsSync(folder) ? readdirSync(folder).map((file) => Number(file.split('.')[1]) || 0) : [];
  }

  #header(role: RoleName, before: number) {
    // Without milliseconds, as the specification wants it.
    const expires = new Date(Date.now() + this.#lifetimes[role] * DAY).toISOString().replace(/\.\d+Z$/, 'Z');
    return { version: before + 1, specVersion: SPEC, expires };
  }

  #locked<T>(work: () => T): T {
    const unlock = lockDirectory(this.#directory, `--repository '${this.#directory}'`);
    try {
      return work();
    } finally {
      unlock();
    }
  }
}

function withThreshold(role: Root['roles'][string], threshold: number, keyIDs = role.keyIDs) {
  return Object.assign(Object.create(Object.getPrototypeOf(role)), role, {
    threshold,
    keyIDs,
  }) as typeof role;
}
