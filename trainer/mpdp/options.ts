// Every choice of an MPDP run, with the presets. `--set key=value` changes any of them.
import { z } from 'zod';
import { UsageError } from '../../contract/errors.js';
import { changeSettings } from '../../contract/settings.js';
import { VARIANCES } from '../nets/ensemble.js';
import { ACTIVATIONS } from '../nets/mlp.js';
import { SPREADS } from '../nets/policy.js';
import { SCORES } from './uncertainty.js';

/** Control periods from an action to its effect that can be planned with. */
export const LONGEST_DELAY = 3;

const positive = z.number().positive();
const count = z.int().positive();
// Beyond these no computer has the memory.
const members = count.max(1000);
const rows = count.max(100_000);
const sizes = z.array(count.max(10_000)).min(1).max(100);
const transitions = count.min(20, { error: 'must be at least 20: fewer transitions train no model' });
/** A value of several kinds; `wanted` says which. */
const either = <T extends readonly z.ZodType[]>(kinds: T, wanted: string) =>
  z.union(kinds, { error: `must be ${wanted}` });

export const optionsSchema = z
  .strictObject({
    // Table 2 of the paper.
    ensembleSize: members.min(2).describe('members of the ensemble, K'),
    replaySize: transitions.describe('transitions kept'),
    batchSize: rows.describe('states per update'),
    learningRate: positive.describe('Adam step size of policies and critic'),
    entropyCoefficient: either(
      [z.literal('learned'), z.number().nonnegative()],
      "a number of at least 0, or 'learned'",
    ).describe("α: a number, or 'learned': from 0.1 so that the entropy becomes targetEntropy"),
    targetEntropy: z.number().nullable().describe('in nats; null: minus the number of actions'),
    regularization: z.number().nonnegative().describe('β, the weight of the uncertainty in the objective'),
    horizonMax: count.max(1000).describe('Hmax; 1 is SAC with a learned model'),
    updatesPerStep: count.describe('critic and policy updates per environment step (UTD)'),
    modelEvery: count.describe(
      'environment steps between trainings of the model, which rounds of updates begin with',
    ),
    // Where the paper is silent or cannot be meant as printed.
    uncertaintyScore: z.enum(SCORES).describe('the scale of u'),
    uncertaintyThreshold: either(
      [z.literal('calibrated'), z.number(), z.null()],
      "a number, 'calibrated' or null",
    ).describe("u_T: a number; 'calibrated': a quantile of u on transitions; null: no trajectory is cut"),
    thresholdFrom: z
      .enum(['newest', 'replay', 'first'])
      .describe(
        'those transitions: the newest 250, 2,000 drawn from the whole replay buffer, or 2,000 first steps of plans after the first training of the model, held from then on',
      ),
    thresholdQuantile: z.number().min(0).max(1).describe('that quantile'),
    thresholdMargin: z.number().describe('added to that quantile'),
    modelNoise: z.boolean().describe('sample s′ from the predicted Gaussian; false: its mean'),
    commandDelay: z
      .number()
      .min(0)
      .max(LONGEST_DELAY)
      .default(0)
      .describe(
        'control periods from an action to its effect on the robot, as plans and values have it; simulation has none',
      ),
    elites: members.describe('members that predict, ranked by holdout error'),
    policies: z.enum(['separate', 'shared']).describe('π₀ … π_{Hmax-1} apart, or one policy for all steps'),
    // Beyond the paper.
    criticTarget: z
      .enum(['transition', 'expansion'])
      .describe(
        "the critic learns from real transitions (Eq. 2, 3), or from π₀'s own Hmax steps through the model",
      ),
    realShare: z
      .number()
      .min(0)
      .max(1)
      .describe("share of the critic's batch that are real transitions beside an expansion"),
    startStates: z
      .enum(['replay', 'rollouts'])
      .describe(
        'plans start from the replay buffer, or from where π₀ gets from there in up to 20 imagined steps',
      ),
    cutRollouts: z.boolean().default(false).describe('end those imagined steps, too, where u reaches u_T'),
    critics: members.describe('networks of the critic, M'),
    criticSubset: members.describe('of which a random subset of this size makes the minimum in targets'),
    planValue: z.enum(['minimum', 'mean']).describe("of the critic's networks, at the end of a plan"),
    boundedCritic: z
      .boolean()
      .describe("scale Q, and bound its targets, by the range of values that the rewards' quantiles allow"),
    updateEvery: count.describe('environment steps between rounds of updates'),
    firstUpdates: z.int().nonnegative().describe('updates in the first round, if more than those due'),
    criticUpdates: z
      .int()
      .nonnegative()
      .describe('updates of the critic alone after each training of the model'),
    // What Algorithm 2 leaves to SAC and to model-based practice.
    discount: z.number().min(0).max(1).describe('γ'),
    targetRate: z.number().positive().max(1).describe('τ of the target critic'),
    gradientClip: positive.describe('largest gradient norm of each policy and of the critic'),
    policyHidden: sizes,
    criticHidden: sizes,
    modelHidden: sizes,
    activation: z.enum(ACTIVATIONS).describe('of policies and critic'),
    policySpread: z.enum(SPREADS).describe("the form of the policies' σ"),
    layerNorm: z.boolean().describe('layer normalisation in the critic'),
    modelLayerNorm: z.boolean().describe('layer normalisation in the model'),
    normalizeObservations: z
      .boolean()
      .describe('standardise what policy and critic see with the warm-up data'),
    warmupSteps: transitions.describe('environment steps with random actions before the first update'),
    modelLearningRate: positive,
    modelBatchSize: rows,
    modelVariance: z
      .enum(VARIANCES)
      .describe('the predicted variance depends on the input, or is one number for each dimension'),
    modelWeighting: z
      .number()
      .min(0)
      .max(1)
      .describe(
        'likelihood terms weigh variance to this power (β-NLL); 0: the likelihood, 1: mean squared errors',
      ),
    modelWeightDecay: z.number().nonnegative(),
    modelHoldout: z.number().positive().max(0.5).describe('share of the transitions that judges the model'),
    modelPatience: count.describe('epochs without a better member before training stops'),
    modelUpdatesMax: count.describe('minibatches at most per training'),
    // The run.
    steps: count.describe('environment steps'),
    evaluateEvery: count.describe('environment steps between evaluations'),
    evaluationEpisodes: count,
    stopAtReturn: z.number().nullable().describe('end when an evaluation reaches this mean return'),
  })
  .refine((options) => options.elites <= options.ensembleSize, {
    message: 'must not exceed ensembleSize',
    path: ['elites'],
  })
  .refine((options) => options.warmupSteps < options.steps, {
    message: 'must be less than steps: nothing would be learned',
    path: ['warmupSteps'],
  })
  .refine((options) => !options.boundedCritic || options.discount < 1, {
    message: 'must be less than 1 with boundedCritic',
    path: ['discount'],
  })
  .refine((options) => options.criticSubset <= options.critics, {
    message: 'must not exceed critics',
    path: ['criticSubset'],
  })
  .refine(({ modelEvery, updateEvery }) => modelEvery % updateEvery === 0 || updateEvery % modelEvery === 0, {
    message: 'must be a multiple of modelEvery, or divide it',
    path: ['updateEvery'],
  })
  .refine((options) => options.realShare === 0 || options.criticTarget === 'expansion', {
    message: "needs criticTarget 'expansion': all are real otherwise",
    path: ['realShare'],
  })
  .refine((options) => !options.cutRollouts || options.startStates === 'rollouts', {
    message: "needs startStates 'rollouts'",
    path: ['cutRollouts'],
  })
  .refine((options) => !options.boundedCritic || options.criticTarget === 'expansion', {
    message: "needs criticTarget 'expansion'",
    path: ['boundedCritic'],
  });
