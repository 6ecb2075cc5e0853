// Trainings and refits in a directory of runs, as far as their files tell, for the dashboard.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { RunCard } from '../../bridge/pageMessages.js';
import { isInUse, LOCK_FILE } from '../../contract/directoryLock.js';
import { FarsightError } from '../../contract/errors.js';
import { readMetrics } from '../../trainer/report/metrics.js';
import { CONFIG_FILE } from '../../trainer/run/runConfig.js';

const METRICS = 'metrics.jsonl';
const REFIT = 'refit.json';
/** What `farsight refit` works in until it has ended. */
const PARTIAL = '.partial';

/** Of config.json what is shown, so that runs of other versions are too. */
const configSchema = z.object({
  task: z.string(),
  ownTask: z.object({ name: z.string() }).optional(),
  preset: z.string(),
  options: z.object({ steps: z.number() }),
});

/** The runs of a directory, or the one that it is. A file is read again only when it has changed. */
export class Runs {
  readonly #directory: string;
  readonly #seen = new Map<string, Seen>();

  /** Throws a `FarsightError` when there is no such directory. */
  constructor(directory: string) {
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
      throw new FarsightError(`--runs '${directory}': no such directory; 'farsight train --out' makes runs`);
    this.#directory = directory;
  }

  /** Those that go on first, then the newest; none while the directory is away. */
  cards(): RunCard[] {
    return this.#paths()
      .map((path) => this.#look(path))
      .sort((a, b) => Number(b.card.running) - Number(a.card.running) || b.changed - a.changed)
      .map(({ card }) => card);
  }

  #paths(): string[] {
    if (isRun(this.#directory)) return [this.#directory];
    try {
      return readdirSync(this.#directory)
        .map((name) => join(this.#directory, name))
        .filter(isRun);
    } catch {
      return [];
    }
  }

  #look(path: string): Seen {
    const running = isInUse(path);
    const changed = changedAt(path);
    const before = this.#seen.get(path);
    const card = before?.changed === changed ? { ...before.card, running } : cardOf(path, running);
    this.#seen.set(path, { changed, card });
    return { changed, card };
  }
}

interface Seen {
  changed: number;
  card: RunCard;
}

function isRun(path: string): boolean {
  return existsSync(join(path, CONFIG_FILE)) || (path.endsWith(PARTIAL) && isInUse(path));
}

function changedAt(path: string): number {
  return Math.max(
    ...[CONFIG_FILE, METRICS, REFIT, LOCK_FILE].map(
      (name) => statSync(join(path, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
    ),
  );
}

function cardOf(path: string, running: boolean): RunCard {
  const name = basename(path, PARTIAL);
  const unknown = { name, task: '', preset: '', running, steps: 0, of: 0, seconds: 0, evaluations: [] };
  if (path.endsWith(PARTIAL)) return { ...unknown, kind: 'refit' };
  try {
    const { task, ownTask, preset, options } = configSchema.parse(
      JSON.parse(readFileSync(join(path, CONFIG_FILE), 'utf8')),
    );
    const lines = readMetrics(join(path, METRICS));
    const refit = existsSync(join(path, REFIT)) && JSON.parse(readFileSync(join(path, REFIT), 'utf8'));
    return {
      name,
      kind: refit ? 'refit' : 'training',
      task: ownTask?.name ?? basename(task),
      preset,
      running,
      steps: lines.at(-1)?.environmentSteps ?? 0,
      of: options.steps,
      seconds: lines.at(-1)?.seconds ?? 0,
      evaluations: lines.flatMap(({ environmentSteps, evaluation }) =>
        evaluation ? [[environmentSteps, evaluation.mean]] : [],
      ),
      ...(refit && {
        refit: {
          accepted: refit.accepted === true,
          before: Number(refit.return?.before),
          after: Number(refit.return?.after),
        },
      }),
    };
  } catch {
    // A run of another version, or one that is being written just now: its name is all that is said.
    return { ...unknown, kind: 'training' };
  }
}
