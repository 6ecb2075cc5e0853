// The real-time loop: one tick from an absolute deadline to a stamped command, and what it leaves in shared memory.
import { FLAG, type PhaseHistograms, ROW, rowLayout, WORD } from '../contract/loop.js';
import type { Manifest } from '../contract/manifest.js';
import { COMMAND, type RobotLink, SENSOR } from '../contract/robot.js';
import type { TraceRing } from '../contract/sharedMemory.js';
import { jointsOf, observe } from '../contract/terms.js';
import { Envelope, RANGE_LIMITED, RATE_LIMITED, sensorIndices } from './envelope.js';
import { GarbageCounter } from './garbage.js';
import { FAULT, MODE, ModeMachine } from './modes.js';
import type { Clock } from './realtime.js';

/** What the loop runs on; everything shared is in shared memory. */
export interface LoopParts {
  manifest: Manifest;
  rateHz: number;
  /** π₀ runs on every such tick, and its action is held between. */
  policyEvery: number;
  /** π₀: `run` computes `action` from `observation`. */
  policy: { observation: Float32Array; action: Float32Array; run(): void };
  clock: Clock;
  link: RobotLink;
  words: Int32Array;
  histograms: PhaseHistograms;
  trace: TraceRing;
}

/** Third bit of a tick's interventions, after the envelope's two. */
const REPLACED = 4;

/** Places in the array of times (ns). DEADLINE is the one slept for, SCHEDULED the last that had passed on waking. */
const DEADLINE = 0;
const SCHEDULED = 1;
const WAKE = 2;
const OBSERVE = 3;
const INFER = 4;
const LIMIT = 5;
const WRITE = 6;
/** Stamp of the measurement that the tick used, in seconds. */
const SENSOR_STAMP = 7;

/** Ticks between two looks at the heap. */
const HEAP_EVERY = 128;

/**
 * The loop's state. Doubles that change from tick to tick live in typed arrays, so that no tick allocates.
 *
 * Deadlines are a fixed grid of periods. A period whose deadline has passed when the tick before ends, or that passes
 * asleep, is skipped and counted as missed, never made up. Lateness is measured from the first deadline missed.
 */
export class Loop {
  readonly modes = new ModeMachine();
  readonly #parts: Omit<LoopParts, 'manifest' | 'rateHz'>;
  readonly #terms: LoopParts['manifest']['observation'];
  readonly #period: number;
  readonly #times = new Float64Array(8);
  readonly #envelope: Envelope;
  readonly #sensorIndices: Int32Array;
  readonly #row: ReturnType<typeof rowLayout>;
  readonly #missedLimit: number;
  readonly #action: Float64Array;
  readonly #held: Float64Array;
  readonly #garbage = new GarbageCounter();
  /** Number of the present period since the start: ticks run and missed. */
  #index = 0;
  #skipped = 0;
  #ticks = 0;
  #stepsToPolicy = 0;
  #rearmsSeen: number;
  #sensorsHeard = false;
  #resetsSeen = 0;

  /** Throws a `FarsightError` when the manifest's limits contradict each other. */
  constructor(parts: LoopParts) {
    const { manifest, rateHz, policyEvery, policy, clock, link, words, histograms, trace } = parts;
    // An object of this place's own making: all loops then share what the compiler assumed about the first.
    this.#parts = { policyEvery, policy, clock, link, words, histograms, trace };
    this.#terms = manifest.observation;
    this.#period = 1e9 / rateHz;
    this.#envelope = new Envelope(manifest, rateHz);
    this.#sensorIndices = sensorIndices(manifest.observation, jointsOf(manifest));
    this.#row = rowLayout(manifest.observation.length, manifest.action.length);
    this.#missedLimit = manifest.safety.missedTicks;
    this.#action = new Float64Array(manifest.action.length);
    this.#held = new Float64Array(manifest.action.length);
    this.#rearmsSeen = Atomics.load(words, WORD.rearm);
    this.modes.configure();
    Atomics.store(words, WORD.mode, this.modes.mode);
  }

