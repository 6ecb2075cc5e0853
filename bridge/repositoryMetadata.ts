// The metadata of a policy repository on its disk: what is in force of each role, and what still waits for signatures.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  Metadata,
  type MetadataKind,
  type Root,
  type Snapshot,
  type Targets,
  type Timestamp,
} from '@tufjs/models';
import { METADATA_FOLDER, type RoleName } from '../contract/delivery.js';
import { makeDirectory } from '../contract/directory.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { writeWhole } from '../contract/wholeFile.js';

export type Signed = Metadata<Root> | Metadata<Targets> | Metadata<Snapshot> | Metadata<Timestamp>;

/** What waits for signatures; not served. */
const STAGED = 'staged';

export class RepositoryMetadata {
  readonly #directory: string;

  /** Of the repository. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  get exists(): boolean {
    return existsSync(join(this.#directory, METADATA_FOLDER));
  }

  make(): void {
    for (const folder of [METADATA_FOLDER, STAGED]) makeDirectory(join(this.#directory, folder));
  }

  /** The root that is in force. Throws a `FarsightError` before there is one. */
  root(): Metadata<Root> {
    const root = this.newest('root');
    if (!root)
      throw new FarsightError(
        `--repository '${this.#directory}': its root waits for signatures (farsight deliver sign)`,
      );
    return root;
  }

  /** What is in force. */
  newest(role: 'root'): Metadata<Root> | undefined;
  newest(role: 'targets'): Metadata<Targets> | undefined;
  newest(role: 'snapshot'): Metadata<Snapshot> | undefined;
  newest(role: RoleName): Signed | undefined;
  newest(role: RoleName): Signed | undefined {
    if (role === 'timestamp') return this.#read(join(METADATA_FOLDER, 'timestamp.json'), role);
    const versions = readdirSync(join(this.#directory, METADATA_FOLDER))
      .map((name) => new RegExp(`^(\\d+)\\.${role}\\.json$`).exec(name)?.[1])
      .filter((version) => version !== undefined)
      .map(Number);
    if (versions.length === 0) return undefined;
    return this.#read(join(METADATA_FOLDER, `${Math.max(...versions)}.${role}.json`), role);
  }

  /** Puts it in force. */
  enact(role: RoleName, metadata: Signed): void {
    const version = role === 'timestamp' ? '' : `${metadata.signed.version}.`;
    this.#write(join(METADATA_FOLDER, `${version}${role}.json`), metadata);
  }

  isStaged(role: 'root' | 'targets'): boolean {
    return existsSync(join(this.#directory, STAGED, `${role}.json`));
  }

  staged(role: 'root'): Metadata<Root> | undefined;
  staged(role: 'root' | 'targets'): Signed | undefined;
  staged(role: 'root' | 'targets'): Signed | undefined {
    return this.#read(join(STAGED, `${role}.json`), role);
  }

  stage(role: 'root' | 'targets', metadata: Signed): void {
    this.#write(join(STAGED, `${role}.json`), metadata);
  }

  unstage(role: 'root' | 'targets'): void {
    rmSync(join(this.#directory, STAGED, `${role}.json`));
  }

  #read(path: string, role: RoleName): Signed | undefined {
    const whole = join(this.#directory, path);
    if (!existsSync(whole)) return undefined;
    try {
      return Metadata.fromJSON(role as MetadataKind.Root, JSON.parse(readFileSync(whole, 'utf8')));
    } catch (error) {
      throw new FarsightError(`'${whole}' is damaged (${messageOf(error)}): bring it back from a copy`);
    }
  }

  #write(path: string, metadata: Signed): void {
    writeWhole(join(this.#directory, path), JSON.stringify(metadata.toJSON(), null, 1));
  }
}

/** Whether enough of the keys that `root` has for the role have signed. */
export function verifies(root: Metadata<Root>, role: RoleName, metadata: Signed): boolean {
  try {
    root.verifyDelegate(role, metadata as Metadata<Root>);
    return true;
  } catch {
    return false;
  }
}
