// Several runs beside each other: their evaluations by task and label, and what rliable's statistics make of them.
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { readMetrics } from './metrics.js';
import { shownConfig, taskShown } from './report.js';
import {
  bootstrap,
  type Estimate,
  interquartileMean,
  performanceProfile,
  probabilityOfImprovement,
  quantile,
} from './statistics.js';
import { COLORS } from './style.js';

/** A run directory and the group that it belongs to: runs that differ only by their seed share a label. */
export interface ComparedRun {
  label: string;
  directory: string;
}

/** The returns of a task that are the scores 0 and 1. */
export type Anchors = [zero: number, one: number];

/**
 * Score 0: the mean return of 100 episodes of uniformly random actions in our simulation, seed 1. Score 1: SAC after a
 * million steps, ten seeds (Tianshou's MuJoCo benchmark, github.com/thu-ml/tianshou, examples/mujoco/README.md).
 */
export const ANCHORS: Readonly<Record<string, Anchors>> = {
  'inverted-pendulum': [6, 1000],
  hopper: [20.9, 3542.2],
  walker2d: [2.2, 5007],
  'half-cheetah': [-278.9, 12138.8],
  ant: [-48.6, 5850.2],
  humanoid: [125.1, 5488.5],
};

export interface Run {
  seed: string;
  /** Environment steps of each evaluation, ascending, and its mean return, as it is and as a score. */
  steps: number[];
  returns: number[];
  scores: number[];
}

export interface Group {
  label: string;
  color: number;
  runs: Run[];
}

export interface Task {
  name: string;
  /** Environment steps at which its runs are compared. */
  steps: number;
  /** Null where the score is the return. */
  anchors: Anchors | null;
  groups: Group[];
}

export interface ComparisonOptions {
  /** Environment steps at which the runs are compared; otherwise the most that every run of a task has made. */
  steps?: number;
  /** Anchors by task, in place of the built-in ones; given for one task, they make its returns scores. */
  anchors?: Record<string, Anchors>;
  /** The score that counts as reached; otherwise 950 where the score is the return, and 0.5. */
  goal?: number;
}

export interface Comparison {
  tasks: Task[];
  /** What a score is. */
  unit: 'return' | 'score';
  goal: number;
}

/** One task, or all of them together. */
export interface Scope {
  name: string;
  /** What x counts. */
  xName: 'step' | '% of the steps';
  lines: ScopeLine[];
}

/** A label within a scope, from where all its runs have been evaluated to where they are compared. */
export interface ScopeLine {
  label: string;
  color: number;
  runs: number;
  /** Environment steps, or per cent of each task's. */
  x: number[];
  /** Interquartile mean of the scores at each x; the last is the comparison's. */
  interquartileMeans: Estimate[];
  /** The share of runs above each threshold, where they are compared. */
  thresholds: number[];
  profile: Estimate[];
  /** The probability that a run scores above one of the other label, by that label. */
  improvement: Map<string, Estimate>;
}

/**
 * Reads the runs' evaluations. A run that reached its own `stopAtReturn` counts on with its last return. Throws a
 * `FarsightError` that names a run without evaluations or one too short for `steps`, or a task without anchors where
 * several tasks want a common scale.
 */
export function readComparison(
  compared: ComparedRun[],
  { steps, anchors = {}, goal }: ComparisonOptions = {},
): Comparison {
  const labels = [...new Set(compared.map(({ label }) => label))];
  const read = compared.map(readRun);
  const names = [...new Set(read.map(({ task }) => task))];
  const stranger = Object.keys(anchors).find((name) => !names.includes(name));
  if (stranger !== undefined)
    throw new UsageError(
      `--scale ${stranger}: no run is of that task; the runs' tasks are ${names.join(', ')}`,
    );
  const scored = names.length > 1 || Object.keys(anchors).length > 0;
  const known: Record<string, Anchors> = { ...ANCHORS, ...anchors };
  const tasks = names.map((name): Task => {
    const own = read.filter(({ task }) => task === name);
    if (scored && !Object.hasOwn(known, name))
      throw new UsageError(
        `task '${name}': several tasks want a common scale; say which of its returns are the scores 0 and 1: --scale ${name}=0:1000`,
      );
    const scale = scored ? known[name] : null;
    const groups = labels.flatMap((label, i): Group[] => {
      const runs = own
        .filter((run) => run.label === label)
        .map(({ seed, steps, returns }) => ({ seed, steps, returns, scores: toScores(returns, scale) }));
      return runs.length === 0 ? [] : [{ label, color: (i % COLORS) + 1, runs }];
    });
    return { name, steps: stepsCompared(own, steps), anchors: scale, groups };
  });
  return { tasks, unit: scored ? 'score' : 'return', goal: goal ?? (scored ? 0.5 : 950) };
}

