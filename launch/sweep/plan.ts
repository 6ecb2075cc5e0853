// The runs of a sweep: every setting of every task with every seed, each with its directory and its identity.
import { createHash } from 'node:crypto';
import { UsageError } from '../../contract/errors.js';
import { changeOptions, type Options, optionsSchema, resolveOptions } from '../../trainer/mpdp/options.js';
import { Random } from '../../trainer/random.js';
import { type RunConfig, taskConfig } from '../../trainer/run/runConfig.js';
import { loadTask } from '../../trainer/sim/task.js';
import { settingsOf } from '../configFile.js';
import type { EngineFlags } from '../engineFlags.js';
import type { Range, SweepContent } from './sweepFile.js';

/** One run, as it is given to whoever trains it. */
export interface PlannedRun {
  /** Its directory beneath the sweep's: `<setting>/<task>-<seed>`. */
  name: string;
  setting: string;
  /** The task's own name, as directories have it. */
  task: string;
  config: RunConfig;
  engine: EngineFlags['engine'];
  device: EngineFlags['device'];
  /** Hash of all that decides what comes out: runs of the same id are the same run. */
  id: string;
}

type Setting = { name: string; options: Partial<Options> };

/**
 * The runs in the order in which they are to be started: the first seed of every setting and task before the second of
 * any, so that what is there at any time can be compared. Throws a `UsageError` for options that contradict each other.
 */
export async function planRuns(content: SweepContent): Promise<PlannedRun[]> {
  const { preset, engine, device, seeds } = content;
  const tasks = await Promise.all(content.task.map(named));
  const twice = tasks.find(({ name }, i) => tasks.findIndex((other) => other.name === name) !== i);
  if (twice)
    throw new UsageError(
      `task '${twice.name}' is there twice: its runs would share their directories; leave one out, or give a task of your own another name`,
    );
  const base = changeOptions(resolveOptions(preset, []), settingsOf(content.options));
  const settings = settingsIn(content).map(({ name, options }) => ({
    name,
    options: within(name, () => changeOptions(base, settingsOf(options))),
  }));
  return [...new Set(seeds)].flatMap((seed) =>
    settings.flatMap((setting) =>
      tasks.map(({ name, config: task }): PlannedRun => {
        const config = { ...task, preset, seed, options: setting.options };
        // A task of one's own may lie elsewhere on another computer.
        const same = task.ownTask ? { ...config, task: null } : config;
        return {
          name: `${setting.name}/${name}-${seed}`,
          setting: setting.name,
          task: name,
          config,
          engine,
          device,
          id: hashOf([same, engine, device]),
        };
      }),
    ),
  );
}

/** Of values that JSON keeps. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32);
}

async function named(path: string) {
  const task = await loadTask(path);
  return { name: task.name.replace(/[^\p{L}\p{N}_.,+-]+/gu, '-'), config: taskConfig(task) };
}

/** The grid's, the drawn and the listed ones; one that changes nothing when there are none of these. */
function settingsIn({ grid, random, settings }: SweepContent): Setting[] {
  const all: Partial<Options>[] = [];
  if (grid) all.push(...combinationsOf(grid));
  if (random) all.push(...drawnFrom(random));
  const described = all.map((options) => ({ name: describe(options), options }));
  const listed = Object.entries(settings ?? {}).map(([name, options]) => ({ name, options }));
  const found = new Map<string, Setting>();
  for (const setting of [...described, ...listed]) {
    const other = found.get(setting.name);
    if (other && JSON.stringify(other.options) !== JSON.stringify(setting.options))
      throw new UsageError(`two settings are named '${setting.name}': give one another name`);
    found.set(setting.name, setting);
  }
  return found.size > 0 ? [...found.values()] : [{ name: 'default', options: {} }];
}

function combinationsOf(grid: { [key in keyof Options]?: unknown[] }): Partial<Options>[] {
  return Object.entries(grid).reduce<Partial<Options>[]>(
    (settings, [key, values]) =>
      settings.flatMap((setting) => values.map((value) => ({ ...setting, [key]: value }))),
    [{}],
  );
}

/** Tries for each setting: the rarest of as many as are asked for has come up long before the last. */
const TRIES = 1000;

/** As many settings as are asked for, each once. */
function drawnFrom({ draws, seed, options }: NonNullable<SweepContent['random']>): Partial<Options>[] {
  const numbers = new Random(seed);
  const found = new Map<string, Partial<Options>>();
  for (let tries = 0; found.size < draws && tries < TRIES * draws; tries++) {
    const drawn = Object.fromEntries(
      Object.entries(options).map(([key, values]) => [key, draw(key as keyof Options, values, numbers)]),
    );
    found.set(JSON.stringify(drawn), drawn);
  }
  if (found.size < draws)
    throw new UsageError(
      `random.draws: ${draws} settings are asked for, and the values come to only ${found.size}: draw fewer, or try these all as a grid`,
    );
  return [...found.values()];
}

/** A value of a list or of a range; a whole number where the option wants one. */
function draw(key: keyof Options, values: Range | unknown[], numbers: Random): unknown {
  if (Array.isArray(values)) return values[Math.floor(numbers.uniform(0, values.length))];
  const { from, to, scale } = values;
  const value =
    scale === 'log' ? Math.exp(numbers.uniform(Math.log(from), Math.log(to))) : numbers.uniform(from, to);
  const rounded = Number(value.toPrecision(4));
  return optionsSchema.shape[key].safeParse(rounded).success ? rounded : Math.round(value);
}

const LONGEST_NAME = 100;

/** `horizonMax=5,policyHidden=64x64`, as a directory may be named. */
function describe(options: Partial<Options>): string {
  const text = settingsOf(options)
    .map((setting) => setting.replace(/["[\]]/g, '').replaceAll(',', 'x'))
    .join(',');
  if (text.length <= LONGEST_NAME) return text;
  return `${text.slice(0, LONGEST_NAME)}-${hashOf(options).slice(0, 8)}`;
}

function within<T>(setting: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(`setting '${setting}': ${error.message}`) : error;
  }
}
