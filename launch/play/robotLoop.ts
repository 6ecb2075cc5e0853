// The robot's own loop at simulated time: the code that runs on the robot's computer, a tick at a physics step.
import { LatencyHistogram } from '../../contract/histogram.js';
import {
  FAULTS,
  type Fault,
  loopWords,
  MODES,
  type Mode,
  perPhase,
  rowLayout,
  WORD,
} from '../../contract/loop.js';
import type { Manifest } from '../../contract/manifest.js';
import { COMMAND, robotLink } from '../../contract/robot.js';
import { TraceRing } from '../../contract/sharedMemory.js';
import { jointsOf } from '../../contract/terms.js';
import { EmergencyStop } from '../../controller/emergencyStop.js';
import { Loop } from '../../controller/loop.js';
import type { RobotBody, RobotCommand } from '../robot/body.js';

export interface RobotLoopOptions {
  manifest: Manifest;
  body: RobotBody;
  /** Ticks that make a step of the policy. */
  policyEvery: number;
  policy: { observation: Float32Array; action: Float32Array; run(): void };
  /** When it begins, s. */
  now: number;
  /** Where its rows go; nowhere when left out. */
  trace?: TraceRing;
}

export class RobotLoop {
  readonly #body: RobotBody;
  readonly #loop: Loop;
  readonly #link;
  readonly #words: Int32Array;
  readonly #stop = new EmergencyStop();
  readonly #command: RobotCommand;
  /** Simulated, ns. */
  #now: number;

  constructor(options: RobotLoopOptions) {
    const { manifest, body, policyEvery, policy, now } = options;
    const { length } = rowLayout(manifest.observation.length, manifest.action.length);
    const { trace = new TraceRing(length, 16) } = options;
    this.#body = body;
    this.#now = 1e9 * now;
    this.#words = loopWords(manifest.action.length);
    this.#link = robotLink(jointsOf(manifest).length, manifest.action.length);
    this.#loop = new Loop({
      manifest,
      rateHz: 1 / body.timestep,
      policyEvery,
      policy,
      clock: {
        stamp: (times, index) => {
          times[index] = this.#now;
        },
        sleepUntil: (times, index) => {
          this.#now = Math.max(this.#now, times[index]);
        },
      },
      link: this.#link,
      words: this.#words,
      stop: this.#stop,
      histograms: perPhase(() => new LatencyHistogram()),
      trace,
    });
    this.#loop.start();
    this.#command = {
      stamp: -Infinity,
      values: new Float64Array(manifest.action.length),
      releases: false,
      damp: false,
    };
  }

  get mode(): Mode {
    return MODES[this.#words[WORD.mode]];
  }

  get fault(): Fault {
    return FAULTS[this.#words[WORD.fault]];
  }

  /** A person rearms after a fault; the policy acts again. */
  rearm(): void {
    if (this.#stop.release()) Atomics.add(this.#words, WORD.rearm, 1);
  }

  /** One tick at `now` (s): what the robot's side hears of it, valid until the next one. */
  tick(now: number): RobotCommand {
    this.#now = 1e9 * now;
    if (this.#body.sense(now, this.#link.sensors.writable)) this.#link.sensors.publish();
    if (this.mode === 'hold') Atomics.store(this.#words, WORD.activate, 1);
    this.#loop.tick();
    const newest = this.#link.commands.read();
    const command = this.#command;
    const mode = MODES[newest[COMMAND.mode]];
    // The loop's deadlines and the physics' times differ by rounding: what it said, it said at this step.
    command.stamp = newest[COMMAND.stamp] === 0 ? -Infinity : now;
    command.values.set(newest.subarray(COMMAND.vectors, COMMAND.vectors + command.values.length));
    command.releases = mode === 'policy';
    command.damp = mode === 'damping' || mode === 'fault';
    return command;
  }
}
