// The manifest: what a policy file says about itself, one JSON object in the ONNX file's metadata.
import { z } from 'zod';
import { interfaceSchema } from './terms.js';

/** Raised whenever a reader of the previous version could misunderstand the file. */
export const MANIFEST_VERSION = 1;

/** Smallest standard deviation of an observation in its score: a value that never varied in training may at all. */
export const LEAST_DEVIATION = 1e-3;

const finiteVector = z.array(z.number());

export const manifestSchema = interfaceSchema.extend({
  version: z.literal(MANIFEST_VERSION),
  /**
   * Which of `safety` the export derived, such as 'hinge position' or 'outOfDistribution'; the task states the rest.
   * Files from before that was done have none.
   */
  derivedLimits: z.array(z.string()).optional(),
  /** Where the policy comes from. */
  provenance: z.strictObject({
    seed: z.int(),
    environmentSteps: z.int().nonnegative(),
    /** Mean return over episodes by which the policy was not chosen, or null where there were none. */
    return: z.number().nullable(),
    /** Mean return of the evaluation by which it was: the best of many, and so too high. */
    selectionReturn: z.number().optional(),
    preset: z.string(),
    created: z.iso.datetime(),
    sourceRevision: z.string(),
    /** SHA-256 of each recording that the policy was refined on. */
    datasets: z.array(z.string()).default([]),
    /** SHA-256 of the policy file that this one was refined from. */
    parent: z.string().nullable().default(null),
  }),
  /** Observations seen in training, per term: what the robot compares its own with. */
  observationStatistics: z.strictObject({
    mean: finiteVector,
    sd: finiteVector,
    low: finiteVector,
    high: finiteVector,
  }),
  /** Pairs that the controller replays on load; it refuses the file when one differs. */
  selfCheck: z.array(z.strictObject({ observation: finiteVector, action: finiteVector })).min(1),
});
export type Manifest = z.infer<typeof manifestSchema>;
