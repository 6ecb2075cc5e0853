// Transitions of the real robot: which steps of the policy join to (observation, action, next observation) and why not.
import { FLAG, MODES, ROW, rowLayout } from './loop.js';
import type { TaskInterface } from './terms.js';

/** `count` transitions, row by row in flat arrays. */
export interface Transitions {
  count: number;
  /** `[count, n]`, as the policy saw it. */
  observation: Float32Array;
  /** `[count, m]`: the command as sent, after the safety envelope. */
  action: Float32Array;
  /** `[count, n]`, one control period later. */
  nextObservation: Float32Array;
  /** `[count]`: 1 when the task's termination holds at the next observation. */
  terminal: Float32Array;
  /** `[count]`: 1 when it begins where the one before it ends: that one's action is the one before this one's. */
  follows: Uint8Array;
  /** `[count]`: how old the sensors' reading was that the policy saw, seconds, by the stamps. */
  sensorAge: Float32Array;
}

/** How many pairs of consecutive policy steps were not joined, by the first reason met. */
export interface Skipped {
  /** Ticks were missed, rows were lost, or the two sensor readings are not about one control period apart. */
  gap: number;
  /** The command changed between the two steps, so no single action belongs to them. */
  intervention: number;
  /** The loop left `policy` between them, or a value was not finite. */
  fault: number;
  /** The robot was put back to a start state between them, or the first one was terminal already. */
  reset: number;
}

/** What a robot's rows are given to, in the order of their ticks. */
export interface RowSink {
  /** The next row is of another run of a loop, or of a file that does not go on where the last one ended. */
  restart(run: { robot: string; boot: string }): void;
  push(row: Float64Array): void;
}

const POLICY = MODES.indexOf('policy');
const LASTING = FLAG.intervention | FLAG.fault | FLAG.terminal;

/**
 * Joins policy step k to policy step k + 1, rows given in order of their ticks (rows not after the last one are
 * ignored). The loop may run several ticks between: they must leave the command as it was at step k.
 */
export class TransitionJoiner implements RowSink {
  readonly skipped: Skipped = { gap: 0, intervention: 0, fault: 0, reset: 0 };
  readonly #layout: ReturnType<typeof rowLayout>;
  readonly #period: number;
  readonly #emit: (from: Float64Array, to: Float64Array, terminal: boolean, follows: boolean) => void;
  /** Row of the last policy step. */
  readonly #step: Float64Array;
  #open = false;
  /** Whether a transition ended at it. */
  #chained = false;
  #broken: keyof Skipped | undefined;
  #terminal = false;
  #tick = -1;

  /**
   * `emit` gets the rows of both steps, which are valid during the call, and whether the last transition ended at the
   * first of them.
   */
  constructor(
    task: Pick<TaskInterface, 'controlRate' | 'observation' | 'action'>,
    emit: (from: Float64Array, to: Float64Array, terminal: boolean, follows: boolean) => void,
  ) {
    this.#layout = rowLayout(task.observation.length, task.action.length);
    this.#period = 1 / task.controlRate;
    this.#emit = emit;
    this.#step = new Float64Array(this.#layout.length);
  }

  /** The next row belongs to another recording. */
  restart(): void {
    this.#open = false;
    this.#chained = false;
    this.#tick = -1;
  }

