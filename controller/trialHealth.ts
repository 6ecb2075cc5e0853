// The health of a policy on trial, from the rows of the loop's trace, against that of the policy before it.
import { FAULTS, FLAG, MODES, ROW } from '../contract/loop.js';
import { percent } from './shadow.js';

/** Seconds over which the share of limited ticks is taken. */
const WINDOW = 0.5;
/** How much more often limits may change the command than before, as a share of ticks. */
const MORE_LIMITED = 0.2;
/** How many times as often as before the task may end, and once beside: the policy before has a part in the way over. */
const MORE_ENDS = 1.2;
/** An observation this many times as far from training as the farthest before, and so much more, in deviations … */
const FARTHER = 1.5;
const FARTHER_BY = 0.5;
/** … but at most this part of the way to where the loop faults … */
const OF_THE_WAY = 0.5;
/** … in so many steps on end is the policy's doing. */
const STEPS_ON_END = 3;

const POLICY = MODES.indexOf('policy');
const LATCHED = [MODES.indexOf('damping'), MODES.indexOf('fault')];

/** How the robot fared under a policy. */
export interface Behaviour {
  /** Ticks in which the policy acted, and the share of them in which a limit changed its command. */
  ticks: number;
  limited: number;
  /** How often the task ended: the robot fell, or left where it may be. */
  ends: number;
  /** Largest score of an observation: how many deviations of training from its mean. */
  farthest: number;
}

/** Counts ends of the task: a robot that lies there has fallen once. */
class Ends {
  count = 0;
  #over = false;

  add(flags: number): void {
    const over = (flags & FLAG.terminal) !== 0;
    if (over && !this.#over) this.count++;
    this.#over = over;
  }
}

/** Sums up rows; those in which the policy does not act count nothing. */
export class BehaviourWatch {
  #ticks = 0;
  #limited = 0;
  #farthest = 0;
  readonly #ends = new Ends();

  add(row: Float64Array): void {
    if (row[ROW.mode] !== POLICY) return;
    this.#ticks++;
    this.#ends.add(row[ROW.flags]);
    if ((row[ROW.flags] & FLAG.intervention) !== 0) this.#limited++;
    this.#farthest = Math.max(this.#farthest, row[ROW.largestScore]);
  }

  behaviour(): Behaviour {
    const limited = this.#ticks > 0 ? this.#limited / this.#ticks : 0;
    return { ticks: this.#ticks, limited, ends: this.#ends.count, farthest: this.#farthest };
  }
}

/** Looks at each tick of a policy on trial, and says at once what is wrong with it. */
export class TrialHealth {
  readonly #before: Behaviour;
  readonly #score: number;
  /** Whether a limit changed the command, of the newest ticks, a ring. */
  readonly #limited: Uint8Array;
  #ticks = 0;
  #limitedTicks = 0;
  #far = 0;
  readonly #ends = new Ends();

  /** Against `before`; `scoreLimit` is the score at which the loop faults. */
  constructor(before: Behaviour, rateHz: number, scoreLimit = Infinity) {
    this.#before = before;
    const room = scoreLimit - before.farthest;
    const farther = FARTHER * before.farthest + FARTHER_BY;
    this.#score = Math.min(farther, before.farthest + OF_THE_WAY * Math.max(0, room));
    this.#limited = new Uint8Array(Math.ceil(WINDOW * rateHz));
  }

  /** None where it did not end before. */
  #mostEnds(): number {
    const { ends, ticks } = this.#before;
    return ends === 0 ? 0 : 1 + MORE_ENDS * (ends / ticks) * this.#ticks;
  }

  /** Ticks in which the policy acted. */
  get ticks(): number {
    return this.#ticks;
  }

  /** Why the policy must go, after one more row; undefined while it may stay. */
  add(row: Float64Array): string | undefined {
    if (LATCHED.includes(row[ROW.mode])) return `fault: ${FAULTS[row[ROW.fault]]}`;
    if (row[ROW.mode] !== POLICY) return undefined;
    const flags = row[ROW.flags];
    const place = this.#ticks++ % this.#limited.length;
    this.#ends.add(flags);
    if (this.#ends.count > this.#mostEnds())
      return `the task ended: the robot fell, or left where it may be${this.#before.ends > 0 ? `: ${this.#ends.count} times, oftener than before` : ''}`;
    const limited = (flags & FLAG.intervention) !== 0 ? 1 : 0;
    this.#limitedTicks += limited - this.#limited[place];
    this.#limited[place] = limited;
    const share = this.#limitedTicks / this.#limited.length;
    if (this.#ticks >= this.#limited.length && share > this.#before.limited + MORE_LIMITED)
      return `limits changed ${percent(share)} of the commands of ${WINDOW} s, before ${percent(this.#before.limited)}`;
    if ((flags & FLAG.policyStep) === 0) return undefined;
    const score = row[ROW.largestScore];
    this.#far = score <= this.#score ? 0 : this.#far + 1;
    if (this.#far < STEPS_ON_END) return undefined;
    return `observations are ${score.toFixed(1)} deviations from those of training, before at most ${this.#before.farthest.toFixed(1)}`;
  }
}
