// The YAML file of `farsight sweep`: tasks, seeds, and the settings of options that are tried, as they are written.
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { UsageError } from '../../contract/errors.js';
import { firstFinding } from '../../contract/schemaErrors.js';
import { type Options, optionsSchema, PRESETS } from '../../trainer/mpdp/options.js';
import { LARGEST_SEED } from '../../trainer/random.js';
import { isTaskPath } from '../../trainer/sim/task.js';
import { DEVICES, ENGINES } from '../engineFlags.js';
import { readYaml } from '../yamlFile.js';

const count = z.int().positive();
const options = z.strictObject(optionsSchema.shape).partial();
/** The same keys as the options, each with what `make` makes of the option's schema. */
const eachOption = <S extends z.ZodType>(make: (option: z.ZodType) => S) => {
  const entries = Object.entries(optionsSchema.shape).map(([key, option]) => [key, make(option)]);
  return z.strictObject(Object.fromEntries(entries) as Record<keyof Options, S>).partial();
};
const valuesOf = (option: z.ZodType) => z.array(option).min(1);

const range = z
  .strictObject({ from: z.number(), to: z.number(), scale: z.enum(['linear', 'log']).default('linear') })
  .refine(({ from, to }) => from < to, { message: 'must be above from', path: ['to'] })
  .refine(({ from, scale }) => scale === 'linear' || from > 0, {
    message: 'must be above 0 with scale log',
    path: ['from'],
  });
export type Range = z.infer<typeof range>;

const sweepSchema = z.strictObject({
  /** Names of built-in tasks, or paths of one's own, relative to the file. */
  task: z.union([z.string().transform((task) => [task]), z.array(z.string()).min(1)], {
    error: 'must be a task or a list of them',
  }),
  preset: z.enum(Object.keys(PRESETS) as (keyof typeof PRESETS)[]).default('fast'),
  /** A number of seeds from 1 on, or those. */
  seeds: z
    .union(
      [
        count.transform((n) => Array.from({ length: n }, (_, i) => i + 1)),
        z.array(z.int().min(0).max(LARGEST_SEED)).min(1),
      ],
      { error: 'must be a number of seeds or a list of them' },
    )
    .default([1]),
  engine: z.enum(ENGINES).default('compiled'),
  device: z.enum(DEVICES).default('cpu'),
  /** Of every run. */
  options: options.default({}),
  /** Every combination of these values. */
  grid: eachOption(valuesOf).optional(),
  /** Values drawn anew for each setting. */
  random: z
    .strictObject({
      draws: count,
      seed: z.int().min(0).max(LARGEST_SEED).default(1),
      options: eachOption((option) =>
        z.union([range, valuesOf(option)], { error: 'must be a list of values, or {from, to, scale}' }),
      ),
    })
    .optional(),
  /** Settings by name. */
  settings: z
    .record(
      z.string().regex(/^[A-Za-z0-9][\w.,+-]{0,99}$/, {
        error: 'a name of letters, digits and . , + - _, as its runs are kept under it',
      }),
      options,
    )
    .optional(),
});
/** What is to be run, before it is expanded into runs. */
export type SweepContent = z.infer<typeof sweepSchema>;

/** Reads the file. Throws a `UsageError` that names file, line and key of what does not do. */
export function readSweepFile(path: string): SweepContent {
  const { content } = readYaml(path, `'${path}'`, sweepSchema, ([key, inner]) => {
    if (key === undefined) return Object.keys(sweepSchema.shape);
    if (key === 'random' && inner === undefined) return ['draws', 'seed', 'options'];
    return Object.keys(optionsSchema.shape);
  });
  const task = content.task.map((task) => (isTaskPath(task) ? resolve(dirname(path), task) : task));
  return { ...content, task };
}

/** A sweep that is not read from a file. Throws a `UsageError` for what does not do. */
export function sweepContent(given: z.input<typeof sweepSchema>): SweepContent {
  const parsed = sweepSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const { path, message } = firstFinding(parsed.error);
  throw new UsageError(`--${path.join('.')}: ${message}`);
}
