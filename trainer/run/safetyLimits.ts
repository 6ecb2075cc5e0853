// The safety limits of a policy file: what its task states, and for the rest what training and evaluation kept to, widened.
import { CommandLimits } from '../../contract/commandLimits.js';
import { LEAST_DEVIATION, type Manifest } from '../../contract/manifest.js';
import { jointsOf, type ObservationTerm, type Safety, termName } from '../../contract/terms.js';
import type { Episode } from '../mpdp/evaluate.js';
import type { Replay } from '../mpdp/replay.js';
import { isClipped } from '../sim/physics.js';
import type { Task } from '../sim/task.js';

/**
 * Added at each end of the MJCF's range of a position, as a share of it: MuJoCo's joint limits are springs and give way.
 * To that comes, so many times, how far beyond it the position was seen: between two steps of the policy it was farther.
 */
const BEYOND_LIMITS = 0.05;
const OVERSHOOTS = 2;
/** Added where the MJCF has no range, as a share of what was seen, and at least, rad or m. */
const BEYOND_DATA = 0.5;
const LEAST_MARGIN = 0.01;
/** A speed's limit over the fastest that was seen: between two steps of the policy, in contacts, it may be higher. */
const FASTER = 2;
/** Least limit of a speed, rad/s or m/s: even a joint that hardly moved in training is measured with some noise. */
const LEAST_SPEED = 0.5;
/** A position jumps when it moves at more than so many times the fastest speed seen, */
const JUMP = 4;
/** and this share of the range seen beyond that, which may be the sensor's noise and resolution. */
const JUMP_NOISE = 0.005;
/** A sensor is stuck when its position stays the same for so many times as long as it ever did; */
const LONGER = 3;
/** the least such time, seconds; and the most: a joint that is longer at rest in training may rest. */
const LEAST_STUCK = 1;
const MOST_STUCK = 10;
/** The score that only one in a thousand observations exceeds, times this, is out of distribution, */
const SCORE_QUANTILE = 0.999;
const STRANGER = 2;
/** never below this, standard deviations, and when it lasts for so long, seconds. */
const LEAST_SCORE = 6;
const STRANGE_TIME = 0.2;
/** Share of the policy's steps of so many seconds whose command limits may change. */
const LIMITED_SHARE = 0.8;
const LIMITED_TIME = 1;
/** The fastest loop that is expected, Hz: a command takes the more ticks under a rate limit the faster the loop is. */
const FASTEST_LOOP = 1000;

type JointLimits = Safety['joints'][number];
/** What of `Safety` is derived. */
interface Limits {
  joints: JointLimits[];
  outOfDistribution?: Safety['outOfDistribution'];
  limiting?: Safety['limiting'];
}

/** What was seen of the policy that is exported. */
export interface Experience {
  /** Training's, exploration included, and the robot's if there is any. */
  replay: Replay;
  /** The policy without noise. */
  evaluated: readonly Episode[];
  statistics: Pick<Manifest['observationStatistics'], 'mean' | 'sd'>;
}

/**
 * The limits that `task` states, each as it is, and for the rest those that follow from what was seen:
 *
 * - `position`: the MJCF's range, wider at each end by a twentieth and by twice what was seen beyond it; without a range
 *   all that was seen, wider by a half at each end. None where the task bounds the position as an observation term.
 * - `velocity`: twice the fastest.
 * - `jumpMargin`, `jumpAllowance`: four times the fastest, but no less than `velocity`, and 0.5 % of the range of
 *   positions.
 * - `stuckTimeout`: three times as long as the position ever stayed the same to the last bit, 1 s at least. None when
 *   that is over 10 s: the joint may rest.
 * - `outOfDistribution`: twice the score that one in a thousand observations exceeds, 6 at least, for 0.2 s.
 * - `limiting`: four in five of a second's steps, or halfway from evaluation's worst second to all of them when that is
 *   more. None when in evaluation all of them were limited.
 *
 * Only what the policy observes gets limits, because nothing else need be measured, and none of them changes a command
 * that was possible in training. What was derived for `parent`, the manifest of the policy that this one was refined
 * from, is not tightened.
 */
