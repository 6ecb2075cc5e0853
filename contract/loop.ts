// What the real-time loop shows to the outside: its modes, faults and phases, the trace row of a tick, operator words.
import type { LatencyHistogram, Percentiles } from './histogram.js';
import type { PolicyList } from './policyList.js';
import type { TraceRing } from './sharedMemory.js';

/** The mode machine's states. `damping` and `fault` latch until a person rearms. */
export const MODES = ['unconfigured', 'inactive', 'hold', 'policy', 'damping', 'fault'] as const;
export type Mode = (typeof MODES)[number];

/** Why the loop left `policy`; index 0 is no fault. Recordings hold the index: new ones come last. */
export const FAULTS = [
  'none',
  'observation not finite',
  'policy output not finite',
  'sensor stale',
  'sensor stamp went backward',
  'position limit',
  'velocity limit',
  'missed ticks',
  'emergency stop',
  'inference failed',
  'heartbeat lost',
  'management lost',
  'sensor jump',
  'sensor stuck',
  'workspace limit',
  'out of distribution',
  'limited too long',
  'unknown',
  'second publisher',
  'commands not sent',
] as const;
export type Fault = (typeof FAULTS)[number];

/**
 * Kinds of change that the safety envelope made to a command; bit i of a trace row's `interventions`, new ones last.
 * A speed that is limited near a joint's limit counts as a rate.
 */
export const INTERVENTIONS = [
  'effort or range limit',
  'rate limit',
  'policy replaced by safe command',
  'acceleration limit',
] as const;
export type Intervention = (typeof INTERVENTIONS)[number];

/** Parts of a tick. `wake` and `total` are measured from the scheduled deadline, the others are their own lengths. */
export const PHASES = ['wake', 'observe', 'infer', 'limit', 'write', 'total'] as const;
export type Phase = (typeof PHASES)[number];
export type PhaseHistograms = Record<Phase, LatencyHistogram>;

/** One value for each of PHASES. */
export function perPhase<V>(value: (phase: Phase) => V): Record<Phase, V> {
  return Object.fromEntries(PHASES.map((phase) => [phase, value(phase)])) as Record<Phase, V>;
}

/** Bits of a trace row's `flags`. */
export const FLAG = {
  /** π₀ ran in this tick: the row's observation and action are a step of the policy. */
  policyStep: 1,
  /** Ticks were missed just before this one: no transition may span it. */
  gap: 2,
  /** The envelope changed the policy's action. */
  intervention: 4,
  /** The mode is damping or fault. */
  fault: 8,
  /** The task's termination holds for the observation (simulated robots report it). */
  terminal: 16,
  /** The robot was put back to a start state before this tick: no transition may span it. */
  reset: 32,
} as const;

/**
 * Index of each scalar in a trace row. `tick` is the number of the period, so missed periods leave holes; `scheduled`
 * (its deadline) and `sensorStamp` are seconds of CLOCK_MONOTONIC; the phases, `wake` to `total`, are ns;
 * `largestScore` and `meanScore` are of |z| over the observation's terms, against its statistics in training; `policy` is
 * the number in the loop's `PolicyList` of the policy that acts, or that the loop goes over to, and while none acts that of
 * the last one. It is in the trace alone: each file of a recording is of one policy, by its SHA-256.
 */
export const ROW = {
  tick: 0,
  scheduled: 1,
  sensorStamp: 2,
  wake: 3,
  observe: 4,
  infer: 5,
  limit: 6,
  write: 7,
  total: 8,
  mode: 9,
  fault: 10,
  flags: 11,
  interventions: 12,
  missed: 13,
  largestScore: 14,
  meanScore: 15,
  policy: 16,
  vectors: 17,
} as const;

/** Where the vectors of a trace row start: observation `[n]`, the policy's action `[m]`, the command as sent `[m]`. */
export function rowLayout(observationSize: number, actionSize: number) {
  const observation = ROW.vectors;
  const action = observation + observationSize;
  const command = action + actionSize;
  return { observation, action, command, length: command + actionSize };
}

