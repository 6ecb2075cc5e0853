// The YAML file of `train --config`: what is trained and with what, as flags say it; `--print-config` writes one.
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Document, isMap, isScalar, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { z } from 'zod';
import { messageOf, UsageError } from '../contract/errors.js';
import { changeOptions, type Options, optionsSchema, PRESETS } from '../trainer/mpdp/options.js';
import { LARGEST_SEED } from '../trainer/random.js';
import { isTaskPath } from '../trainer/sim/task.js';
import { DEVICES, ENGINES } from './engineFlags.js';

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
  const refuse = (why: string) => new UsageError(`--config '${path}'${why}`);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw refuse(` cannot be read: ${messageOf(error)}`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [wrong] = document.errors;
  if (wrong) throw refuse(` line ${lines.linePos(wrong.pos[0]).line}: is not YAML: ${messageOf(wrong)}`);
  const refuseIssue = (issue: z.core.$ZodIssue, within: string[] = []) => {
    const unknown = issue.code === 'unrecognized_keys' ? [issue.keys[0]] : [];
    const keys = [...within, ...issue.path.map(String), ...unknown];
    const known = Object.keys(keys[0] === 'options' ? optionsSchema.shape : configFileSchema.shape);
    const why = unknown.length > 0 ? `no such key; there are ${known.join(', ')}` : issue.message;
    return refuse(
      ` line ${lines.linePos(offsetOf(document, keys)).line}: ${keys.join('.') || 'the file'}: ${why}`,
    );
  };
  const parsed = configFileSchema.safeParse(document.toJS());
  if (!parsed.success) throw refuseIssue(parsed.error.issues[0]);
  const { options = {}, ...flags } = parsed.data;
  const { task } = flags;
  if (task !== undefined && isTaskPath(task)) flags.task = resolve(dirname(path), task);
  const own = Object.entries(options).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return {
    flags,
    settings: own,
    change(preset, settings) {
      try {
        return changeOptions(preset, [...own, ...settings]);
      } catch (error) {
        const alone = optionsSchema.safeParse({ ...preset, ...options });
        throw alone.success ? error : refuseIssue(alone.error.issues[0], ['options']);
      }
    },
  };
}

/** Where the innermost of `keys` that the file has begins. */
function offsetOf({ contents }: Document.Parsed, keys: readonly string[]): number {
  let offset = 0;
  let node: unknown = contents;
  for (const key of keys) {
    const pair = isMap(node)
      ? node.items.find((item) => isScalar(item.key) && String(item.key.value) === key)
      : undefined;
    if (!pair) break;
    offset = (pair.key as { range: number[] }).range[0];
    node = pair.value;
  }
  return offset;
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