/** The statistics of each task, and over all tasks those of the labels that have runs of each. */
export function statisticsOf({ tasks, unit }: Comparison): Scope[] {
  const alone = tasks.map((task) => {
    const strata = (group: Group) => [group.runs.map(({ steps, scores }) => ({ x: steps, y: scores }))];
    const groups = task.groups.map((group) => ({ ...group, strata: strata(group) }));
    return scope(task.name, 'step', unit, groups, task.steps);
  });
  if (tasks.length === 1) return alone;
  const everywhere = tasks[0].groups.flatMap(({ label, color }) => {
    const strata = tasks.map((task) =>
      task.groups
        .filter((group) => group.label === label)
        .flatMap(({ runs }) => runs)
        .map((run) => ({ x: run.steps.map((step) => (100 * step) / task.steps), y: run.scores })),
    );
    return strata.every((runs) => runs.length > 0) ? [{ label, color, strata }] : [];
  });
  if (everywhere.length === 0) return alone;
  return [...alone, scope('all tasks', '% of the steps', unit, everywhere, 100)];
}

/** The environment steps of the first evaluation of at least `goal`; null when there is none. */
export function stepsTo({ steps, scores }: Pick<Run, 'steps' | 'scores'>, goal: number): number | null {
  const index = scores.findIndex((value) => value >= goal);
  return index < 0 ? null : steps[index];
}

/** Median over runs of the environment steps to `goal`; infinite where it falls among runs that never reached it. */
export function medianStepsTo(runs: Run[], goal: number): Estimate {
  const reached = runs.map((run) => stepsTo(run, goal) ?? Number.POSITIVE_INFINITY);
  return bootstrap([reached], ([again]) => [quantile(again, 0.5)])[0];
}

/** Linear between evaluations; the last value after the run's end. */
export function valueAt(x: number[], y: number[], at: number): number {
  const next = x.findIndex((value) => value >= at);
  if (next < 0) return y[y.length - 1];
  if (x[next] === at || next === 0) return y[next];
  const share = (at - x[next - 1]) / (x[next] - x[next - 1]);
  return y[next - 1] + share * (y[next] - y[next - 1]);
}

/**
 * Everything as one table in long form, a number a line. `at` is in environment steps (per cent of them over all tasks),
 * for a profile its threshold, for steps to a goal the goal; what does not exist is empty.
 */
export function comparisonCsv(comparison: Comparison): string {
  const rows: (string | number)[][] = [
    ['quantity', 'task', 'label', 'against', 'seed', 'at', 'value', 'low', 'high'],
  ];
  const { tasks, goal } = comparison;
  const finite = (value: number | null) => (value !== null && Number.isFinite(value) ? value : '');
  const estimate = ({ value, interval }: Estimate) => [value, ...(interval ?? [null, null])].map(finite);
  for (const task of tasks) {
    for (const { label, runs } of task.groups) {
      for (const run of runs) {
        const row = (quantity: string, at: number, value: number | null) =>
          rows.push([quantity, task.name, label, '', run.seed, at, finite(value), '', '']);
        for (const [i, step] of run.steps.entries()) row('return', step, run.returns[i]);
        row('score', task.steps, valueAt(run.steps, run.scores, task.steps));
        row('steps to goal', goal, stepsTo(run, goal));
      }
      rows.push([
        'median steps to goal',
        task.name,
        label,
        '',
        '',
        goal,
        ...estimate(medianStepsTo(runs, goal)),
      ]);
    }
  }
  for (const { name, lines } of statisticsOf(comparison)) {
    for (const line of lines) {
      const { label, x, interquartileMeans, thresholds, profile, improvement } = line;
      for (const [i, at] of x.entries())
        rows.push(['interquartile mean', name, label, '', '', at, ...estimate(interquartileMeans[i])]);
      for (const [i, at] of thresholds.entries())
        rows.push(['performance profile', name, label, '', '', at, ...estimate(profile[i])]);
      for (const [against, each] of improvement)
        rows.push([
          'probability of improvement',
          name,
          label,
          against,
          '',
          x[x.length - 1],
          ...estimate(each),
        ]);
    }
  }
  const cell = (value: string | number) =>
    /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  return rows.map((row) => `${row.map(cell).join(',')}\n`).join('');
}

