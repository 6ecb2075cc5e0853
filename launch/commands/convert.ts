// farsight convert: what robots recorded as a dataset of LeRobot or Minari, and such a dataset as one of our own.
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Option } from 'commander';
import type { EpisodeCutter, Judge } from '../../bridge/convert/episodes.js';
import type { ForeignDataset } from '../../bridge/convert/foreignDataset.js';
import { asideOf, claim, place } from '../../contract/asideDirectory.js';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import { interfaceDifference, type TaskInterface } from '../../contract/terms.js';
import { UnwritableError } from '../../contract/wholeFile.js';
import { command, execute, say } from '../command.js';
import { type Progress, startProgress } from '../progress.js';
import { stoppable } from '../signals.js';

const FORMATS = ['lerobot', 'minari'] as const;

interface Flags {
  to?: (typeof FORMATS)[number];
  task?: string;
  policy?: string;
  out: string;
  json?: boolean;
}

/** What `farsight convert --json` prints. */
interface Result {
  out: string;
  /** That was written, or with `rows` that was read. */
  format: (typeof FORMATS)[number];
  episodes: number;
  /** Transitions. */
  steps: number;
  /** Of an export: what is in no episode, the task whose rewards it has, steps without one. */
  skipped?: EpisodeCutter['skipped'];
  rewards?: string | null;
  unrewarded?: number;
  /** Of an import. */
  rows?: number;
}

export function convertCommand() {
  return command(
    'convert',
    "turn recordings or a dataset of 'farsight collect' into one of LeRobot or Minari, and such a one back",
    'farsight convert fleet/inverted-pendulum-56c7d853 --to lerobot --out pendulum-lerobot',
  )
    .argument(
      '<path>',
      "a dataset of 'farsight collect', recordings as 'refit --data' takes them, or a dataset of LeRobot (v3) or Minari (HDF5, Parquet)",
    )
    .addOption(new Option('--to <format>', 'of what was recorded: what it becomes').choices(FORMATS))
    .requiredOption('--out <directory>', 'a new directory; for Minari named NAME-vVERSION')
    .option(
      '--task <task>',
      "a task's name, or the path of a task's file. With --to: the task that gives the rewards (default: the built-in one of that name). Without: the task that LeRobot or Minari data are of",
    )
    .option('--policy <file>', 'of such data instead of --task: a policy of their task')
    .addHelpText(
      'after',
      `
  $ farsight convert lerobot-data --task hopper --out fleet/hopper-lerobot

An episode is a stretch of the policy's steps that follow each other: it ends at gaps, faults, resets and ends of the
task. Nothing is joined across them, in either direction.`,
    )
    .action((path: string, flags: Flags) =>
      execute(
        flags.json,
        () => stoppable('this file; nothing is written', (stop) => convert(path, flags, stop)),
        show,
      ),
    );
}

async function convert(from: string, flags: Flags, stop: AbortSignal): Promise<Result> {
  const foreign = await openForeign(from);
  if (foreign) {
    if (flags.to !== undefined)
      throw new UsageError(
        `--to ${flags.to}: '${from}' is a dataset of ${NAMES[foreign.format]}, which comes in by --task or --policy`,
      );
    const task = await taskOf(flags);
    const { out } = flags;
    return wholly(out, (aside) => importInto(aside, { from, foreign, task, out }, stop));
  }
  if (flags.policy !== undefined)
    throw new UsageError(`--policy: goes with a dataset of LeRobot or Minari, and '${from}' is neither`);
  const { to, out } = flags;
  if (to === undefined)
    throw new UsageError(`--to is missing: say what '${from}' becomes, lerobot or minari`);
  if (to === 'minari') {
    const { checkMinariName } = await import('../../bridge/convert/minariWriter.js');
    checkMinariName(basename(resolve(out)));
  }
  return wholly(out, (aside) => exportInto(aside, from, to, flags, stop));
}

const NAMES = { lerobot: 'LeRobot', minari: 'Minari' };

