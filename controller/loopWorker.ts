// The thread that the loop owns: loads the policy, becomes real-time, rehearses, and then does nothing but tick.
import { parentPort, workerData } from 'node:worker_threads';
import { CommandLimits } from '../contract/commandLimits.js';
import { messageOf } from '../contract/errors.js';
import { LatencyHistogram } from '../contract/histogram.js';
import { loopWords, type PhaseHistograms, perPhase, rowLayout, WORD } from '../contract/loop.js';
import type { Manifest } from '../contract/manifest.js';
import { type RobotLinkBuffers, robotLink, SENSOR } from '../contract/robot.js';
import { TraceRing } from '../contract/sharedMemory.js';
import { jointsOf, type Safety } from '../contract/terms.js';
import { EmergencyStop } from './emergencyStop.js';
import { collectGarbage, finishCompilation } from './garbage.js';
import { Loop, type LoopParts, type WhenInactive } from './loop.js';
import { Policy } from './policy.js';
import { PolicySlots, SLOT, type SlotBuffers, slotRequest } from './policySlots.js';
import { LOOP_PRIORITY, takeRealtimeThread } from './realtime.js';
import type { OpenRosLink, RosLinkOptions } from './ros/link/openRosLink.js';
import type { Interpolation } from './shaping.js';

/** What the thread is given. */
export interface LoopWorkerData {
  name: string;
  model: Uint8Array;
  manifest: Manifest;
  rateHz: number;
  policyEvery: number;
  alignTo?: 'sensors';
  interpolation: Interpolation;
  /** The manifest's when left out. */
  blendTime?: number;
  heartbeatTimeout: number;
  core?: number;
  /** Index in FAULTS. */
  initialFault: number;
  /** Of the process's `EmergencyStop`. */
  stop: Int32Array;
  guarded: boolean;
  whenInactive: WhenInactive;
  exclusive: boolean;
  link: RobotLinkBuffers;
  /** The robot is on ROS 2, and `link` is not used. */
  ros?: RosLinkOptions;
  words: Int32Array;
  histograms: Record<keyof PhaseHistograms, SharedArrayBuffer>;
  trace: { buffer: SharedArrayBuffer; rowLength: number; capacity: number };
  slots: SlotBuffers;
}
/**
 * What it answers once, before its first tick: what the loop lacks, and the names of the topics on which it publishes
 * commands; or why it does not start.
 */
export type LoopWorkerAnswer = { notes: string[]; commandTopics: string[] } | { refused: string };

const REHEARSALS = 12;
const REHEARSAL_TICKS = 400;
const REHEARSAL_RATE = 20_000;
/** What must stay while the thread lives, though nothing reads it. */
const kept: Loop[] = [];

/** Limits that take the same code as `safety`, and hold whatever the robot does; those of commands stay. */
function toothless({ joints, bounds, outOfDistribution, limiting }: Safety): Safety {
  const NEVER = 1e9;
  const ANYWHERE: [number, number] = [-NEVER, NEVER];
  return {
    joints: joints.map((entry) => ({
      ...entry,
      ...(entry.position && { position: ANYWHERE }),
      ...(entry.velocity !== undefined && { velocity: NEVER }),
      ...(entry.stuckTimeout !== undefined && { stuckTimeout: NEVER }),
    })),
    bounds: bounds?.map(({ term }) => ({ term, range: ANYWHERE })),
    outOfDistribution: outOfDistribution && { limit: NEVER ** 4, steps: outOfDistribution.steps },
    limiting: limiting && { share: 1, steps: limiting.steps },
    sensorTimeout: NEVER,
    missed: { longest: NEVER, share: 1, window: 1 },
  };
}

/** Has every limit of commands bind, from both sides. */
function rehearseLimits(manifest: Manifest): void {
  const limits = new CommandLimits(manifest, REHEARSAL_RATE);
  const wanted = new Float64Array(manifest.action.length);
  const state = new Float64Array(2 * jointsOf(manifest).length);
  for (let i = 0; i < REHEARSAL_TICKS; i++) {
    limits.measure(state.fill(((i >> 2) % 3) - 1), 0);
    limits.limit(wanted.fill(1e3 * (((i >> 4) % 3) - 1)));
    if (i % 50 === 0) limits.restart();
  }
}

/** Shared cells, and how to have the robot measure `value` everywhere. */
function cellsOf(manifest: Manifest) {
  const link = robotLink(jointsOf(manifest).length, manifest.action.length);
  let messages = 0;
  const sense = (value: number) => {
    const sensors = link.sensors.writable.fill(value, SENSOR.vectors);
    sensors[SENSOR.stamp] = ++messages;
    link.sensors.publish();
  };
  return { link, sense };
}

