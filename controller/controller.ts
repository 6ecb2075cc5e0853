// Starts the loop in a thread of its own, and is the handle through which everything else sees and asks it.
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { FarsightError, UsageError } from '../contract/errors.js';
import { LatencyHistogram } from '../contract/histogram.js';
import {
  FAULTS,
  type Fault,
  isLatched,
  type LoopReport,
  type LoopView,
  loopWords,
  type Mode,
  perPhase,
  reportOf,
  rowLayout,
  statusOf,
  WORD,
} from '../contract/loop.js';
import type { Manifest } from '../contract/manifest.js';
import type { PolicyFile } from '../contract/policyFile.js';
import { PolicyList } from '../contract/policyList.js';
import { type RobotLinkBuffers, robotLink } from '../contract/robot.js';
import { TraceRing } from '../contract/sharedMemory.js';
import { checkStopTime } from '../contract/stopTime.js';
import { jointsOf } from '../contract/terms.js';
import { EmergencyStop } from './emergencyStop.js';
import type { Guard } from './guard.js';
import type { WhenInactive } from './loop.js';
import type { LoopWorkerAnswer, LoopWorkerData } from './loopWorker.js';
import { type SlotBuffers, slotBuffers } from './policySlots.js';
import type { RosLinkOptions } from './ros/link/openRosLink.js';
import type { Interpolation } from './shaping.js';

/** Seconds of ticks that the trace holds before it overwrites the oldest. */
const TRACE_SECONDS = 8;
/** Seconds in which an activation must succeed, and in which the sensors must be heard: peers may just be meeting. */
const ACTIVATION = 1;
const HEARD = 3;
/** Young generation of the loop's heap, MB: room for the little garbage of a tick, so that collections are hours apart. */
const YOUNG_GENERATION = 48;

export interface LoopOptions {
  policy: PolicyFile;
  /** Names the policy in errors. */
  name: string;
  /** Ticks a second: a whole multiple of the manifest's control rate. */
  rateHz: number;
  /**
   * What the command does between two steps of a slower policy: 'hold' (default) goes to each action at once, 'linear'
   * in equal parts until the next one comes. That is smoother and one step later than in training, and as no single
   * action belongs to a step then, recordings of it give no transitions.
   */
  interpolation?: Interpolation;
  /**
   * 'sensors': ticks come shortly after the sensors' messages (see `PhaseAlignment`); left out: on a grid of their own,
   * and a measurement waits up to a period.
   */
  alignTo?: 'sensors';
  /** Time in which the command goes over from holding to the policy and back, seconds; the manifest's when left out. */
  blendTime?: number;
  /**
   * Milliseconds after which a silent `LoopHandle.beat` is a fault; 0 (default): no beat is asked for. The policy does
   * not act before the first one.
   */
  heartbeatTimeout?: number;
  /** The processor that the loop's thread stays on, from 0; any when left out. */
  core?: number;
  /**
   * What listens for stops and keeps what latches: a loop begins with what was latched before it, and only `rearm` clears
   * it. Without one the handle's own `emergencyStop` is the only one, and the end of the loop forgets it.
   */
  guard?: Guard;
  /** Whether anything leaves while the policy is not in charge: 'hold' (default) or nothing. */
  whenInactive?: WhenInactive;
  /**
   * What another publisher of commands is: with 'fault' (default) no policy is activated beside one, and one that acts is
   * stopped; with 'refuse' the activation alone is refused; with 'ignore' it is only shown.
   */
  otherPublishers?: OtherPublishers;
  /** Measurements that come from two publishers now, one sentence each: they keep the policy from being activated too. */
  contested?: () => string[];
  /** Nothing leaves before `LoopHandle.begin`: for a loop that is made ready beside another. */
  standby?: boolean;
  /** The robot is on ROS 2: its topics are read and written by the loop's own thread. */
  ros?: RosLinkOptions;
}

export type OtherPublishers = 'fault' | 'refuse' | 'ignore';

