// The real-time loop: one tick from an absolute deadline to a stamped command, and what it leaves in shared memory.
import { CommandLimits, interventionBit } from '../contract/commandLimits.js';
import { COUNT, countsOf, FLAG, type PhaseHistograms, WORD } from '../contract/loop.js';
import type { Manifest } from '../contract/manifest.js';
import { COMMAND, type RobotLink, SENSOR } from '../contract/robot.js';
import type { TraceRing } from '../contract/sharedMemory.js';
import { LONGEST_STOP } from '../contract/stopTime.js';
import { jointsOf, observe } from '../contract/terms.js';
import type { EmergencyStop } from './emergencyStop.js';
import { Envelope, sensorIndices } from './envelope.js';
import { MissedTicks } from './missedTicks.js';
import { FAULT, MODE, ModeMachine } from './modes.js';
import { PhaseAlignment } from './phaseAlignment.js';
import type { Clock } from './realtime.js';
import { Requests } from './requests.js';
import { type Interpolation, Shaping } from './shaping.js';
import { TIME, TickRecord } from './tickRecord.js';

/** What the loop runs on; everything shared is in shared memory. */
export interface LoopParts {
  manifest: Manifest;
  rateHz: number;
  /** π₀ runs on every such tick. */
  policyEvery: number;
  /** Ticks come shortly after the sensors' messages and wait for late ones (see `PhaseAlignment`), instead of on a grid of their own. */
  alignTo?: 'sensors';
  /** What the command does between; 'hold' when left out. */
  interpolation?: Interpolation;
  /** Time of the way from holding to the policy and back, seconds; the manifest's when left out. */
  blendTime?: number;
  /** Milliseconds after which a heartbeat that stands still is a fault; 0 or left out: none is asked for. */
  heartbeatTimeout?: number;
  /** Latched from the first tick on, an index in FAULTS; 0 or left out: nothing is. */
  initialFault?: number;
  /** The process's emergency stop. */
  stop: EmergencyStop;
  /** A guard listens for stops; the policy does not act before its first sign of life, nor after its last. */
  guarded?: boolean;
  /** What leaves while the policy is not in charge: nothing, or a command that holds. 'hold' when left out. */
  whenInactive?: WhenInactive;
  /** Another publisher of commands is a fault of a policy that acts. */
  exclusive?: boolean;
  /** π₀: `run` computes `action` from `observation`; `number`, 0 when left out, is that of trace rows. */
  policy: { observation: Float32Array; action: Float32Array; number?: number; run(): void };
  clock: Clock;
  link: RobotLink;
  words: Int32Array;
  histograms: PhaseHistograms;
  trace: TraceRing;
}

/** Whether a controller that is not in charge writes. */
export type WhenInactive = 'silent' | 'hold';

const REPLACED = interventionBit('policy replaced by safe command');
/** Time between two looks for a message that is overdue, ns. */
const POLL = 50_000;
/** Seconds for which the safe command is repeated at the end: one message may be lost. */
const LAST_COMMANDS = 0.05;
/** Seconds for which the safe command is repeated before a controller that is no longer in charge falls silent. */
const LAST_WORDS = 1;

/**
 * The loop's state. Doubles that change from tick to tick live in typed arrays, so that no tick allocates.
 *
 * Deadlines are a fixed grid of periods, which an alignment may shift a little. A period whose deadline has passed when
 * the tick before ends, or that passes asleep, is skipped and counted as missed, never made up. Lateness is measured
 * from the first deadline missed.
 */