  push(row: Float64Array): void {
    if (row[ROW.tick] <= this.#tick) return;
    this.#tick = row[ROW.tick];
    const flags = row[ROW.flags];
    const acts = row[ROW.mode] === POLICY && (flags & FLAG.fault) === 0;
    const isStep = (flags & FLAG.policyStep) !== 0;
    if (this.#open) {
      this.#broken ??= this.#breaks(row, acts, isStep);
      if (flags & FLAG.terminal) this.#terminal = true;
    }
    if (!isStep) return;
    const reason = this.#open ? (this.#broken ?? this.#unfit(row)) : undefined;
    if (reason) this.skipped[reason]++;
    else if (this.#open) this.#emit(this.#step, row, this.#terminal, this.#chained);
    this.#chained = this.#open && !reason;
    this.#step.set(row);
    this.#open = acts;
    this.#broken = undefined;
    this.#terminal = false;
  }

  /** Why nothing may be joined across `row`. */
  #breaks(row: Float64Array, acts: boolean, isStep: boolean): keyof Skipped | undefined {
    const flags = row[ROW.flags];
    if (flags & FLAG.reset || this.#step[ROW.flags] & FLAG.terminal) return 'reset';
    if (!acts) return 'fault';
    if (flags & FLAG.gap) return 'gap';
    if (!isStep && commandDiffers(this.#layout, row, this.#step)) return 'intervention';
    return undefined;
  }

  /** Why this pair of steps is no transition, with nothing wrong between them. */
  #unfit(row: Float64Array): keyof Skipped | undefined {
    const elapsed = row[ROW.scheduled] - this.#step[ROW.scheduled];
    if (elapsed < 0.5 * this.#period || elapsed > 1.5 * this.#period) return 'gap';
    if (row[ROW.sensorStamp] <= this.#step[ROW.sensorStamp]) return 'gap';
    const { observation, action, command, length } = this.#layout;
    for (let i = observation; i < action; i++)
      if (!Number.isFinite(row[i]) || !Number.isFinite(this.#step[i])) return 'fault';
    for (let i = command; i < length; i++) if (!Number.isFinite(this.#step[i])) return 'fault';
    return undefined;
  }
}

function commandDiffers(layout: ReturnType<typeof rowLayout>, a: Float64Array, b: Float64Array): boolean {
  for (let i = layout.command; i < layout.length; i++) if (!Object.is(a[i], b[i])) return true;
  return false;
}

/**
 * Whether a recording needs `row`, given the last row that it kept: steps of the policy, gaps and resets always, other
 * ticks only when the mode, the fault, the lasting flags or the command changed.
 */
export function isWorthKeeping(
  layout: ReturnType<typeof rowLayout>,
  row: Float64Array,
  kept: Float64Array,
): boolean {
  return (
    (row[ROW.flags] & (FLAG.policyStep | FLAG.gap | FLAG.reset)) !== 0 ||
    (row[ROW.flags] & LASTING) !== (kept[ROW.flags] & LASTING) ||
    row[ROW.mode] !== kept[ROW.mode] ||
    row[ROW.fault] !== kept[ROW.fault] ||
    row[ROW.interventions] !== kept[ROW.interventions] ||
    commandDiffers(layout, row, kept)
  );
}

/** A joiner whose transitions pile up; `take` returns them as flat arrays. */
export function collectTransitions(task: TaskInterface) {
  const { observation, action, command, length } = rowLayout(task.observation.length, task.action.length);
  const rows: {
    observation: Float32Array;
    action: Float32Array;
    next: Float32Array;
    terminal: boolean;
    follows: boolean;
    sensorAge: number;
  }[] = [];
  const joiner = new TransitionJoiner(task, (from, to, terminal, follows) => {
    rows.push({
      observation: Float32Array.from(from.subarray(observation, action)),
      action: Float32Array.from(from.subarray(command, length)),
      next: Float32Array.from(to.subarray(observation, action)),
      terminal,
      follows,
      sensorAge: from[ROW.scheduled] - from[ROW.sensorStamp],
    });
  });
  const flat = (parts: Float32Array[], width: number) => {
    const out = new Float32Array(parts.length * width);
    parts.forEach((part, i) => {
      out.set(part, i * width);
    });
    return out;
  };
  const take = (): Transitions => ({
    count: rows.length,
    observation: flat(
      rows.map((row) => row.observation),
      action - observation,
    ),
    action: flat(
      rows.map((row) => row.action),
      length - command,
    ),
    nextObservation: flat(
      rows.map((row) => row.next),
      action - observation,
    ),
    terminal: Float32Array.from(rows, ({ terminal }) => Number(terminal)),
    follows: Uint8Array.from(rows, ({ follows }) => Number(follows)),
    sensorAge: Float32Array.from(rows, ({ sensorAge }) => sensorAge),
  });
  return { joiner, take };
}
