// results.csv of a sweep: a row for each run that has ended, written anew as they come; and how they are compared.
import { join } from 'node:path';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import type { Options } from '../../trainer/mpdp/options.js';
import type { PlannedRun } from './plan.js';
import type { RunResult } from './trainChild.js';

export const RESULTS_FILE = 'results.csv';

export function writeResults(
  out: string,
  runs: readonly PlannedRun[],
  results: readonly (RunResult | undefined)[],
): void {
  const varied = variedOptions(runs);
  const header = ['setting', 'task', 'seed', ...varied, 'return', 'environmentSteps', 'seconds', 'run'];
  const rows = runs.flatMap(({ name, setting, task, config }, i) => {
    const result = results[i];
    if (!result) return [];
    const { seed, options } = config;
    const values = varied.map((key) => options[key]);
    const { environmentSteps, seconds } = result;
    return [[setting, task, seed, ...values, result.return, environmentSteps, seconds, name]];
  });
  const text = [header, ...rows].map((row) => `${row.map(field).join(',')}\n`);
  askedBy('--out', () => writeWhole(join(out, RESULTS_FILE), ...text));
}

/** The options that are not the same in all runs. */
function variedOptions(runs: readonly PlannedRun[]): (keyof Options)[] {
  const keys = Object.keys(runs[0].config.options) as (keyof Options)[];
  return keys.filter(
    (key) => new Set(runs.map(({ config }) => JSON.stringify(config.options[key]))).size > 1,
  );
}

/** As RFC 4180 quotes it; nothing for null. */
function field(value: unknown): string {
  const text = value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** What compares the settings that have results. */
export function compareCommandLine(
  out: string,
  runs: readonly PlannedRun[],
  results: readonly (RunResult | undefined)[],
): string {
  const settings = [...new Set(runs.filter((_, i) => results[i]).map(({ setting }) => setting))];
  const labels = settings.map((setting) => {
    const directory = join(out, setting);
    return quoted(`${setting.replaceAll('=', ' ')}=${directory}`);
  });
  return `farsight compare ${labels.join(' ')} --out ${quoted(join(out, 'comparison.html'))}`;
}

const quoted = (word: string) => (/^[\w./,+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
