// π₀ as the loop calls it: preallocated observation and action, run synchronously, checked before use.
import { FarsightError, messageOf } from '../contract/errors.js';
import type { Manifest } from '../contract/manifest.js';
import { INPUT, OUTPUT, selfCheck } from '../contract/policyFile.js';
import { BoundSession, pinnedVector } from './onnxRuntime.js';

/** A loaded policy: fill `observation` `[n]`, call `run`, read `action` `[m]` in the robot's units. */
export class Policy {
  readonly observation: Float32Array;
  readonly action: Float32Array;
  readonly session: BoundSession;

  /**
   * Loads the model and replays the manifest's self-check. Throws a `FarsightError` that names the file `name` when
   * the runtime cannot run it with the manifest's sizes, or it does not compute what was exported.
   */
  constructor(name: string, model: Uint8Array, manifest: Manifest) {
    const observation = pinnedVector(manifest.observation.length);
    const action = pinnedVector(manifest.action.length);
    this.observation = observation;
    this.action = action;
    try {
      const input = { name: INPUT, values: observation };
      this.session = new BoundSession(model, input, { name: OUTPUT, values: action });
      this.run();
    } catch (error) {
      if (error instanceof FarsightError) throw error;
      throw new FarsightError(`policy '${name}': ONNX Runtime cannot run it: ${messageOf(error)}`);
    }
    selfCheck(name, manifest, (values) => {
      observation.set(values);
      this.run();
      return action;
    });
  }

  run(): void {
    this.session.run();
  }

  /** Gives the model's memory back. */
  release(): void {
    this.session.release();
  }
}