/** A loop that runs. It begins in mode `inactive`, and holds as soon as the robot's side sends sensors. */
export interface LoopHandle {
  view: LoopView;
  manifest: Manifest;
  /** The shared cells, for whoever drives the robot. */
  robot: RobotLinkBuffers;
  /** The trace ring's shape, for a thread that makes its own view of it. */
  trace: { buffer: SharedArrayBuffer; rowLength: number; capacity: number };
  /** Where other policies are put beside the one that acts. */
  slots: SlotBuffers;
  /** What the system did not grant, one sentence each; empty on a machine that is set up. */
  notes: string[];
  /** Resolves with the final report when the loop has stopped; rejects when its thread failed. */
  ended: Promise<LoopReport>;
  /** Takes the robot over with its next tick; a loop that is not on standby has done so by itself. */
  begin(): Promise<void>;
  /** Writes nothing any more, not at its end either: another loop has the robot. */
  yield(): void;
  /**
   * Resolves when the policy acts. Throws a `FarsightError` that says why it does not, after a second at most; then it
   * does not do so later either.
   */
  activate(): Promise<void>;
  /** Back to hold. */
  deactivate(): void;
  /** Presses the emergency stop. */
  emergencyStop(): void;
  /** Latches a fault within one tick. */
  trip(fault: Fault): void;
  /** Says that whoever watches over the robot still lives; see `heartbeatTimeout`. */
  beat(): void;
  /**
   * Asks the loop to leave damping or fault for hold; a person must have looked at the robot. Throws a `FarsightError`
   * while a source still says stop.
   */
  rearm(): void;
  stop(): Promise<LoopReport>;
}

/**
 * How many ticks of the loop make one step of the policy. Throws a `UsageError` that names the nearest rates when
 * `rateHz` is not a whole multiple (within 1 %) of `controlRate`.
 */
export function ticksPerStep(rateHz: number, controlRate: number): number {
  const ratio = rateHz / controlRate;
  const whole = Math.round(ratio);
  if (whole >= 1 && Math.abs(ratio - whole) <= 0.01 * whole) return whole;
  const below = Math.floor(ratio);
  const fits = (below >= 1 ? [below, below + 1] : [1]).map((n) => `${Number((n * controlRate).toFixed(3))}`);
  throw new UsageError(
    `--rate ${rateHz}: not a whole multiple of the policy's control rate of ${controlRate} Hz; the nearest that fit: ${fits.join(' and ')}`,
  );
}

/**
 * Starts the loop and resolves when its policy is checked, its code rehearsed and its first tick about to come.
 * Throws a `UsageError` for a rate that does not fit and a `FarsightError` for a policy that cannot be served.
 */
