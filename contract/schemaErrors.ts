// What a schema finds wrong, in words for a person. Who reads findings does it through here: that sets the words.
import { z } from 'zod';
import { messageOf } from './errors.js';

z.config({ localeError: inPlainWords });

/** Every finding with its place, as one line. */
export function findingsOf(error: z.core.$ZodError): string {
  return error.issues
    .map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message))
    .join('; ');
}

/** The first finding. */
export function firstFinding(error: z.core.$ZodError): z.core.$ZodIssue {
  return error.issues[0];
}

/** Why what was read does not do: not of its form at all, or what its schema finds. */
export function whyUnusable(error: unknown): string {
  return error instanceof z.ZodError ? findingsOf(error) : messageOf(error);
}

const KINDS: Partial<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object',
  record: 'an object',
};

/** What is said where the schema has no words of its own. */
function inPlainWords(issue: z.core.$ZodRawIssue): string {
  const { input } = issue;
  switch (issue.code) {
    case 'invalid_type':
      if (input === undefined) return 'is missing';
      if (typeof input === 'number' && !Number.isFinite(input)) return 'must be a finite number';
      return `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}`;
    case 'too_big':
      return sized(issue.origin, issue.inclusive ? 'at most' : 'below', Number(issue.maximum));
    case 'too_small':
      return sized(issue.origin, issue.inclusive ? 'at least' : 'above', Number(issue.minimum));
    case 'invalid_format':
      return `must be a valid ${issue.format}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'unrecognized_keys':
      return `there is no key ${issue.keys.map((key) => `'${key}'`).join(', ')}`;
    case 'invalid_union':
      return Array.isArray(issue.options)
        ? `must be one of ${issue.options.join(', ')}`
        : 'is none of what it may be';
    default:
      return 'will not do';
  }
}

/** A bound of a number, or of how many characters a text or entries a list has. */
function sized(origin: string, bound: string, limit: number): string {
  if (origin === 'string')
    return limit === 1 ? 'must not be empty' : `must have ${bound} ${limit} characters`;
  if (origin === 'array') return limit === 1 ? 'must not be empty' : `must have ${bound} ${limit} entries`;
  return `must be ${bound} ${limit}`;
}