/** The dataset at a path when it is one of another library; throws when it is nothing that can be converted. */
async function openForeign(path: string): Promise<ForeignDataset | undefined> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new FarsightError(`'${path}': no such file or directory`);
  const { isDataset } = await import('../../contract/dataset.js');
  if (!found.isDirectory() || isDataset(path)) return undefined;
  const { LEROBOT_INFO, minariData } = await import('../../bridge/convert/foreignDataset.js');
  if (existsSync(join(path, LEROBOT_INFO)))
    return (await import('../../bridge/convert/lerobotReader.js')).openLeRobot(path);
  const data = minariData(path);
  if (data !== undefined) return (await import('../../bridge/convert/minariReader.js')).openMinari(data);
  const names = readdirSync(path);
  if (names.some((name) => name.endsWith('.mcap'))) return undefined;
  const below = names.map((name) => join(path, name)).filter(isDataset);
  if (below.length > 0)
    throw new FarsightError(`'${path}' holds several tasks' datasets: give one, such as '${below[0]}'`);
  throw new FarsightError(
    `'${path}' is no dataset: it has neither dataset.json, .mcap files, ${LEROBOT_INFO} (LeRobot v3) nor data/metadata.json (Minari)`,
  );
}

/** The task that a dataset to be taken in is of. */
async function taskOf({ task, policy }: Flags): Promise<TaskInterface> {
  if ((task === undefined) === (policy === undefined))
    throw new UsageError(
      task === undefined
        ? '--task is missing: name the task that the data are of, or give one of its policies with --policy'
        : '--task and --policy both say the task: leave one out',
    );
  if (policy !== undefined) {
    const { readPolicyFile } = await import('../../contract/policyFile.js');
    return readPolicyFile(policy).manifest;
  }
  const { loadTask, taskInterface } = await import('../../trainer/sim/task.js');
  return taskInterface(await loadTask(task!));
}

/** Makes `out` aside; whatever ends the work leaves nothing of it. */
async function wholly<T>(out: string, work: (aside: string) => Promise<T>): Promise<T> {
  const refuse = () => {
    if (existsSync(out)) throw new UsageError(`--out '${out}' exists: choose a new directory`);
  };
  refuse();
  const unlock = claim(out, refuse);
  try {
    const result = await work(asideOf(out));
    place(out);
    return result;
  } catch (error) {
    throw error instanceof UnwritableError ? new FarsightError(`--out ${error.message}`) : error;
  } finally {
    rmSync(asideOf(out), { recursive: true, force: true });
    unlock();
  }
}

async function exportInto(
  aside: string,
  from: string,
  format: (typeof FORMATS)[number],
  { out, task: given }: Flags,
  stop: AbortSignal,
): Promise<Result> {
  const { recordedInterface, feedRows } = await import('../../contract/recordedRows.js');
  const { datasetTaskOf } = await import('../../contract/dataset.js');
  const { EpisodeCutter } = await import('../../bridge/convert/episodes.js');
  const { LeRobotWriter } = await import('../../bridge/convert/lerobotWriter.js');
  const { MinariWriter } = await import('../../bridge/convert/minariWriter.js');
  const recorded = await recordedInterface(from);
  const task = datasetTaskOf(recorded);
  const judged = await judgeOf(recorded, given);
  const rewards = judged ? recorded.task : null;
  const writer =
    format === 'lerobot'
      ? new LeRobotWriter(aside, task, judged !== undefined)
      : new MinariWriter(aside, basename(resolve(out)), task);
  const result = { out, format, episodes: 0, steps: 0, rewards, unrewarded: 0 };
  let progress: Progress | undefined;
  try {
    const cutter = new EpisodeCutter(
      task,
      (episode) => {
        writer.add(episode);
        result.episodes++;
        result.steps += episode.steps;
        result.unrewarded += episode.reward?.filter((reward) => !Number.isFinite(reward)).length ?? 0;
      },
      judged,
    );
    const files = await feedRows(from, recorded, cutter, async (done, total) => {
      progress ??= startProgress({ title: 'convert', total, unit: 'files' });
      progress.update(done, { episodes: String(result.episodes) });
      await setImmediate();
      stop.throwIfAborted();
    });
    cutter.end();
    progress?.update(files.length, { episodes: String(result.episodes) });
    const { skipped } = cutter;
    if (result.episodes === 0)
      throw new FarsightError(
        `'${from}' holds no two steps of a policy that follow each other${skippedText(skipped)}: record more`,
      );
    writer.finish(rewards);
    return { ...result, skipped };
  } finally {
    judged?.dispose();
    progress?.finish();
  }
}

