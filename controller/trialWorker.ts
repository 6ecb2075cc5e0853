// The thread of one trial: checks a candidate, computes it beside the policy that acts, puts it in charge, and takes it back.
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../contract/errors.js';
import { FLAG, MODES, ROW, rowLayout } from '../contract/loop.js';
import type { Manifest } from '../contract/manifest.js';
import { TraceRing } from '../contract/sharedMemory.js';
import { Policy } from './policy.js';
import { fillSlot, SLOT, type SlotBuffers, slotRequest } from './policySlots.js';
import { objection, percent, Shadow, type ShadowReport } from './shadow.js';
import { type Behaviour, BehaviourWatch, TrialHealth } from './trialHealth.js';

export interface TrialTimes {
  /** Seconds beside the acting policy; 0 goes without the judgement of it. */
  shadow: number;
  /** Seconds of the way over. */
  blend: number;
  /** Seconds in charge, after that, before it is trusted. */
  health: number;
}

/** What the thread is given. */
export interface TrialData extends TrialTimes {
  /** Names the candidate in errors. */
  name: string;
  model: Uint8Array;
  /** Of its file. */
  sha256: string;
  manifest: Manifest;
  /** Of the loop that runs: its rate, Hz, the score at which it faults, µs that half of its inferences take. */
  rateHz: number;
  scoreLimit?: number;
  inferenceUs: number;
  trace: { buffer: SharedArrayBuffer; rowLength: number; capacity: number };
  slots: SlotBuffers;
  /** Where the candidate goes, and what acts now. */
  slot: number;
  fallback: number;
}

/** What it says; `refused` and `rolled back` and `accepted` are its last words. */
export type TrialMessage =
  | { kind: 'shadowing'; inferenceUs: number }
  | { kind: 'shadowed'; report: ShadowReport }
  | { kind: 'acting' }
  | { kind: 'refused'; reason: string; report?: ShadowReport }
  | { kind: 'rolled back'; reason: string; seconds: number }
  | { kind: 'accepted'; before: Behaviour; after: Behaviour };

/** What it is told: that it may act, or that it is to end without. */
export type TrialRequest = 'act' | 'abandon';

/** Random observations, and those with which it is timed. */
const PROBES = 1000;
/** The most that both policies together, as they run on the way over, may take of a period. */
const MOST_OF_PERIOD = 0.5;
/** Seconds of the acting policy that its successor is compared with, at least. */
const LEAST_BEFORE = 1;
const LOOK_MS = 5;
const POLICY = MODES.indexOf('policy');

class Refusal extends Error {}
class Abandoned extends Error {}

class Trial {
  readonly #data: TrialData;
  readonly #port: NonNullable<typeof parentPort>;
  readonly #layout: ReturnType<typeof rowLayout>;
  readonly #row: Float64Array;
  readonly #reader;
  #mayAct = () => {};
  #abandoned = false;

  constructor(data: TrialData, port: NonNullable<typeof parentPort>) {
    this.#data = data;
    this.#port = port;
    const { observation, action } = data.manifest;
    this.#layout = rowLayout(observation.length, action.length);
    this.#row = new Float64Array(this.#layout.length);
    const { rowLength, capacity, buffer } = data.trace;
    this.#reader = new TraceRing(rowLength, capacity, buffer).reader();
    port.on('message', (request: TrialRequest) => {
      if (request === 'abandon') {
        this.#abandoned = true;
        port.close();
      }
      this.#mayAct();
    });
  }

  async run(): Promise<void> {
    const { name, model, sha256, manifest, slots, slot } = this.#data;
    let policy: Policy | undefined;
    let report: ShadowReport | undefined;
    try {
      policy = new Policy(name, model, manifest);
      this.#say({ kind: 'shadowing', inferenceUs: this.#probe(policy) });
      const shadowed = await this.#shadow(policy);
      ({ report } = shadowed);
      const reason = this.#data.shadow > 0 ? objection(report) : undefined;
      if (reason !== undefined) throw new Refusal(reason);
      fillSlot(slots, slot, { bytes: model, sha256 });
      const told = new Promise<void>((resolve) => {
        this.#mayAct = resolve;
      });
      this.#say({ kind: 'shadowed', report });
      // Who asked for the trial notes it on the disk first.
      await told;
      if (this.#abandoned) return;
      await this.#act(shadowed.before);
    } catch (error) {
      if (error instanceof Abandoned) return;
      this.#say({ kind: 'refused', reason: messageOf(error), ...(report && { report }) });
    } finally {
      policy?.release();
    }
  }

  #say(message: TrialMessage): void {
    this.#port.postMessage(message);
  }

  async #look(): Promise<void> {
    await sleep(LOOK_MS);
    if (this.#abandoned) throw new Abandoned();
  }