export function deriveSafety(
  task: Task,
  experience: Experience,
  parent?: Manifest,
): Required<Pick<Manifest, 'safety' | 'derivedLimits'>> {
  const derived: Limits = {
    joints: jointsOf(task).map((joint) => jointLimits(task, joint, experience)),
    outOfDistribution: strangeness(task, experience),
    limiting: limiting(task, experience),
  };
  return completed(task.safety, parent?.derivedLimits ? loosened(derived, parent) : derived);
}

/** `stated` with what it leaves out, and the names of what that was. */
function completed(stated: Safety, { joints, ...rest }: Limits) {
  const derivedLimits: string[] = [];
  const complete = <T extends object>(own: T, found: object, prefix = ''): T => {
    const missing = Object.entries(found).filter(
      ([field, value]) => value !== undefined && own[field as keyof T] === undefined,
    );
    derivedLimits.push(...missing.map(([field]) => prefix + field));
    return { ...own, ...Object.fromEntries(missing) };
  };
  const entries = joints.flatMap((found) => {
    const { joint } = found;
    const own = stated.joints.find((entry) => entry.joint === joint);
    const entry = complete(own ?? { joint }, found, `${joint} `);
    return own || Object.keys(entry).length > 1 ? [entry] : [];
  });
  const others = stated.joints.filter((entry) => !joints.some(({ joint }) => joint === entry.joint));
  const safety = complete({ ...stated, joints: [...entries, ...others] }, rest);
  return { safety, derivedLimits };
}

/** No limit of `derived` tighter than the one that was derived for the parent, and none that the parent does without. */
function loosened(derived: Limits, { safety, derivedLimits = [] }: Manifest): Limits {
  const loosen = <T extends object>(found: T, before: object, prefix = ''): T =>
    Object.fromEntries(
      Object.entries(found).flatMap(([field, value]) => {
        const old = before[field as keyof typeof before] as unknown;
        if (old === undefined) return [];
        return [[field, derivedLimits.includes(prefix + field) ? looser(value, old) : value]];
      }),
    ) as T;
  const { joints, ...rest } = derived;
  return {
    ...loosen(rest, safety),
    joints: joints.map((found) =>
      loosen(found, safety.joints.find(({ joint }) => joint === found.joint) ?? {}, `${found.joint} `),
    ),
  };
}

/** The looser of two limits of one kind: of numbers the larger, of ranges the hull, of objects by field. */
function looser(one: unknown, other: unknown): unknown {
  if (typeof one === 'number' && typeof other === 'number') return Math.max(one, other);
  if (Array.isArray(one) && Array.isArray(other)) {
    return [Math.min(one[0], other[0]), Math.max(one[1], other[1])];
  }
  if (typeof one === 'object' && typeof other === 'object') {
    const fields = { ...other } as Record<string, unknown>;
    return Object.fromEntries(
      Object.entries(one as object).map(([field, value]) => [field, looser(value, fields[field])]),
    );
  }
  return one;
}

function jointLimits(task: Task, joint: string, { replay, evaluated }: Experience): JointLimits {
  const motion = new Motion(task, joint);
  for (const observations of trajectoriesOf(replay)) motion.add(observations);
  for (const { observations } of evaluated) motion.add(observations);
  const { low, high, fastest, still } = motion;
  const limits: JointLimits = { joint };
  if (motion.velocityKnown) {
    const speeds = [...commandLimits(task, 'velocity', joint), ...boundOf(task, 'jointVelocity', joint)];
    limits.velocity = Math.max(LEAST_SPEED, FASTER * fastest, ...speeds.map(Math.abs));
  }
  if (low > high) return limits;
  limits.position = positionRange(task, joint, motion);
  const stated = task.safety.joints.find((entry) => entry.joint === joint);
  const velocity = stated?.velocity ?? limits.velocity;
  // The two belong together: who states the one has thought of the other.
  if (velocity !== undefined && stated?.jumpMargin === undefined) {
    limits.jumpMargin = Math.max(1, (JUMP * fastest) / velocity);
    limits.jumpAllowance = JUMP_NOISE * (high - low);
  }
  const timeout = Math.max(LEAST_STUCK, LONGER * still);
  if (timeout <= MOST_STUCK) limits.stuckTimeout = timeout;
  return limits;
}

