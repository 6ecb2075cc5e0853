// Settings that people write as key=value: the options of a training, the faults of a simulated robot.
import type { z } from 'zod';
import { UsageError } from './errors.js';
import { firstFinding } from './schemaErrors.js';

/** How messages speak of settings: where they come from, what one is called, how it is written. */
export interface SettingWords {
  source: string;
  kind: string;
  form: string;
}

/**
 * `base` with `settings` in place of what it has. Values are JSON, numbers as people write them, or plain text. Throws a
 * `UsageError` that names the setting which is not of that form, not known, or not what `schema` takes.
 */
export function changeSettings<T extends object>(
  schema: z.ZodType<T>,
  base: Readonly<T>,
  settings: readonly string[],
  { source, kind, form }: SettingWords,
): T {
  const changed: Record<string, unknown> = { ...base };
  for (const setting of settings) {
    const [, key, text] = /^([^=]+)=(.*)$/s.exec(setting) ?? [];
    if (key === undefined) throw new UsageError(`${source} '${setting}': wants ${form}`);
    if (!Object.hasOwn(base, key)) {
      const known = Object.keys(base).join(', ');
      throw new UsageError(`${source} '${key}': no such ${kind}; the ${kind}s are ${known}`);
    }
    changed[key] = parseValue(text);
  }
  const parsed = schema.safeParse(changed);
  if (parsed.success) return parsed.data;
  const { path, message } = firstFinding(parsed.error);
  throw new UsageError(`${source} ${path.join('.')}: ${message}`);
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const number = Number(text);
    return text.trim() === '' || Number.isNaN(number) ? text : number;
  }
}