/** Rewards and ends by the task's own functions: of the one given, or of the built-in one of that name where it is the same. */
async function judgeOf(
  recorded: TaskInterface,
  given: string | undefined,
): Promise<(Judge & { dispose(): void }) | undefined> {
  const { loadTask, taskInterface, taskNames } = await import('../../trainer/sim/task.js');
  const { RewardOfObservations } = await import('../../trainer/refit/realTransitions.js');
  try {
    if (given === undefined && !taskNames.includes(recorded.task))
      throw new FarsightError(`task '${recorded.task}' is not built in, give its file with --task`);
    const task = await loadTask(given ?? recorded.task);
    const difference = interfaceDifference(recorded, taskInterface(task));
    if (difference)
      throw new FarsightError(
        `--task ${given ?? recorded.task}: the recordings are of another task: ${difference}`,
      );
    const rewards = await RewardOfObservations.create(task);
    return {
      reward: (observation, action, next) => rewards.of(observation, action, next),
      terminated: (next) => task.terminated(next),
      dispose: () => rewards.dispose(),
    };
  } catch (error) {
    if (given !== undefined || !(error instanceof FarsightError)) throw error;
    say(`note: without rewards: ${messageOf(error)}`);
    return undefined;
  }
}

async function importInto(
  aside: string,
  { from, foreign, task, out }: { from: string; foreign: ForeignDataset; task: TaskInterface; out: string },
  stop: AbortSignal,
): Promise<Result> {
  const { DatasetImport, digestOf } = await import('../../bridge/convert/datasetImport.js');
  const { format, unit, total, files } = foreign;
  const name = basename(resolve(from));
  const dataset = new DatasetImport(aside, task, { source: await digestOf(files), name });
  const result = { out, format, episodes: 0, steps: 0 };
  const progress = startProgress({ title: 'convert', total, unit });
  try {
    for await (const steps of foreign.read(task)) {
      dataset.add(steps);
      result.episodes++;
      result.steps += steps.steps;
      progress.update(unit === 'steps' ? result.steps : dataset.rows, { episodes: String(result.episodes) });
      await setImmediate();
      stop.throwIfAborted();
    }
    if (result.episodes === 0)
      throw new FarsightError(`'${from}' holds no two ${unit} that follow each other: take another dataset`);
    dataset.finish();
    return { ...result, rows: dataset.rows };
  } finally {
    progress.finish();
  }
}

function skippedText(skipped: EpisodeCutter['skipped']): string {
  const left = Object.entries(skipped).filter(([, count]) => count > 0);
  return left.length > 0 ? ` (skipped: ${left.map((entry) => entry.join(' ')).join(', ')})` : '';
}

function show({ out, episodes, steps, skipped, rewards, unrewarded, rows }: Result): void {
  console.log(`wrote ${out}: ${episodes} episodes, ${steps} steps${skipped ? skippedText(skipped) : ''}`);
  if (typeof rewards === 'string')
    console.log(
      `rewards are those of task '${rewards}'${unrewarded ? `; ${unrewarded} steps need more than was observed and have NaN` : ''}`,
    );
  if (rows !== undefined) console.log(`\nnext: npx farsight refit --from RUN --data ${out} --out NEW-RUN`);
}