export class Loop {
  readonly modes = new ModeMachine();
  readonly #parts: Pick<LoopParts, 'policyEvery' | 'policy' | 'clock' | 'link' | 'words'>;
  readonly #terms: LoopParts['manifest']['observation'];
  readonly #period: number;
  readonly #times = new Float64Array(TIME.length);
  readonly #envelope: Envelope;
  readonly #limits: CommandLimits;
  readonly #shaping: Shaping;
  readonly #requests: Requests;
  readonly #alignment: PhaseAlignment | undefined;
  readonly #holds: boolean;
  /** Ticks that commands still leave for: full while the policy acts, then what is left of the last words. */
  #inCharge = 0;
  readonly #lastWords: number;
  readonly #sensorIndices: Int32Array;
  readonly #record: TickRecord;
  readonly #missedTicks: MissedTicks;
  readonly #counts: Float64Array;
  readonly #action: Float64Array;
  readonly #held: Float64Array;
  /** Number of the present period since the start: ticks run and missed. */
  #index = 0;
  #skipped = 0;
  /** The period from which on the policy's next step is due. */
  #nextStep = 0;
  /** A limit still changed the command in the newest tick of the policy's step. */
  #stepLimited = false;
  #sensorsHeard = false;
  #resetsSeen = 0;
  #lateMessages = 0;