interface ReadRun extends ComparedRun {
  task: string;
  seed: string;
  steps: number[];
  returns: number[];
  /** The run ended itself: it had reached the return at which it was to stop. */
  finished: boolean;
}

function readRun({ label, directory }: ComparedRun): ReadRun {
  if (!existsSync(directory)) throw new FarsightError(`run '${directory}': no such directory`);
  const evaluated = readMetrics(join(directory, 'metrics.jsonl')).filter((line) => line.evaluation !== null);
  if (evaluated.length === 0)
    throw new FarsightError(`run '${directory}': has no evaluation in metrics.jsonl; train it further`);
  const config = shownConfig(directory);
  const { seed, options } = config;
  const returns = evaluated.map((line) => line.evaluation!.mean);
  const stop =
    (options as { stopAtReturn?: number | null } | undefined)?.stopAtReturn ?? Number.POSITIVE_INFINITY;
  return {
    label,
    directory,
    task: taskShown(config) ?? 'task',
    seed: String(seed ?? basename(resolve(directory))),
    steps: evaluated.map((line) => line.environmentSteps),
    returns,
    finished: returns.some((value) => value >= stop),
  };
}

function stepsCompared(runs: ReadRun[], wanted: number | undefined): number {
  const end = ({ steps }: ReadRun) => steps[steps.length - 1];
  const going = runs.filter(({ finished }) => !finished);
  const most = going.length > 0 ? Math.min(...going.map(end)) : Math.max(...runs.map(end));
  if (wanted === undefined) return most;
  const short = going.find((run) => end(run) < wanted);
  if (short)
    throw new UsageError(
      `--steps ${wanted}: run '${short.directory}' was last evaluated after ${end(short)}; train it further or compare at ${most}`,
    );
  return wanted;
}

function toScores(returns: number[], anchors: Anchors | null): number[] {
  if (!anchors) return returns;
  const [zero, one] = anchors;
  return returns.map((value) => (value - zero) / (one - zero));
}

interface Trace {
  x: number[];
  y: number[];
}

/** A profile's thresholds. */
const THRESHOLDS = 200;
/** Most points of a line of interquartile means. */
const POINTS = 100;

function scope(
  name: string,
  xName: Scope['xName'],
  unit: Comparison['unit'],
  groups: { label: string; color: number; strata: Trace[][] }[],
  end: number,
): Scope {
  const scored = groups.map((group) => ({
    ...group,
    scores: group.strata.map((runs) => runs.map(({ x, y }) => valueAt(x, y, end))),
  }));
  const all = scored.flatMap(({ scores }) => scores.flat(2));
  const [low, high] = [Math.min(0, ...all), Math.max(unit === 'score' ? 1 : 0, ...all)];
  const thresholds = Array.from({ length: THRESHOLDS + 1 }, (_, i) => low + ((high - low) * i) / THRESHOLDS);
  const lines = scored.map(({ label, color, strata, scores }): ScopeLine => {
    const traces = strata.flat();
    const x = pointsOf(traces, end);
    const values = strata.map((runs) => runs.map((run) => x.map((at) => valueAt(run.x, run.y, at))));
    const others = scored.filter((other) => other.label !== label);
    return {
      label,
      color,
      runs: traces.length,
      x,
      interquartileMeans: bootstrap(values, (again) =>
        x.map((_, i) => interquartileMean(again.flatMap((runs) => runs.map((run) => run[i])))),
      ),
      thresholds,
      profile: bootstrap(scores, (again) => performanceProfile(again.flat(), thresholds)),
      improvement: new Map(
        others.map((other) => [
          other.label,
          bootstrap([...scores, ...other.scores], (again) => [
            probabilityOfImprovement(again.slice(0, scores.length), again.slice(scores.length)),
          ])[0],
        ]),
      ),
    };
  });
  return { name, xName, lines };
}

/** Where runs were evaluated, thinned out, from where all have begun to `end`. */
function pointsOf(traces: Trace[], end: number): number[] {
  const begun = Math.max(...traces.map(({ x }) => x[0]));
  const all = [...new Set(traces.flatMap(({ x }) => x))]
    .filter((at) => at >= begun && at < end)
    .sort((a, b) => a - b);
  const stride = Math.ceil(all.length / POINTS);
  return [...all.filter((_, i) => i % stride === 0), end];
}