export type Options = z.infer<typeof optionsSchema>;

const paper: Options = {
  ensembleSize: 7,
  replaySize: 1_000_000,
  batchSize: 256,
  learningRate: 3e-4,
  entropyCoefficient: 0.2,
  targetEntropy: null,
  regularization: 0.5,
  horizonMax: 25,
  updatesPerStep: 20,
  modelEvery: 250,
  uncertaintyScore: 'log-kl',
  uncertaintyThreshold: 'calibrated',
  thresholdFrom: 'newest',
  thresholdQuantile: 0.5,
  thresholdMargin: 0,
  modelNoise: true,
  commandDelay: 0,
  elites: 5,
  policies: 'separate',
  criticTarget: 'transition',
  realShare: 0,
  startStates: 'replay',
  cutRollouts: false,
  critics: 2,
  criticSubset: 2,
  planValue: 'minimum',
  boundedCritic: false,
  updateEvery: 1,
  firstUpdates: 0,
  criticUpdates: 0,
  discount: 0.99,
  targetRate: 0.005,
  gradientClip: 100,
  policyHidden: [256, 256],
  criticHidden: [256, 256],
  modelHidden: [200, 200, 200, 200],
  activation: 'relu',
  policySpread: 'bounded',
  layerNorm: false,
  modelLayerNorm: false,
  normalizeObservations: false,
  warmupSteps: 5000,
  modelLearningRate: 1e-3,
  modelBatchSize: 256,
  modelVariance: 'input',
  modelWeighting: 0,
  modelWeightDecay: 5e-5,
  modelHoldout: 0.1,
  modelPatience: 5,
  modelUpdatesMax: 100_000,
  steps: 125_000,
  evaluateEvery: 1000,
  evaluationEpisodes: 10,
  stopAtReturn: null,
};