  /** Ticks until the stop word is set. What leaves last, even after an error, tells the robot's side to damp. */
  run(): void {
    this.start();
    try {
      while (Atomics.load(this.#parts.words, WORD.stop) === 0) this.tick();
    } finally {
      this.#envelope.limit(this.#envelope.safe);
      this.#parts.clock.stamp(this.#times, LIMIT);
      this.#write(MODE.damping);
    }
  }

  /** Sets the first deadline, one period from now. */
  start(): void {
    this.#parts.clock.stamp(this.#times, DEADLINE);
    this.#times[DEADLINE] += this.#period;
  }

  /** One period of the loop: sleeps, observes, runs π₀ when it is due, limits, writes, records. */
  tick(): void {
    const { clock } = this.#parts;
    const times = this.#times;
    clock.sleepUntil(times, DEADLINE);
    clock.stamp(times, WAKE);
    const late = times[WAKE] - times[DEADLINE];
    const asleep = late >= this.#period ? Math.floor(late / this.#period) : 0;
    times[SCHEDULED] = times[DEADLINE] + asleep * this.#period;
    this.#index += asleep;
    const missed = this.#skipped + asleep;
    if (missed > 0) this.#countMissed(missed);

    let flags = this.#observe(missed);
    clock.stamp(times, OBSERVE);
    if (this.#inferWhenDue(flags)) {
      flags |= FLAG.policyStep;
      clock.stamp(times, INFER);
    } else times[INFER] = times[OBSERVE];
    const interventions = this.#limit(flags);
    clock.stamp(times, LIMIT);
    if (this.#sensorsHeard || this.modes.latched) this.#write(this.modes.mode);
    clock.stamp(times, WRITE);

    if (interventions !== 0) flags |= FLAG.intervention;
    if (this.modes.latched) flags |= FLAG.fault;
    this.#record(missed, flags, interventions);

    const worked = times[WRITE] - times[SCHEDULED];
    this.#skipped = worked >= this.#period ? Math.floor(worked / this.#period) : 0;
    this.#index += 1 + this.#skipped;
    times[DEADLINE] = times[SCHEDULED] + (1 + this.#skipped) * this.#period;
  }

  #countMissed(missed: number): void {
    const { words } = this.#parts;
    Atomics.add(words, WORD.missed, missed);
    if (missed > Atomics.load(words, WORD.longestMiss)) Atomics.store(words, WORD.longestMiss, missed);
  }

  /** Reads the operator's words and the sensors, and decides the mode. Returns the flags that this gives the tick. */
  #observe(missed: number): number {
    const { words, link, policy } = this.#parts;
    const { modes } = this;
    const envelope = this.#envelope;
    const before = modes.mode;
    let flags = missed > 0 ? FLAG.gap : 0;

    const rearms = Atomics.load(words, WORD.rearm);
    const rearmed = rearms !== this.#rearmsSeen && modes.latched;
    this.#rearmsSeen = rearms;
    if (rearmed) modes.rearm(this.#sensorsHeard);

    const sensors = link.sensors.read();
    this.#times[SENSOR_STAMP] = sensors[SENSOR.stamp];
    const heardBefore = this.#sensorsHeard;
    if (sensors[SENSOR.stamp] !== 0) this.#sensorsHeard = true;
    if (this.#sensorsHeard) {
      envelope.measure(sensors);
      if (rearmed || !heardBefore) envelope.restart();
      observe(this.#terms, this.#sensorIndices, sensors, sensors, policy.observation);
      modes.trip(envelope.check(sensors, policy.observation, this.#times, WAKE));
      if (missed >= this.#missedLimit) modes.trip(FAULT['missed ticks']);
      if (sensors[SENSOR.resets] !== this.#resetsSeen) {
        this.#resetsSeen = sensors[SENSOR.resets];
        flags |= FLAG.reset;
      }
      if (sensors[SENSOR.terminal] === 1) flags |= FLAG.terminal;
    }
    if (Atomics.exchange(words, WORD.emergencyStop, 0) !== 0) modes.trip(FAULT['emergency stop']);

    if (modes.latched || rearmed) Atomics.store(words, WORD.activate, 0);
    modes.advance(this.#sensorsHeard, Atomics.load(words, WORD.activate) === 1);
    if (modes.latched && before === MODE.policy) flags |= FLAG.intervention;
    if (modes.mode !== before) {
      this.#held.set(envelope.safe);
      this.#stepsToPolicy = 0;
    }
    return flags;
  }

  /** Runs π₀ when this tick is one of its steps, and says whether it did. A gap or a reset restarts the steps' grid. */
  #inferWhenDue(flags: number): boolean {
    if (this.modes.mode !== MODE.policy) return false;
    if ((flags & (FLAG.gap | FLAG.reset)) !== 0) this.#stepsToPolicy = 0;
    if (this.#stepsToPolicy > 0) {
      this.#stepsToPolicy--;
      return false;
    }
    this.#stepsToPolicy = this.#parts.policyEvery - 1;
    const { policy } = this.#parts;
    try {
      policy.run();
    } catch {
      this.modes.trip(FAULT['inference failed']);
    }
    for (let i = 0; i < this.#action.length; i++) this.#action[i] = policy.action[i];
    return true;
  }

  /** Sets the envelope's command for the mode, and returns the interventions as bits in the order of INTERVENTIONS. */
  #limit(flags: number): number {
    const { modes } = this;
    const envelope = this.#envelope;
    let interventions = 0;
    if (modes.mode === MODE.policy) {
      const limited = envelope.limit(this.#action);
      if (limited >= 0) interventions = limited;
      else modes.trip(FAULT['policy output not finite']);
    } else if (modes.mode === MODE.hold) envelope.limit(this.#held);
    if (modes.latched) {
      envelope.limit(envelope.safe);
      if ((flags & (FLAG.policyStep | FLAG.intervention)) !== 0) {
        interventions = REPLACED;
        Atomics.store(this.#parts.words, WORD.activate, 0);
      }
    }
    return interventions;
  }

  #write(mode: number): void {
    const { commands } = this.#parts.link;
    const cell = commands.writable;
    cell[COMMAND.stamp] = this.#times[LIMIT] / 1e9;
    cell[COMMAND.mode] = mode;
    cell.set(this.#envelope.command, COMMAND.vectors);
    commands.publish();
  }

  /** Leaves the tick in the histograms, the words and the trace. */
  #record(missed: number, flags: number, interventions: number): void {
    const { words, histograms, trace, policy } = this.#parts;
    const times = this.#times;
    const ranPolicy = (flags & FLAG.policyStep) !== 0;
    histograms.wake.record(elapsed(times, DEADLINE, WAKE));
    if (this.#sensorsHeard) histograms.observe.record(elapsed(times, WAKE, OBSERVE));
    if (ranPolicy) histograms.infer.record(elapsed(times, OBSERVE, INFER));
    histograms.limit.record(elapsed(times, INFER, LIMIT));
    histograms.write.record(elapsed(times, LIMIT, WRITE));
    histograms.total.record(elapsed(times, DEADLINE, WRITE));

    const { rows, offset } = trace;
    rows[offset + ROW.tick] = this.#index;
    rows[offset + ROW.scheduled] = times[SCHEDULED] / 1e9;
    rows[offset + ROW.sensorStamp] = times[SENSOR_STAMP];
    rows[offset + ROW.wake] = elapsed(times, DEADLINE, WAKE);
    rows[offset + ROW.observe] = elapsed(times, WAKE, OBSERVE);
    rows[offset + ROW.infer] = elapsed(times, OBSERVE, INFER);
    rows[offset + ROW.limit] = elapsed(times, INFER, LIMIT);
    rows[offset + ROW.write] = elapsed(times, LIMIT, WRITE);
    rows[offset + ROW.total] = elapsed(times, DEADLINE, WRITE);
    rows[offset + ROW.mode] = this.modes.mode;
    rows[offset + ROW.fault] = this.modes.fault;
    rows[offset + ROW.flags] = flags;
    rows[offset + ROW.interventions] = interventions;
    rows[offset + ROW.missed] = missed;
    rows.set(policy.observation, offset + this.#row.observation);
    rows.set(this.#action, offset + this.#row.action);
    rows.set(this.#envelope.command, offset + this.#row.command);
    trace.push();

    if ((interventions & RANGE_LIMITED) !== 0) Atomics.add(words, WORD.interventions, 1);
    if ((interventions & RATE_LIMITED) !== 0) Atomics.add(words, WORD.interventions + 1, 1);
    if ((interventions & REPLACED) !== 0) Atomics.add(words, WORD.interventions + 2, 1);
    Atomics.store(words, WORD.mode, this.modes.mode);
    Atomics.store(words, WORD.fault, this.modes.fault);
    this.#ticks++;
    Atomics.store(words, WORD.ticks, this.#ticks);
    if (this.#ticks % HEAP_EVERY === 0) {
      this.#garbage.look();
      Atomics.store(words, WORD.garbageCollections, this.#garbage.count);
    }
  }
}

/** Whole ns between two of the times, up to 2 s: a small integer, which unlike a double is passed without allocating. */
function elapsed(times: Float64Array, from: number, to: number): number {
  return Math.min(times[to] - times[from], 0x7fffffff) | 0;
}
