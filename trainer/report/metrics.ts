// What a training run writes about itself: one JSON object a line in metrics.jsonl.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { FarsightError } from '../../contract/errors.js';
import { findingsOf } from '../../contract/schemaErrors.js';

const count = z.int().nonnegative();
/** A quantity that does not exist yet, or came out as NaN or infinite, is null. */
const quantity = z.number().nullable();
const returns = z.object({ mean: z.number(), sd: z.number(), returns: z.array(z.number()) });

/**
 * The state of training after `environmentSteps`. A line is written at every evaluation and every 250 environment
 * steps, one line where both fall together.
 */
export const metricsLineSchema = z.object({
  environmentSteps: count,
  /** Wall time since the start, earlier parts of a resumed run included. */
  seconds: z.number().nonnegative(),
  episodes: count,
  /** Mean return of the recent training episodes. */
  trainReturn: quantity,
  /**
   * Returns of the deterministic policy; null on lines without an evaluation. The best so far is evaluated again, from
   * other start states: that is what the policy is worth, and nothing is chosen by it.
   */
  evaluation: returns.extend({ again: returns.optional() }).nullable(),
  updates: count,
  updatesPerSecond: quantity,
  /** Mean over the batch of the imagined steps before the cut. */
  horizon: quantity,
  /** Trajectories since the last line by their length: entry i counts length i + 1, up to Hmax. */
  horizonHistogram: z.array(z.number().nonnegative()).nullable(),
  /** Mean score u of the first imagined step, and the score at which a trajectory is cut. */
  uncertainty: quantity,
  uncertaintyThreshold: quantity,
  /** Mean L2 distance of predicted and real next state on the newest 250 transitions, before the model saw them. */
  modelError: quantity,
  modelHoldoutLoss: quantity,
  modelEpochs: quantity,
  criticLoss: quantity,
  qMean: quantity,
  policyObjective: quantity,
  entropy: quantity,
  /**
   * What was not finite since the last line: trajectories and targets that left their update, updates that were
   * skipped, and transitions that were not taken into the replay buffer.
   */
  leftRows: count.optional(),
  skippedUpdates: count.optional(),
  refusedTransitions: count.optional(),
  /** α. */
  entropyCoefficient: quantity.optional(),
  /** Cumulative seconds. */
  timeSplit: z.object({
    environment: z.number(),
    model: z.number(),
    critic: z.number(),
    policy: z.number(),
    evaluation: z.number(),
  }),
});
export type MetricsLine = z.infer<typeof metricsLineSchema>;

/**
 * The lines of a metrics file in order of `environmentSteps`; none when the file does not exist yet. A kill may tear
 * a line: it is skipped. A run resumed from a checkpoint repeats some steps: its lines replace those it repeats.
 * Throws a `FarsightError` naming the line when a whole one has wrong fields, or when the file is something else.
 */
export function readMetrics(path: string): MetricsLine[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new FarsightError(`metrics '${path}': cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const lines: MetricsLine[] = [];
  let torn = 0;
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch {
      torn++;
      continue;
    }
    const parsed = metricsLineSchema.safeParse(json);
    if (!parsed.success) {
      const why = findingsOf(parsed.error);
      throw new FarsightError(`metrics '${path}' line ${index + 1}: ${why}`);
    }
    while (lines.length > 0 && lines[lines.length - 1].environmentSteps >= parsed.data.environmentSteps)
      lines.pop();
    lines.push(parsed.data);
  }
  if (torn > 1 && torn > lines.length)
    throw new FarsightError(`metrics '${path}': is not a metrics file (${torn} lines are not JSON)`);
  return lines;
}