function positionRange(task: Task, joint: string, motion: Motion): [number, number] | undefined {
  const range = task.jointRanges.get(joint);
  if (boundOf(task, 'jointPosition', joint).length > 0 || (!range && motion.positionClipped))
    return undefined;
  let { low, high } = motion;
  if (range) {
    const margin = BEYOND_LIMITS * (range[1] - range[0]);
    low = range[0] - margin - OVERSHOOTS * Math.max(0, range[0] - low);
    high = range[1] + margin + OVERSHOOTS * Math.max(0, high - range[1]);
  } else {
    const margin = Math.max(LEAST_MARGIN, BEYOND_DATA * (high - low));
    low -= margin;
    high += margin;
  }
  const commanded = commandLimits(task, 'position', joint);
  return [Math.min(low, ...commanded), Math.max(high, ...commanded)];
}

/** The range of the commands of one kind to a joint; empty when there are none. */
function commandLimits(task: Task, kind: Task['action'][number]['kind'], joint: string): number[] {
  return task.action.flatMap((term) => (term.joint === joint && term.kind === kind ? term.limits : []));
}

/** The task's own bounds of what a term measures; empty when there are none. */
function boundOf({ safety }: Task, kind: ObservationTerm['kind'], joint: string): number[] {
  const name = termName({ kind, joint });
  return safety.bounds?.flatMap(({ term, range }) => (term === name ? range : [])) ?? [];
}

/** How a joint was seen to move, rad or m and seconds. */
class Motion {
  /** Infinite and the wrong way round when no position was seen. */
  low = Infinity;
  high = -Infinity;
  positionClipped = false;
  /** As measured, or on the way from one step of the policy to the next where that was faster or is all that is known. */
  fastest = 0;
  /** Longest time that the position stayed the same to the last bit. */
  still = 0;
  readonly #position: number;
  readonly #velocity: number;
  readonly #terms: Task['observation'];
  readonly #period: number;
  #velocityClipped = false;

  constructor({ observation, controlRate }: Task, joint: string) {
    const find = (kind: ObservationTerm['kind']) =>
      observation.findIndex((term) => term.kind === kind && term.joint === joint);
    this.#position = find('jointPosition');
    this.#velocity = find('jointVelocity');
    this.#terms = observation;
    this.#period = 1 / controlRate;
  }

  /** Whether `fastest` holds for the measured velocity: it is observed, and where it was cut off positions show it. */
  get velocityKnown(): boolean {
    return this.#velocity >= 0 && (!this.#velocityClipped || this.low <= this.high);
  }

