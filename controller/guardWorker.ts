// The guard's thread: waits for stops from a topic, a service and the terminal, and writes down what latches.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { messageOf } from '../contract/errors.js';
import { FAULTS } from '../contract/loop.js';
import { EmergencyStop } from './emergencyStop.js';
import { FaultLatch, type FoundFault } from './latch.js';
import { LOOP_PRIORITY, takeRealtimeThread } from './realtime.js';
import type { RosEar } from './ros/link/rosEar.js';
import type { StopTopicOptions } from './ros/link/stopTopic.js';
import type { RosNodeOptions } from './ros/rcl/rcl.js';
import { TerminalKeys } from './terminalKeys.js';

export interface GuardWorkerData {
  /** Of the `EmergencyStop`. */
  words: Int32Array;
  robot: string;
  ros?: RosNodeOptions;
  /** Listen to the terminal on standard input. */
  keys: boolean;
}

/** A loop as the guard looks after it. */
export interface GuardedLoop {
  words: Int32Array;
  /** Of its `PolicyList`. */
  policies: SharedArrayBuffer;
  /** Topics on which it publishes commands, as its node resolves them. */
  commandTopics?: readonly string[];
}

export type ToGuard =
  | { kind: 'keep'; id: number; directory: string }
  | { kind: 'listen'; id: number; topic: StopTopicOptions | undefined }
  | { kind: 'latched' | 'leave' | 'forget'; id: number }
  | { kind: 'follow'; id: number; loop: GuardedLoop }
  | { kind: 'end' };
export type FromGuard =
  | { kind: 'listening' }
  | { kind: 'unable'; reason: string }
  | { kind: 'pressed'; by: string }
  | { kind: 'keys'; pressed: string }
  /** `fault` is an index in FAULTS. */
  | { kind: 'answer'; id: number; fault: number; problem?: string; found?: FoundFault };

/** Longest time between two looks, ms: at keys, at what latches, and for a sign of life. */
const LOOK_MS = 10;

async function main(port: NonNullable<typeof parentPort>): Promise<void> {
  const { words, robot, ros, keys } = workerData as GuardWorkerData;
  const tell = (message: FromGuard) => port.postMessage(message);
  const stop = new EmergencyStop(words);
  let latch = new FaultLatch(undefined, stop, robot);
  let ear: RosEar | undefined;
  try {
    if (ros) {
      const { RosEar } = await import('./ros/link/rosEar.js');
      ear = new RosEar(ros, stop, (by) => tell({ kind: 'pressed', by }));
    }
    // Below the loop, above all else. Without the right to it the loop's own thread has said so already.
    takeRealtimeThread([words], LOOP_PRIORITY - 1);
  } catch (error) {
    ear?.release();
    tell({ kind: 'unable', reason: messageOf(error) });
    return;
  }
  const terminal = keys ? new TerminalKeys() : undefined;
  const never = new Int32Array(new SharedArrayBuffer(4));
  tell({ kind: 'listening' });
  stop.beat();
  let troubled = false;
  const hear = (milliseconds: number) => {
    try {
      if (ear) ear.listen(milliseconds);
      else Atomics.wait(never, 0, 0, milliseconds);
    } catch (error) {
      // Who cannot hear must not let anybody act.
      stop.press();
      if (!troubled) tell({ kind: 'pressed', by: `the guard cannot listen: ${messageOf(error)}` });
      troubled = true;
      Atomics.wait(never, 0, 0, milliseconds);
    }
  };
  for (;;) {
    hear(LOOK_MS);
    const pressed = terminal?.read() ?? '';
    if (pressed.includes(' ')) {
      stop.press();
      tell({ kind: 'pressed', by: 'key' });
    }
    if (pressed.replaceAll(' ', '') !== '') tell({ kind: 'keys', pressed: pressed.replaceAll(' ', '') });
    latch.look();
    stop.beat();
    for (let received = receiveMessageOnPort(port); received; received = receiveMessageOnPort(port)) {
      const message = received.message as ToGuard;
      if (message.kind === 'end') {
        latch.look();
        ear?.release();
        port.close();
        return;
      }
      let problem: string | undefined;
      try {
        if (message.kind === 'keep') latch = new FaultLatch(message.directory, stop, robot);
        else obey(message, latch, ear);
      } catch (error) {
        problem = messageOf(error);
      }
      const { fault, found } = latch;
      // The disk may have taken its time: what came meanwhile is heard before anybody goes on.
      hear(1);
      tell({ kind: 'answer', id: message.id, fault: FAULTS.indexOf(fault), problem, found });
    }
  }
}

function obey(message: Exclude<ToGuard, { kind: 'end' | 'keep' }>, latch: FaultLatch, ear?: RosEar): void {
  if (message.kind === 'listen') ear?.open(message.topic);
  else if (message.kind === 'follow') {
    latch.follow(message.loop);
    ear?.watch(message.loop.commandTopics ?? []);
  } else if (message.kind === 'leave') {
    latch.leave();
    ear?.watch([]);
  } else if (message.kind === 'forget') latch.forget();
}

if (parentPort) void main(parentPort);
