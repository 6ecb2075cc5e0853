// What is known of every run of a sweep, and the one view of all: lines redrawn on a terminal, a line a change elsewhere.
import cliProgress from 'cli-progress';
import { say } from '../command.js';
import { LiveView } from '../liveView.js';
import { duration } from '../progress.js';
import type { PlannedRun } from './plan.js';
import type { RunResult } from './trainChild.js';

/** What changes while a run is looked at. */
export type RunState =
  | { state: 'waiting' }
  | { state: 'running'; worker: string; done: number; numbers: Record<string, string> }
  | { state: 'done'; result: RunResult }
  | { state: 'failed'; why: string }
  | { state: 'cancelled' };

const REDRAW_MS = 200;
/** Between two lines about all runs where nothing is redrawn. */
const PLAIN_MS = 30_000;
const BAR = {
  barsize: 12,
  barCompleteString: '█'.repeat(12),
  barIncompleteString: '░'.repeat(12),
  barGlue: '',
};

export class Board {
  readonly runs: readonly PlannedRun[];
  readonly #title: string;
  readonly #states: RunState[];
  readonly #view = process.stderr.isTTY && process.env.TERM !== 'dumb' ? new LiveView(process.stderr) : null;
  readonly #began = performance.now();
  #drawn = Number.NEGATIVE_INFINITY;
  /** Steps that were made before this view began; set by its first drawing. */
  #before: number | undefined;

  constructor(title: string, runs: readonly PlannedRun[]) {
    this.#title = title;
    this.runs = runs;
    this.#states = runs.map(() => ({ state: 'waiting' }));
  }

  state(index: number): RunState {
    return this.#states[index];
  }

  /** What is known now of a run; `quiet` says no line about it. */
  set(index: number, next: RunState, quiet = false): void {
    const before = this.#states[index];
    this.#states[index] = next;
    const news =
      before.state !== next.state ||
      (next.state === 'running' && before.state === 'running' && before.worker !== next.worker);
    if (news && !quiet && (next.state !== 'running' || !this.#view))
      say(`${this.runs[index].name}: ${newsOf(next)}`);
    if (next.state === 'running') this.draw();
  }

  count(state: RunState['state']): number {
    return this.#states.filter((each) => each.state === state).length;
  }

  get results(): (RunResult | undefined)[] {
    return this.#states.map((each) => (each.state === 'done' ? each.result : undefined));
  }

  /** Draws, unless it has just been done. */
  draw(): void {
    const now = performance.now();
    this.#before ??= this.#steps();
    if (now - this.#drawn < (this.#view ? REDRAW_MS : PLAIN_MS)) return;
    const first = this.#drawn === Number.NEGATIVE_INFINITY;
    this.#drawn = now;
    if (this.#view) this.#view.show([this.#summary(), ...this.#lines()]);
    else if (!first) say(this.#summary());
  }

  /** Ends the view. Returns the seconds that it was there. */
  finish(): number {
    this.#view?.clear();
    return (performance.now() - this.#began) / 1000;
  }

  #steps(): number {
    return this.#states.reduce((sum, state, i) => sum + stepsOf(state, this.runs[i]), 0);
  }

  #summary(): string {
    const { length } = this.runs;
    const counts = (['running', 'waiting', 'failed', 'cancelled'] as const)
      .map((state) => [state, this.count(state)] as const)
      .filter(([, n]) => n > 0)
      .map(([state, n]) => `${n} ${state}`);
    const total = this.runs.reduce((sum, run) => sum + run.config.options.steps, 0);
    const steps = this.#steps();
    const rate = (steps - (this.#before ?? 0)) / ((performance.now() - this.#began) / 1000);
    const left = rate > 0 && this.count('running') > 0 ? [`${duration((total - steps) / rate)} left`] : [];
    const percent = `${Math.floor((100 * steps) / total)}%`;
    return `${this.#title}: ${[`${this.count('done')}/${length} done`, ...counts, percent, ...left].join(' · ')}`;
  }

  /** A line for each run that runs. */
  #lines(): string[] {
    const running = this.#states.flatMap((state, i) =>
      state.state === 'running' ? [{ ...state, run: this.runs[i] }] : [],
    );
    const longest = Math.max(0, ...running.map(({ run }) => run.name.length));
    return running.map(({ run, done, numbers, worker }) => {
      const total = run.config.options.steps;
      const bar = cliProgress.Format.BarFormat(Math.min(1, done / total), BAR);
      const known = Object.entries(numbers).map(([name, value]) => `${name} ${value}`);
      return `${run.name.padEnd(longest)} ${bar} ${[`${done}/${total}`, ...known, worker].join(' · ')}`;
    });
  }
}

function stepsOf(state: RunState, { config }: PlannedRun): number {
  if (state.state === 'done') return config.options.steps;
  return state.state === 'running' ? state.done : 0;
}

function newsOf(next: RunState): string {
  switch (next.state) {
    case 'waiting':
      return 'waits, to go on from its last checkpoint';
    case 'running':
      return `runs, ${next.worker}`;
    case 'done':
      return resultText(next.result);
    case 'failed':
      return `failed: ${next.why}`;
    case 'cancelled':
      return 'cancelled';
  }
}

function resultText({ return: reached, environmentSteps, seconds }: RunResult): string {
  const result = reached === null ? 'not evaluated' : `return ${reached.toFixed(1)}`;
  return `${result} after ${environmentSteps} steps in ${duration(seconds)}`;
}