export async function startLoop(options: LoopOptions): Promise<LoopHandle> {
  const { policy, name, rateHz, guard, otherPublishers = 'fault' } = options;
  const { manifest } = policy;
  const policyEvery = ticksPerStep(rateHz, manifest.controlRate);
  const link = robotLink(jointsOf(manifest).length, manifest.action.length);
  const robot = { sensors: link.sensors.buffer, commands: link.commands.buffer };
  const words = loopWords(manifest.action.length);
  const histograms = perPhase(() => new LatencyHistogram());
  const rowLength = rowLayout(manifest.observation.length, manifest.action.length).length;
  const ring = new TraceRing(rowLength, Math.max(1024, Math.ceil(TRACE_SECONDS * rateHz)));
  const trace = { buffer: ring.buffer, rowLength, capacity: ring.capacity };

  checkStopTime(manifest, rateHz);
  const stop = guard?.stop ?? new EmergencyStop();
  const latched = (await guard?.latched()) ?? 'none';
  if (options.standby) words[WORD.standby] = 1;
  const policies = new PolicyList();
  policies.add(policy.sha256);
  const slots = slotBuffers(manifest.observation.length, manifest.action.length, policies);
  const workerData: LoopWorkerData = {
    name,
    model: policy.bytes,
    manifest,
    rateHz,
    policyEvery,
    alignTo: options.alignTo,
    interpolation: options.interpolation ?? 'hold',
    blendTime: options.blendTime,
    heartbeatTimeout: options.heartbeatTimeout ?? 0,
    core: options.core,
    initialFault: FAULTS.indexOf(latched),
    stop: stop.words,
    guarded: guard !== undefined,
    whenInactive: options.whenInactive ?? 'hold',
    exclusive: otherPublishers === 'fault',
    link: robot,
    ros: options.ros,
    words,
    histograms: perPhase((phase) => histograms[phase].buffer),
    trace,
    slots,
  };
  // A young generation starts small and collects often until it has grown: let the loop's start at its full size.
  setFlagsFromString(`--min-semi-space-size=${YOUNG_GENERATION / 3}`);
  const worker = new Worker(new URL('./loopWorker.js', import.meta.url), {
    workerData,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION },
  });
  const joints = manifest.action.map(({ joint }) => joint);
  const view: LoopView = { rateHz, joints, words, histograms, trace: ring, policies };
  let followed: number | undefined;
  const ended = new Promise<LoopReport>((resolve, reject) => {
    worker.once('error', (error) => reject(new FarsightError(`the loop's thread failed: ${error.message}`)));
    worker.once('exit', () => resolve(reportOf(view)));
  }).finally(() => followed !== undefined && guard?.leave(followed));
  // A failure is told to whoever awaits `ended` or `stop`.
  ended.catch(() => {});
  const answer = await Promise.race([
    new Promise<LoopWorkerAnswer>((resolve) => worker.once('message', resolve)),
    ended.then((): LoopWorkerAnswer => ({ refused: "the loop's thread ended before its first tick" })),
  ]);
  setFlagsFromString('--min-semi-space-size=0');
  if ('refused' in answer) throw new FarsightError(answer.refused);
  const set = (word: number, value: number) => void Atomics.store(words, word, value);
  const begin = async () => {
    set(WORD.standby, 0);
    const { commandTopics } = answer;
    followed = await guard?.follow({ words, policies: policies.buffer, commandTopics });
  };
  if (!options.standby) await begin();
  return {
    view,
    manifest,
    robot,
    trace,
    slots,
    notes: answer.notes,
    ended,
    begin,
    yield: () => set(WORD.standby, 1),
    async activate() {
      try {
        // A guard that is busy with its disk cannot hear.
        await guard?.latched();
        const rivals = () =>
          otherPublishers === 'ignore' ? [] : rivalsOf(stop, options.contested?.() ?? []);
        await untilItActs(view, stop, rivals, () => set(WORD.activate, 1));
      } catch (error) {
        set(WORD.activate, 0);
        throw error;
      }
    },
    deactivate: () => set(WORD.activate, 0),
    emergencyStop: () => stop.press(),
    trip: (fault) => set(WORD.trip, FAULTS.indexOf(fault)),
    beat: () => void Atomics.add(words, WORD.heartbeat, 1),
    rearm() {
      if (!stop.release()) throw new FarsightError(STILL_PRESSED);
      Atomics.add(words, WORD.rearm, 1);
    },
    stop() {
      set(WORD.stop, 1);
      return ended;
    },
  };
}

/** Why a stop cannot be rearmed. */
export const STILL_PRESSED = 'the emergency stop is still pressed: release it first';

/** Asks until the policy acts; throws a `FarsightError` that says why it does not, after HEARD at most. */
async function untilItActs(
  view: LoopView,
  stop: EmergencyStop,
  rivals: () => string[],
  ask: () => void,
): Promise<void> {
  const began = performance.now();
  for (let heard = began; ; await sleep(2)) {
    const { mode, fault } = statusOf(view);
    if (mode === 'policy') return;
    if (isLatched(mode)) throw new FarsightError(`${mode}: ${fault}; look at the robot, then rearm`);
    const now = performance.now();
    if (mode === 'inactive') heard = now;
    const refusal = unready(mode, stop) ?? rivals()[0];
    if (now > (mode === 'inactive' ? began + 1000 * HEARD : heard + 1000 * ACTIVATION))
      throw new FarsightError(refusal ?? 'the loop does not take up the policy');
    if (!refusal) ask();
  }
}

/** Why the policy may not act although nothing is latched; undefined when it may. */
function unready(mode: Mode, stop: EmergencyStop): string | undefined {
  if (!stop.heard) {
    return stop.publishers > 0
      ? 'the emergency stop topic is silent: its publisher must send more often than its timeout'
      : "nobody publishes the robot map's emergency stop topic: start its publisher, or mend its name, type or QoS (ros2 topic info -v)";
  }
  if (mode === 'inactive') return 'no sensors: every sensor topic of the robot map must be heard first';
  return undefined;
}

/** Who else takes the robot for its own, one sentence each. */
function rivalsOf({ commandPublishers }: EmergencyStop, contested: readonly string[]): string[] {
  const commands = 'another node publishes on the command topic (see: ros2 topic info -v): stop it first';
  return [...(commandPublishers > 1 ? [commands] : []), ...contested];
}
