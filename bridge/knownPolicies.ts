// The policy files that a collector's recordings may come from, in a directory where others may appear.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { FarsightError } from '../contract/errors.js';
import { readPolicyFile } from '../contract/policyFile.js';
import type { Recording } from '../contract/recording.js';
import { interfaceDifference, type TaskInterface } from '../contract/terms.js';

export class KnownPolicies {
  readonly #directory?: string;
  readonly #interfaces = new Map<string, TaskInterface>();

  /** Any policy's recordings may come when there is no directory. Throws a `FarsightError` that names what is damaged in it. */
  constructor(directory?: string) {
    this.#directory = directory;
    this.#read();
  }

  /** Throws a `FarsightError` when the recording is of none of them, or contradicts the one that it names. */
  check({ policy, interface: recorded }: Recording): void {
    if (this.#directory === undefined) return;
    if (!this.#interfaces.has(policy)) this.#read();
    const known = this.#interfaces.get(policy);
    if (!known) {
      throw new FarsightError(
        `is of policy ${policy.slice(0, 12)}, whose file is not in '${this.#directory}': put it there, then 'farsight collect --import' this file`,
      );
    }
    const difference = interfaceDifference(recorded, known);
    if (difference) throw new FarsightError(`contradicts policy ${policy.slice(0, 12)}: ${difference}`);
  }

  #read(): void {
    if (this.#directory === undefined) return;
    for (const name of readdirSync(this.#directory)) {
      if (!name.endsWith('.onnx')) continue;
      const { sha256, manifest } = readPolicyFile(join(this.#directory, name));
      this.#interfaces.set(sha256, manifest);
    }
  }
}
