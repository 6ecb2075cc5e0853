// What a refit comes to: found and decided, as refit.json and its page have it.
import type { Latency } from './latency.js';
import type { ModelReturn } from './modelReturn.js';
import type { RealTransitions } from './realTransitions.js';

interface Change<T = number> {
  before: T;
  after: T;
}

/** What refit.json holds and `farsight refit --json` prints. */
export interface RefitResult {
  directory: string;
  /** policy.onnx, or policy.rejected.onnx. */
  policy: string;
  accepted: boolean;
  transitions: { training: number; heldOut: number };
  skipped: RealTransitions['skipped'];
  /** Null where too few transitions follow one another. */
  latency: Latency | null;
  /** Those that made the policy: all that were asked for, or fewer when later ones lost the return. */
  updates: number;
  /** Mean L2 distance of predicted and real next observation on the held-out real transitions, in task units. */
  modelError: Change;
  /** Mean absolute error of each term of the observation there. */
  termErrors: (Change & { term: string })[];
  /** Mean return in simulation, over the same start states: of the parent's file, and of the new policy. */
  return: Change;
  /** The same in the model fitted to the robot, where `sd` is between its members. */
  returnInModel: Change<ModelReturn>;
  /** SHA-256 of each recording that the new policy was refined on, those of the parent's lineage first. */
  datasets: string[];
  /** SHA-256 of the parent's policy.onnx. */
  parent: string;
  seconds: number;
}