  /** Adds observations that follow each other. */
  add(observations: readonly Float32Array[]): void {
    const { [this.#position]: position, [this.#velocity]: velocity } = this.#terms;
    let last = Number.NaN;
    let still = 0;
    for (const observation of observations) {
      if (velocity) {
        const value = observation[this.#velocity];
        if (isClipped(velocity, value)) this.#velocityClipped = true;
        this.#sawSpeed(measured(velocity, value));
      }
      if (!position) continue;
      const value = observation[this.#position];
      if (isClipped(position, value)) this.positionClipped = true;
      const place = measured(position, value);
      still = place === last ? still + this.#period : 0;
      this.still = Math.max(this.still, still);
      this.#sawSpeed((place - last) / this.#period);
      if (Number.isFinite(place)) {
        this.low = Math.min(this.low, place);
        this.high = Math.max(this.high, place);
      }
      last = place;
    }
  }

  #sawSpeed(speed: number): void {
    if (Math.abs(speed) > this.fastest && Number.isFinite(speed)) this.fastest = Math.abs(speed);
  }
}

/** What was measured, before a term's scale and offset, as far as its clip left it. */
function measured({ scale, offset }: ObservationTerm, value: number): number {
  return value / scale + offset;
}

/** A buffer's observations, in pieces that follow each other without a gap. */
function* trajectoriesOf(replay: Replay): Generator<Float32Array[]> {
  const { observationSize: n, actionSize: m } = replay;
  let observations: Float32Array[] = [];
  for (let i = 0; i < replay.size; i++) {
    const row = replay.row(i);
    if (observations.at(-1)?.some((value, d) => value !== row[d])) {
      yield observations;
      observations = [];
    }
    if (observations.length === 0) observations.push(row.subarray(0, n));
    observations.push(row.subarray(n + m + 1, 2 * n + m + 1));
  }
  yield observations;
}

function strangeness(task: Task, { replay, evaluated, statistics }: Experience): Safety['outOfDistribution'] {
  const { mean, sd } = statistics;
  const score = (observation: Float32Array) =>
    observation.reduce((most, value, d) => {
      const z = Math.abs(value - mean[d]) / Math.max(sd[d], LEAST_DEVIATION);
      return z > most ? z : most;
    }, 0);
  const usual = (trajectories: Iterable<readonly Float32Array[]>) => {
    const scores: number[] = [];
    for (const observations of trajectories) for (const one of observations) scores.push(score(one));
    return Float64Array.from(scores).sort()[Math.floor(SCORE_QUANTILE * (scores.length - 1))] ?? 0;
  };
  const trained = usual(trajectoriesOf(replay));
  const shown = usual(evaluated.map(({ observations }) => observations));
  return {
    limit: Math.max(LEAST_SCORE, STRANGER * Math.max(trained, shown)),
    steps: Math.max(2, Math.ceil(STRANGE_TIME * task.controlRate)),
  };
}

function limiting(task: Task, { evaluated }: Experience): Safety['limiting'] {
  const steps = Math.max(2, Math.ceil(LIMITED_TIME * task.controlRate));
  const share = Math.max(LIMITED_SHARE, (1 + mostLimited(task, evaluated, steps) / steps) / 2);
  return share < 1 ? { share, steps } : undefined;
}

/** Most of any `steps` steps in evaluation whose command some limit would still change at their end, in a loop that is fast. */
function mostLimited(task: Task, evaluated: readonly Episode[], steps: number): number {
  const ticks = Math.ceil(FASTEST_LOOP / task.controlRate);
  const limits = new CommandLimits(task, ticks * task.controlRate);
  const state = new Float64Array(2 * jointsOf(task).length);
  const wanted = new Float64Array(task.action.length);
  let most = 0;
  for (const { observations, actions } of evaluated) {
    let count = 0;
    const limited = actions.map((action, step) => {
      recall(task, observations[step], state);
      limits.measure(state, 0);
      if (step === 0) limits.restart();
      wanted.set(action);
      let changed = 0;
      for (let tick = 0; tick < ticks; tick++) changed = limits.limit(wanted) !== 0 ? 1 : 0;
      return changed;
    });
    for (const [step, changed] of limited.entries()) {
      count += changed - (limited[step - steps] ?? 0);
      most = Math.max(most, count);
    }
  }
  return most;
}

/** Positions and velocities `[joints]` that an observation tells of, into `out`; NaN for the rest. */
function recall(task: Task, observation: Float32Array, out: Float64Array): void {
  const joints = jointsOf(task);
  out.fill(Number.NaN);
  for (const [i, term] of task.observation.entries()) {
    const place = joints.indexOf(term.joint) + (term.kind === 'jointVelocity' ? joints.length : 0);
    out[place] = measured(term, observation[i]);
  }
}
