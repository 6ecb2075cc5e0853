// The YAML file of `train --config`: what is trained and with what, as flags say it; `--print-config` writes one.
import { dirname, resolve } from 'node:path';
import { Document, isScalar, isSeq, type YAMLMap } from 'yaml';
import { z } from 'zod';
import { firstFinding } from '../contract/schemaErrors.js';
import { changeOptions, type Options, optionsSchema, PRESETS } from '../trainer/mpdp/options.js';
import { LARGEST_SEED } from '../trainer/random.js';
import { isTaskPath } from '../trainer/sim/task.js';
import { DEVICES, ENGINES } from './engineFlags.js';
import { readYaml } from './yamlFile.js';

const configFileSchema = z
  .strictObject({
    /** Name of a built-in task, or path of one's own, relative to the file. */
    task: z.string(),
    preset: z.enum(Object.keys(PRESETS)),
    seed: z.int().min(0).max(LARGEST_SEED),
    engine: z.enum(ENGINES),
    device: z.enum(DEVICES),
    threads: z.int().positive(),
    /** Those that differ from the preset's. */
    options: z.strictObject(optionsSchema.shape).partial(),
  })
  .partial();
type Content = z.infer<typeof configFileSchema>;

export interface ConfigFile {
  /** What flags of the same names say too. */
  flags: Omit<Content, 'options'>;
  /** Its options, as `--set` takes them. */
  settings: string[];
  /** Options of a preset, changed by the file, then by `settings`; what is wrong is said of the one at fault. */
  change(preset: Options, settings: readonly string[]): Options;
}

/** Reads the file. Throws a `UsageError` that names file, line and key of what does not do. */
export function readConfigFile(path: string): ConfigFile {
  const { content, refuse } = readYaml(path, `--config '${path}'`, configFileSchema, ([key]) =>
    Object.keys(key === 'options' ? optionsSchema.shape : configFileSchema.shape),
  );
  const { options = {}, ...flags } = content;
  const { task } = flags;
  if (task !== undefined && isTaskPath(task)) flags.task = resolve(dirname(path), task);
  const own = settingsOf(options);
  return {
    flags,
    settings: own,
    change(preset, settings) {
      try {
        return changeOptions(preset, [...own, ...settings]);
      } catch (error) {
        const alone = optionsSchema.safeParse({ ...preset, ...options });
        if (alone.success) throw error;
        const { path, message } = firstFinding(alone.error);
        throw refuse(['options', ...path.map(String)], message);
      }
    },
  };
}

/** Options as `--set` takes them. */
export function settingsOf(options: Partial<Options>): string[] {
  return Object.entries(options).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
}

/** A file that gives the same run, with every option and what it is. */
export function printConfigFile(content: Required<Content>): string {
  const document = new Document(content);
  document.commentBefore = ' farsight train --config FILE --out DIRECTORY';
  for (const { key, value } of (document.get('options') as YAMLMap<{ value: keyof Options }>).items) {
    if (isSeq(value)) value.flow = true;
    const { description } = optionsSchema.shape[key.value];
    if (description && (isScalar(value) || isSeq(value))) value.comment = ` ${description}`;
  }
  return document.toString({ lineWidth: 0 });
}