  /** Whether it is finite wherever training went and twice as far, and how long it takes, µs; throws when it does not do. */
  #probe(policy: Policy): number {
    const { manifest, rateHz, inferenceUs } = this.#data;
    const { low, high } = manifest.observationStatistics;
    const times = new Float64Array(PROBES);
    for (let probe = 0; probe < PROBES; probe++) {
      for (let i = 0; i < low.length; i++) {
        const half = high[i] - low[i];
        policy.observation[i] = (low[i] + high[i]) / 2 + half * (2 * Math.random() - 1);
      }
      const began = performance.now();
      policy.run();
      times[probe] = 1000 * (performance.now() - began);
      const bad = policy.action.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0)
        throw new Refusal(
          `its action for joint '${manifest.action[bad].joint}' is not finite for the observation [${policy.observation.join(', ')}]`,
        );
    }
    // The median: other processes take this thread's processor, but not the loop's.
    const median = times.sort()[PROBES / 2];
    const share = ((median + inferenceUs) * rateHz) / 1e6;
    if (share > MOST_OF_PERIOD)
      throw new Refusal(
        `it takes ${median.toFixed(0)} µs and the acting policy ${inferenceUs.toFixed(0)}: together ${percent(share)} of the loop's period, at most ${percent(MOST_OF_PERIOD)}`,
      );
    return median;
  }

  /** Computes the candidate on what the acting policy sees, for as long as that acts. */
  async #shadow(policy: Policy): Promise<{ report: ShadowReport; before: Behaviour }> {
    const { manifest, rateHz } = this.#data;
    const { observation, action, command } = this.#layout;
    const n = manifest.observation.length;
    const m = manifest.action.length;
    const shadow = new Shadow(manifest);
    const before = new BehaviourWatch();
    const ticks = Math.max(LEAST_BEFORE, this.#data.shadow) * rateHz;
    const row = this.#row;
    for (; before.behaviour().ticks < ticks; await this.#look()) {
      while (this.#reader.read(row)) {
        before.add(row);
        if (row[ROW.mode] !== POLICY || (row[ROW.flags] & FLAG.policyStep) === 0) continue;
        const seen = row.subarray(observation, observation + n);
        policy.observation.set(seen);
        policy.run();
        const acted = row.subarray(action, action + m);
        shadow.add(seen, acted, row.subarray(command, command + m), policy.action);
      }
    }
    return { report: shadow.report(), before: before.behaviour() };
  }

  /** Puts the candidate in charge, and back at the first sign that it does worse. */
  async #act(before: Behaviour): Promise<void> {
    const { slots, slot, fallback, manifest, rateHz, scoreLimit } = this.#data;
    const { words } = slots;
    const row = this.#row;
    // While a person has the robot it waits.
    for (row[ROW.mode] = 0; row[ROW.mode] !== POLICY; await this.#look()) while (this.#reader.read(row));
    const blend = Math.max(1, Math.round(this.#data.blend * manifest.controlRate));
    const failures = Atomics.load(words, SLOT.failed);
    Atomics.store(words, SLOT.request, slotRequest({ slot, blend, fallback }));
    const acted = () => Atomics.load(words, SLOT.active) === slot;
    const failed = () => Atomics.load(words, SLOT.failed) !== failures;
    const health = new TrialHealth(before, rateHz, scoreLimit);
    const after = new BehaviourWatch();
    const ticks = (this.#data.blend + this.#data.health) * rateHz;
    let began: number | undefined;
    for (; health.ticks < ticks; await this.#look()) {
      let reason: string | undefined;
      while (reason === undefined && this.#reader.read(row)) {
        reason = health.add(row);
        after.add(row);
      }
      if (failed()) reason = 'its action was not finite; the policy before it answered in the same step';
      if (reason !== undefined) {
        Atomics.store(words, SLOT.request, slotRequest({ slot: fallback, blend: 0 }));
        const seconds = began === undefined ? 0 : (performance.now() - began) / 1000;
        this.#say({ kind: 'rolled back', reason, seconds });
        return;
      }
      if (began === undefined && acted()) {
        began = performance.now();
        this.#say({ kind: 'acting' });
      }
    }
    // From now on it stands alone.
    const trusted = slotRequest({ slot, blend: 0 });
    const onTrial = slotRequest({ slot, blend, fallback });
    if (Atomics.compareExchange(words, SLOT.request, onTrial, trusted) !== onTrial) {
      this.#say({ kind: 'rolled back', reason: 'its action was not finite', seconds: this.#data.health });
    } else this.#say({ kind: 'accepted', before, after: after.behaviour() });
  }
}

if (parentPort) await new Trial(workerData as TrialData, parentPort).run();