  /** Throws a `FarsightError` when the manifest's limits contradict each other. */
  constructor(parts: LoopParts) {
    const { manifest, rateHz, policyEvery, policy, clock, link, words, histograms, trace } = parts;
    // An object of this place's own making: all loops then share what the compiler assumed about the first.
    this.#parts = { policyEvery, policy, clock, link, words };
    this.#terms = manifest.observation;
    this.#period = 1e9 / rateHz;
    this.#envelope = new Envelope(manifest, rateHz);
    this.#limits = new CommandLimits(manifest, rateHz);
    const blendTicks = Math.round((parts.blendTime ?? manifest.safety.blendTime ?? 0) * rateHz);
    const { length } = manifest.action;
    this.#shaping = new Shaping(length, policyEvery, parts.interpolation ?? 'hold', Math.max(1, blendTicks));
    const { stop, heartbeatTimeout = 0, guarded = false, exclusive = false } = parts;
    this.#requests = new Requests({ words, stop, heartbeatTimeout, guarded, exclusive });
    this.#holds = (parts.whenInactive ?? 'hold') === 'hold';
    this.#lastWords = Math.ceil(LAST_WORDS * rateHz);
    this.#alignment = parts.alignTo && new PhaseAlignment(this.#period);
    this.#sensorIndices = sensorIndices(manifest.observation, jointsOf(manifest));
    this.#missedTicks = new MissedTicks(manifest.safety.missed, rateHz);
    this.#counts = countsOf(words);
    this.#action = new Float64Array(length);
    this.#held = new Float64Array(length);
    const { command, limited } = this.#limits;
    const { score } = this.#envelope;
    const vectors = { observation: policy.observation, action: this.#action, command, limited, score };
    this.#record = new TickRecord({ words, histograms, trace }, vectors);
    this.modes.configure();
    this.modes.trip(parts.initialFault ?? FAULT.none);
    Atomics.store(words, WORD.mode, this.modes.mode);
    Atomics.store(words, WORD.fault, this.modes.fault);
  }

  /** Ticks until the stop word is set. What leaves last, even after an error, tells the robot's side to damp. */
  run(): void {
    this.start();
    try {
      while (Atomics.load(this.#parts.words, WORD.stop) === 0) this.tick();
    } finally {
      this.#comeToRest();
    }
  }

  /** Whether commands leave for the robot. */
  get #writes(): boolean {
    if (Atomics.load(this.#parts.words, WORD.standby) === 1) return false;
    return this.#inCharge > 0 || (this.#holds && (this.#sensorsHeard || this.modes.latched));
  }

  /** Sends the safe command, after those on the way to it that the limits ask for. */
  #comeToRest(): void {
    if (!this.#writes) return;
    const { clock } = this.#parts;
    const times = this.#times;
    let repeats = Math.ceil((LAST_COMMANDS * 1e9) / this.#period);
    for (let left = Math.ceil((LONGEST_STOP * 1e9) / this.#period); left >= 0 && repeats > 0; left--) {
      const limited = this.#limits.halt();
      clock.stamp(times, TIME.limit);
      this.#write(MODE.damping);
      if (limited === 0 && this.#limits.settled) repeats--;
      times[TIME.deadline] = times[TIME.limit] + this.#period;
      clock.sleepUntil(times, TIME.deadline);
    }
  }

  /** Sets the first deadline, one period from now. */
  start(): void {
    this.#parts.clock.stamp(this.#times, TIME.deadline);
    this.#times[TIME.deadline] += this.#period;
  }

  /** One period of the loop: sleeps, observes, runs π₀ when it is due, limits, writes, records. */
  tick(): void {
    const { clock } = this.#parts;
    const times = this.#times;
    clock.sleepUntil(times, TIME.deadline);
    clock.stamp(times, TIME.wake);
    const late = times[TIME.wake] - times[TIME.deadline];
    const asleep = late >= this.#period ? Math.floor(late / this.#period) : 0;
    times[TIME.scheduled] = times[TIME.deadline] + asleep * this.#period;
    this.#index += asleep;
    const missed = this.#skipped + asleep;
    if (missed > 0) this.#countMissed(missed);

    let flags = this.#observe(missed);
    clock.stamp(times, TIME.observe);
    if (this.#inferWhenDue(flags)) {
      flags |= FLAG.policyStep;
      clock.stamp(times, TIME.infer);
    } else times[TIME.infer] = times[TIME.observe];
    const interventions = this.#limit(flags);
    clock.stamp(times, TIME.limit);
    if (this.#writes) this.#write(this.modes.mode);
    clock.stamp(times, TIME.write);

    if (interventions !== 0) flags |= FLAG.intervention;
    if (this.modes.latched) flags |= FLAG.fault;
    const { mode, fault } = this.modes;
    const policy = this.#parts.policy.number ?? 0;
    this.#record.add(times, this.#index, missed, mode, fault, flags, interventions, policy);

    const worked = times[TIME.write] - times[TIME.scheduled];
    this.#skipped = worked >= this.#period ? Math.floor(worked / this.#period) : 0;
    this.#index += 1 + this.#skipped;
    times[TIME.deadline] = times[TIME.scheduled] + (1 + this.#skipped) * this.#period;
    this.#alignment?.shift(times, this.#lateMessages);
  }

  #countMissed(missed: number): void {
    const counts = this.#counts;
    counts[COUNT.missed] += missed;
    if (missed > counts[COUNT.longestMiss]) counts[COUNT.longestMiss] = missed;
  }

  /** Reads the requests and the sensors, and decides the mode. Returns the flags that this gives the tick. */
  #observe(missed: number): number {
    const { policy } = this.#parts;
    const { modes } = this;
    const envelope = this.#envelope;
    const limits = this.#limits;
    const requests = this.#requests;
    const before = modes.mode;
    let flags = missed > 0 ? FLAG.gap : 0;

    const rearmed = requests.rearms(modes.latched, this.#times, TIME.wake);
    if (rearmed) modes.rearm(this.#sensorsHeard);

    const sensors = this.#readSensors();
    const heardBefore = this.#sensorsHeard;
    if (sensors[SENSOR.stamp] !== 0) this.#sensorsHeard = true;
    if (this.#sensorsHeard) {
      limits.measure(sensors, SENSOR.vectors);
      // While nothing leaves, the next command begins where the robot is; after that, where the last one was.
      if (!this.#writes || !heardBefore) limits.restart();
      if (rearmed || !heardBefore) {
        envelope.restart();
        this.#missedTicks.restart();
      }
      observe(this.#terms, this.#sensorIndices, sensors, sensors, policy.observation);
      modes.trip(envelope.check(sensors, policy.observation, this.#times, TIME.wake, before === MODE.policy));
      if (this.#missedTicks.add(missed)) modes.trip(FAULT['missed ticks']);
      if (sensors[SENSOR.resets] !== this.#resetsSeen) {
        this.#resetsSeen = sensors[SENSOR.resets];
        flags |= FLAG.reset;
      }
      if (sensors[SENSOR.terminal] === 1) flags |= FLAG.terminal;
    }
    modes.trip(requests.fault(this.#times, TIME.wake));
    if (before === MODE.policy) modes.trip(requests.loss());

    if (modes.latched || rearmed) requests.deactivate();
    modes.advance(this.#sensorsHeard, requests.active);
    // A request that cannot be met now is not met later.
    if (modes.mode !== MODE.policy) requests.deactivate();
    if (modes.latched && before === MODE.policy) flags |= FLAG.intervention;
    if (modes.mode !== before) {
      this.#held.set(limits.safe);
      this.#shaping.begin(limits.command);
      envelope.beginPolicy();
      this.#nextStep = this.#index;
      this.#stepLimited = false;
    }
    return flags;
  }

  /** Reads the sensors, and again for as long as ticks are aligned to them and a message is overdue. */
  #readSensors(): Float64Array {
    const { link, clock } = this.#parts;
    const times = this.#times;
    let sensors = link.sensors.read();
    times[TIME.sensorStamp] = sensors[SENSOR.stamp];
    times[TIME.observe] = times[TIME.wake];
    while (this.#alignment?.overdue(times)) {
      times[TIME.poll] = times[TIME.observe] + POLL;
      clock.sleepUntil(times, TIME.poll);
      clock.stamp(times, TIME.observe);
      sensors = link.sensors.read();
      times[TIME.sensorStamp] = sensors[SENSOR.stamp];
    }
    this.#lateMessages = sensors[SENSOR.late] | 0;
    return sensors;
  }

  /**
   * Runs π₀ when its next step is due, and says whether it did. Steps keep their distance in time: after missed ticks a
   * late one is made at once and the next a whole step later; only a reset begins a step early.
   */
  #inferWhenDue(flags: number): boolean {
    if (this.modes.mode !== MODE.policy) return false;
    if ((flags & FLAG.reset) === 0 && this.#index < this.#nextStep) return false;
    this.#nextStep = this.#index + this.#parts.policyEvery;
    const { policy } = this.#parts;
    try {
      policy.run();
    } catch {
      this.modes.trip(FAULT['inference failed']);
    }
    for (let i = 0; i < this.#action.length; i++) this.#action[i] = policy.action[i];
    this.#shaping.beginStep();
    this.modes.trip(this.#envelope.checkStep(this.#stepLimited));
    this.#stepLimited = false;
    return true;
  }

  /**
   * Sets the command for the mode, and returns the interventions as bits in the order of INTERVENTIONS. A stop is not
   * blended: efforts are safe in the same tick; positions and velocities keep to the limits of their change, because a
   * position that was measured far from the last command, or wrongly, would be a jump.
   */
  #limit(flags: number): number {
    const { modes } = this;
    const limits = this.#limits;
    const { wanted } = this.#shaping;
    let interventions = 0;
    if (modes.mode === MODE.policy) {
      this.#shaping.follow(this.#action);
      const limited = limits.limit(wanted);
      this.#stepLimited = limited > 0;
      if (limited < 0) modes.trip(FAULT['policy output not finite']);
      else interventions = limited;
    } else if (modes.mode === MODE.hold) {
      this.#shaping.hold(this.#held);
      this.#rest(limits.limit(wanted) === 0 && this.#shaping.arrived);
    }
    if (modes.mode === MODE.policy) this.#inCharge = this.#lastWords;
    if (modes.latched) {
      this.#rest(limits.halt() === 0);
      if ((flags & (FLAG.policyStep | FLAG.intervention)) !== 0) {
        interventions = REPLACED;
        this.#requests.deactivate();
      }
    }
    return interventions;
  }

  /** The command no longer moves when `arrived`: from then on the controller stays in charge for its last words. */
  #rest(arrived: boolean): void {
    if (this.#inCharge > 0 && arrived && this.#limits.settled) this.#inCharge--;
  }

  #write(mode: number): void {
    const { commands } = this.#parts.link;
    const cell = commands.writable;
    cell[COMMAND.stamp] = this.#times[TIME.limit] / 1e9;
    cell[COMMAND.mode] = mode;
    cell.set(this.#limits.command, COMMAND.vectors);
    commands.publish();
  }
}