/** Words through which other threads ask the loop for something, and the loop answers; Int32, with Atomics. */
export const WORD = {
  /** Set to 1 to end the loop after the current tick. */
  stop: 0,
  /** Add 1 to rearm after a fault: the loop goes to hold, and waits for a new activation. */
  rearm: 1,
  /** 1: the policy may act; 0: hold. The loop sets it back to 0 whenever it does not do so at once. */
  activate: 2,
  /** Written by the loop: index in MODES, in FAULTS. */
  mode: 3,
  fault: 4,
  /** Written by the loop: 1 when its thread has SCHED_FIFO. */
  fifo: 5,
  /** Set to an index in FAULTS to latch that fault; the loop does so within one tick, and sets it back to 0. */
  trip: 6,
  /** To be changed, as by adding 1, more often than the loop's heartbeat timeout. */
  heartbeat: 7,
  /** Written by the loop: thousandths of the row's `largestScore`. */
  score: 8,
  /** 1: the loop is warm and ticks, and no command leaves. */
  standby: 9,
  /** Written by the loop: the row's `policy`. */
  policy: 10,
  length: 16,
} as const;

/** What the loop counts, doubles that it alone writes: they hold for centuries, 32 bits for 25 days at 1 kHz. */
export const COUNT = {
  ticks: 0,
  missed: 1,
  longestMiss: 2,
  garbageCollections: 3,
  /** One for each of INTERVENTIONS; after them, the same for each action's joint. */
  interventions: 4,
} as const;

/** The words of a loop with so many actions, all 0; its counts lie behind them. */
export function loopWords(actions: number): Int32Array {
  const counts = COUNT.interventions + INTERVENTIONS.length * (1 + actions);
  return new Int32Array(new SharedArrayBuffer(4 * WORD.length + 8 * counts), 0, WORD.length);
}

/** The counts behind a loop's words. */
export function countsOf(words: Int32Array): Float64Array {
  return new Float64Array(words.buffer, 4 * WORD.length);
}

/** Everything that other threads see of a running loop. */
export interface LoopView {
  rateHz: number;
  /** The joint of each action. */
  joints: readonly string[];
  words: Int32Array;
  histograms: PhaseHistograms;
  trace: TraceRing;
  /** All that it was given. */
  policies: PolicyList;
}

/** What a loop is doing, and its counts since the start. */
export interface LoopStatus {
  rateHz: number;
  ticks: number;
  missed: number;
  longestMiss: number;
  scheduling: 'fifo' | 'other';
  interventions: Record<Intervention, number>;
  /** Those that were for one joint's sake, by the joint; one that none was for is left out. */
  interventionsByJoint: Record<string, Partial<Record<Intervention, number>>>;
  mode: Mode;
  fault: Fault;
  /** Largest |z| of the newest observation against those of training. */
  score: number;
  gc: number;
}

/** What `farsight control --json` prints. */
export interface LoopReport extends LoopStatus {
  /** Since the start. */
  phases: Record<Phase, Percentiles>;
}

/** Out of the policy's reach until a person rearms it. */
export function isLatched(mode: Mode): boolean {
  return mode === 'damping' || mode === 'fault';
}

/** SHA-256 of the policy that acts, or that the loop goes over to; while none acts, of the last one. */
export function actingPolicy({ words, policies }: Pick<LoopView, 'words' | 'policies'>): string {
  return policies.sha256(Atomics.load(words, WORD.policy));
}

/** Cheap: to be asked at any time. */
export function statusOf({
  rateHz,
  joints,
  words,
}: Pick<LoopView, 'rateHz' | 'joints' | 'words'>): LoopStatus {
  const word = (index: number) => Atomics.load(words, index);
  const counts = countsOf(words);
  const counted = (place: number) =>
    INTERVENTIONS.map(
      (name, i) => [name, counts[COUNT.interventions + INTERVENTIONS.length * place + i]] as const,
    );
  const byJoint = joints
    .map((joint, i) => [joint, counted(1 + i).filter(([, count]) => count > 0)] as const)
    .filter(([, counts]) => counts.length > 0);
  return {
    rateHz,
    ticks: counts[COUNT.ticks],
    missed: counts[COUNT.missed],
    longestMiss: counts[COUNT.longestMiss],
    scheduling: word(WORD.fifo) === 1 ? 'fifo' : 'other',
    interventions: Object.fromEntries(counted(0)) as LoopReport['interventions'],
    interventionsByJoint: Object.fromEntries(
      byJoint.map(([joint, counts]) => [joint, Object.fromEntries(counts)]),
    ),
    mode: MODES[word(WORD.mode)],
    fault: FAULTS[word(WORD.fault)],
    score: word(WORD.score) / 1000,
    gc: counts[COUNT.garbageCollections],
  };
}

/** The status, and what the loop's time went to. */
export function reportOf(view: Omit<LoopView, 'trace' | 'policies'>): LoopReport {
  return { ...statusOf(view), phases: perPhase((phase) => view.histograms[phase].percentiles()) };
}