/**
 * Lives a loop's life on memory of its own at a high rate: no sensors yet, hold, policy, another policy, emergency stop,
 * rearm, a policy that fails, hold. Twelve of them leave the code compiled for good: what the compiler concludes from one
 * loop alone falls with the next.
 * Keep what it returns: compiled code is thrown away with the objects that it was compiled for.
 */
function rehearse(parts: LoopParts, slots: SlotBuffers, ros?: OpenRosLink): Loop {
  const manifest = { ...parts.manifest, safety: toothless(parts.manifest.safety) };
  const { observation, action } = manifest;
  const words = loopWords(action.length);
  const stop = new EmergencyStop();
  const { link, sense } = ros?.rehearse(manifest, REHEARSAL_RATE, words) ?? cellsOf(manifest);
  slots.addresses.copyWithin(2, 0, 2);
  slots.words[SLOT.numbers + 1] = 1;
  slots.actions[1].fill(0);
  const loop = new Loop({
    ...parts,
    initialFault: 0,
    stop,
    guarded: false,
    blendTime: 10 / REHEARSAL_RATE,
    manifest,
    rateHz: REHEARSAL_RATE,
    link,
    words,
    histograms: perPhase(() => new LatencyHistogram()),
    trace: new TraceRing(rowLayout(observation.length, action.length).length, 64),
  });
  loop.start();
  for (let i = 0; i < REHEARSAL_TICKS; i++) {
    if (i > 20 && i % 7 !== 0) sense((i >> 2) % 3);
    if (i === 200) stop.press();
    if (i === 210 && stop.release()) words[WORD.rearm]++;
    if (i > 40 && !loop.modes.latched) words[WORD.activate] = 1;
    if (i > 300 && i < 320) words[WORD.activate] = 0;
    if (i === 80) slots.words[SLOT.request] = slotRequest({ slot: 1, blend: 4, fallback: 0 });
    if (i === 330) slots.actions[1].fill(Number.NaN);
    words[WORD.heartbeat]++;
    loop.tick();
  }
  return loop;
}

async function main(port: NonNullable<typeof parentPort>): Promise<void> {
  const data = workerData as LoopWorkerData;
  const { manifest, words } = data;
  const answer = (message: LoopWorkerAnswer) => port.postMessage(message);
  let loop: Loop;
  let policy: Policy;
  let ros: OpenRosLink | undefined;
  try {
    policy = new Policy(data.name, data.model, manifest);
    const slots = new PolicySlots(policy, data.slots);
    const views = [
      data.link.sensors,
      data.link.commands,
      data.trace.buffer,
      ...Object.values(data.histograms),
      data.slots.words.buffer,
      data.slots.addresses.buffer,
      ...[...data.slots.observations, ...data.slots.actions].map(({ buffer }) => buffer),
    ];
    if (data.ros) {
      const { openRosLink } = await import('./ros/link/openRosLink.js');
      ros = openRosLink(data.ros, manifest, data.rateHz, words, true);
    }
    const buffers = views.map((buffer) => new Uint8Array(buffer));
    const thread = takeRealtimeThread(
      [words, data.stop, policy.observation, policy.action, slots.action, ...buffers],
      // Another loop may hold the robot meanwhile.
      LOOP_PRIORITY - 2,
      data.core,
    );
    const parts: LoopParts = {
      manifest,
      rateHz: data.rateHz,
      policyEvery: data.policyEvery,
      alignTo: data.alignTo,
      interpolation: data.interpolation,
      blendTime: data.blendTime,
      heartbeatTimeout: data.heartbeatTimeout,
      initialFault: data.initialFault,
      stop: new EmergencyStop(data.stop),
      guarded: data.guarded,
      whenInactive: data.whenInactive,
      exclusive: data.exclusive,
      policy: slots,
      clock: thread.clock,
      link: ros?.link ?? robotLink(jointsOf(manifest).length, manifest.action.length, data.link),
      words,
      histograms: perPhase((phase) => new LatencyHistogram(data.histograms[phase])),
      trace: new TraceRing(data.trace.rowLength, data.trace.capacity, data.trace.buffer),
    };
    for (let i = 0; i < REHEARSALS; i++) {
      rehearseLimits(manifest);
      kept.push(rehearse(parts, data.slots, ros));
      slots.reset();
      finishCompilation();
    }
    ros?.endRehearsals();
    collectGarbage();
    finishCompilation();
    thread.prioritize(LOOP_PRIORITY);
    Atomics.store(words, WORD.fifo, thread.fifo ? 1 : 0);
    loop = new Loop(parts);
    answer({ notes: [...thread.notes, ...(ros?.notes ?? [])], commandTopics: ros?.commandTopics ?? [] });
  } catch (error) {
    ros?.release();
    answer({ refused: messageOf(error) });
    return;
  }
  try {
    loop.run();
  } finally {
    ros?.release();
    policy.release();
  }
}

if (parentPort) void main(parentPort);
