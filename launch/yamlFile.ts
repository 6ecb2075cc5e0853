// A YAML file that a flag names: what is wrong with it is told with the file's line.
import { readFileSync } from 'node:fs';
import { type Document, isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { messageOf, UsageError } from '../contract/errors.js';
import { firstFinding } from '../contract/schemaErrors.js';

export interface YamlFile<T> {
  content: T;
  /** The error for what is wrong with the value of `keys`. */
  refuse(keys: readonly string[], why: string): UsageError;
}

/**
 * Reads the file, which people know as `named`. `keysAt` says which keys there are beneath others. Throws a `UsageError`
 * that names file, line and key of what does not do.
 */
export function readYaml<T>(
  path: string,
  named: string,
  schema: z.ZodType<T>,
  keysAt: (keys: readonly string[]) => readonly string[],
): YamlFile<T> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${named} cannot be read: ${messageOf(error)}`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number, why: string) =>
    new UsageError(`${named} line ${lines.linePos(offset).line}: ${why}`);
  const [wrong] = document.errors;
  if (wrong) throw at(wrong.pos[0], `is not YAML: ${messageOf(wrong)}`);
  const refuse = (keys: readonly string[], why: string) =>
    at(offsetOf(document, keys), `${keys.join('.') || 'the file'}: ${why}`);
  const parsed = schema.safeParse(document.toJS());
  if (parsed.success) return { content: parsed.data, refuse };
  const issue = firstFinding(parsed.error);
  const keys = issue.path.map(String);
  if (issue.code === 'invalid_key') throw refuse(keys, issue.issues[0].message);
  if (issue.code !== 'unrecognized_keys') throw refuse(keys, issue.message);
  throw refuse([...keys, issue.keys[0]], `no such key; there are ${keysAt(keys).join(', ')}`);
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