const fast: Options = {
  ...paper,
  ensembleSize: 4,
  elites: 4,
  batchSize: 128,
  entropyCoefficient: 'learned',
  regularization: 0,
  horizonMax: 5,
  updatesPerStep: 1,
  modelEvery: 1000,
  uncertaintyScore: 'log-variance',
  thresholdFrom: 'first',
  thresholdQuantile: 0.75,
  thresholdMargin: 0.5,
  policies: 'shared',
  criticTarget: 'expansion',
  startStates: 'rollouts',
  critics: 5,
  planValue: 'mean',
  boundedCritic: true,
  updateEvery: 1000,
  firstUpdates: 5000,
  criticUpdates: 250,
  discount: 0.995,
  policyHidden: [128, 128],
  criticHidden: [128, 128],
  modelHidden: [128, 128, 128],
  activation: 'swish',
  policySpread: 'softplus',
  layerNorm: true,
  modelLayerNorm: true,
  normalizeObservations: true,
  modelVariance: 'constant',
  modelPatience: 50,
  modelUpdatesMax: 2000,
  steps: 50_000,
};

export const PRESETS = {
  /** Table 2. */
  paper,
  /** The walking tasks on one or two cores: docs/mpdp.md says what each change does. */
  fast,
  /** The same with larger networks and batches, for bodies that the ones of `fast` do not model well enough. */
  wide: {
    ...fast,
    batchSize: 256,
    policyHidden: [256, 256],
    criticHidden: [256, 256],
    modelHidden: [256, 256, 256],
  },
  /** InvertedPendulum in a few minutes. */
  smoke: {
    ...paper,
    horizonMax: 5,
    updatesPerStep: 4,
    batchSize: 128,
    regularization: 0.1,
    learningRate: 1e-3,
    targetRate: 0.02,
    thresholdQuantile: 0.75,
    policyHidden: [64, 64],
    criticHidden: [64, 64],
    modelHidden: [64, 64, 64],
    warmupSteps: 250,
    modelUpdatesMax: 200,
    steps: 5000,
    evaluateEvery: 250,
    stopAtReturn: 990,
  },
} satisfies Record<string, Options>;
export type Preset = keyof typeof PRESETS;

/** A preset changed by `key=value` settings; values are JSON, or plain text where that is no JSON. */
export function resolveOptions(preset: string, settings: readonly string[]): Options {
  if (!Object.hasOwn(PRESETS, preset))
    throw new UsageError(`--preset '${preset}': choose one of ${Object.keys(PRESETS).join(', ')}`);
  return changeOptions(PRESETS[preset as Preset], settings);
}

/** Options changed by `key=value` settings. Throws a `UsageError` that names the one at fault. */
export function changeOptions(base: Options, settings: readonly string[]): Options {
  return changeSettings(optionsSchema, base, settings, {
    source: '--set',
    kind: 'option',
    form: 'key=value',
  });
}
