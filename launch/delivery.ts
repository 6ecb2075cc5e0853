// Policies delivered to a loop that runs: fetched and verified, tried, kept or rolled back, one at a time, and every step told.
import { join } from 'node:path';
import { logger } from '../bridge/log.js';
import { PolicyClient, type SignedPolicy, UntrustedError } from '../bridge/policyClient.js';
import { datasetName, datasetTaskOf } from '../contract/dataset.js';
import { desiredSchema } from '../contract/delivery.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { type PolicyFile, readPolicyFile } from '../contract/policyFile.js';
import type { DeliveryEvent } from '../contract/telemetry.js';
import type { LoopHandle } from '../controller/controller.js';
import { percent } from '../controller/shadow.js';
import { type Delivered, SlotStore } from '../controller/slotStore.js';
import { tryPolicy } from '../controller/trial.js';
import type { TrialTimes } from '../controller/trialWorker.js';
import { say } from './command.js';
import { pause } from './pause.js';

export interface DeliveryOptions extends TrialTimes {
  /** Of the repository. */
  url: string;
  /** Path of the root metadata that a person trusts. */
  root: string;
  /** Directory of the slots. */
  slots: string;
  /** Seconds between two looks at the repository; what is announced is looked at at once. */
  poll: number;
}

/** Seconds between two looks at least, however often something is announced. */
const LEAST_BETWEEN = 0.5;

export interface DeliveryParts {
  loop: LoopHandle;
  robot: string;
  /** What the loop was started with. */
  policy: PolicyFile;
  store: SlotStore;
  /** A delivered policy as the loop would be started with it; as it is when left out. */
  adapt?: (policy: PolicyFile) => PolicyFile;
  /** Told of each step. */
  happened(event: DeliveryEvent): void;
}

/** A delivery that is asked for, and the slots, which are this process's. */
export interface OpenDelivery {
  options: DeliveryOptions;
  store: SlotStore;
}

/** Takes the slots. Throws a `FarsightError` when they cannot be had. */
export function openDelivery(options: DeliveryOptions): OpenDelivery {
  return { options, store: new SlotStore(options.slots) };
}

/** The policy file to start with: the good slot's, where there is one for the interface of the file at `path`. */
export function startingPolicy(path: string, { store, options }: OpenDelivery): string {
  const { good } = store;
  if (!good) return path;
  const given = datasetName(datasetTaskOf(readPolicyFile(path).manifest));
  if (given !== good.interface) {
    say(
      `note: '${options.slots}' has ${good.target}, but '${path}' is for the interface '${given}': serving that`,
    );
    return path;
  }
  say(`serving ${good.target} of '${options.slots}'`);
  return good.path;
}

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #parts: DeliveryParts;
  readonly #client: PolicyClient;
  readonly #log = logger('delivery');
  readonly #stop = new AbortController();
  readonly #interface: string;
  #wake = new AbortController();
  /** What was announced last; undefined: nothing was. */
  #announced: string | undefined;
  #version = 0;
  #target: string | undefined;
  /** It was accepted, and the disk does not say so yet. */
  #unkept = false;
  /** What was refused for good or rolled back last: said once, while it stays what is wanted. */
  #done: string | undefined;
  /** Ends the trial under way, while its policy does not act yet. */
  #waiting: AbortController | undefined;
  #said = '';
  readonly #ended: Promise<void>;

  /** Throws a `FarsightError` for a URL or a root that cannot be used. */
  constructor(options: DeliveryOptions, parts: DeliveryParts) {
    const { policy, store } = parts;
    this.#options = options;
    this.#parts = parts;
    this.#client = new PolicyClient({ ...options, directory: join(options.slots, 'trust') });
    this.#interface = datasetName(datasetTaskOf(policy.manifest));
    const { good, interrupted } = store;
    if (good?.sha256 === policy.sha256) {
      this.#version = good.version;
      this.#target = good.target;
    }
    if (interrupted) {
      const reason = interrupted.again
        ? 'its trial was cut short: tried again'
        : store.badness(interrupted.delivered.sha256);
      this.#tell('interrupted', interrupted.delivered.target, interrupted.delivered.sha256, reason ?? null);
    }
    this.#ended = this.#run();
  }

  /** Takes an announcement in; whatever it says, signed metadata decides. */
  announce(payload: Buffer): void {
    // Nothing is retained any more.
    if (payload.length === 0) {
      this.#want(undefined);
      return;
    }
    let json: unknown;
    try {
      json = JSON.parse(payload.toString('utf8'));
    } catch {
      json = undefined;
    }
    const parsed = desiredSchema.safeParse(json);
    if (!parsed.success || parsed.data.robot !== this.#parts.robot) {
      this.#tell('refused', null, null, 'the announcement is malformed, or for another robot');
      return;
    }
    this.#want(parsed.data.target);
  }

  #want(target: string | undefined): void {
    if (target !== this.#announced) {
      this.#waiting?.abort(new FarsightError('it is not wanted any more'));
      this.#done = undefined;
    }
    this.#announced = target;
    this.#wake.abort();
  }

  /** Ends a trial under way: the policy before acts again. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the controller stops'));
    this.#wake.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        await this.#look();
      } catch (error) {
        if (signal.aborted) break;
        // Nothing of this reaches the loop; what is full or away now may not be next time.
        this.#tell('refused', this.#announced ?? null, null, messageOf(error));
      }
      await pause(LEAST_BETWEEN, signal);
      await pause(this.#options.poll - LEAST_BETWEEN, this.#wake.signal);
    }
  }

  async #look(): Promise<void> {
    const { store, robot } = this.#parts;
    if (this.#unkept) this.#keep();
    const target = this.#announced ?? (await this.#client.desired(robot));
    if (target === undefined || target === this.#target || target === this.#done) return;
    const bad = store.badness(target);
    if (bad !== undefined) return this.#tell('refused', target, null, `it was tried before: ${bad}`);
    let signed: SignedPolicy;
    try {
      this.#wants(target);
      signed = await this.#client.fetch(target);
    } catch (error) {
      if (!(error instanceof UntrustedError)) throw error;
      this.#tell('refused', target, null, error.message);
      return;
    }
    const { policy, about } = signed;
    const delivered: Delivered = { target, ...about, sha256: policy.sha256 };
    const reason = store.badness(policy.sha256) ?? this.#unfit(signed);
    if (reason !== undefined) return this.#tell('refused', target, policy.sha256, reason);
    this.#tell('verified', target, policy.sha256, null);
    await this.#try(delivered, policy);
  }

  /** Throws for a target that this robot does not even fetch. */
  #wants(target: string): void {
    const [, name, version] = /^(.*)\/(\d+)\.onnx$/.exec(target)!;
    if (name !== this.#interface)
      throw new UntrustedError(
        `it is for the interface '${name}', this robot's is '${this.#interface}'`,
        false,
      );
    if (Number(version) <= this.#version)
      throw new UntrustedError(
        `downgraded: version ${this.#version} acts here; publish the older policy anew to go back to it`,
        false,
      );
  }

  /** What the signed words about a policy and the policy itself say against it. */
  #unfit({ target, about, policy }: SignedPolicy): string | undefined {
    const name = datasetName(datasetTaskOf(policy.manifest));
    if (name !== about.interface || target !== `${name}/${about.version}.onnx`)
      return `its file is for the interface '${name}', its name says '${target}'`;
    return undefined;
  }

  async #try(delivered: Delivered, policy: PolicyFile): Promise<void> {
    const { loop, store } = this.#parts;
    const { target, sha256 } = delivered;
    let began = false;
    this.#waiting = new AbortController();
    try {
      const outcome = await tryPolicy({
        ...this.#options,
        loop,
        policy: this.#parts.adapt?.(policy) ?? policy,
        name: target,
        signal: AbortSignal.any([this.#stop.signal, this.#waiting.signal]),
        on: (message) => {
          if (message.kind === 'shadowed') {
            const { divergence, limited, limitedBefore, steps } = message.report;
            const text = `over ${steps} steps its actions differ by ${percent(divergence)} of their range; limits change ${percent(limited)} of them, before ${percent(limitedBefore)}`;
            this.#tell('shadowed', target, sha256, text);
            store.begin(delivered, policy.bytes);
            began = true;
          } else if (message.kind === 'acting') {
            this.#waiting = undefined;
            this.#tell('acting', target, sha256, null);
          }
        },
      });
      if (outcome.kind === 'accepted') {
        this.#version = delivered.version;
        this.#target = target;
        this.#tell('accepted', target, sha256, null);
        this.#unkept = true;
        return this.#keep();
      }
      const { reason } = outcome;
      this.#done = target;
      // Whoever watches hears of it before the disk does, which may be full.
      if (outcome.kind === 'rolled back') {
        const after = `${reason}; after ${outcome.seconds.toFixed(1)} s`;
        this.#tell('rolled back', target, sha256, after);
      } else this.#tell('refused', target, sha256, reason);
      if (began) store.end(reason);
      else store.refuse(delivered, reason);
    } catch (error) {
      if (began && !this.#unkept) store.end();
      throw error;
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Notes that the policy that acts is good; throws while the disk takes nothing, and is asked again then. */
  #keep(): void {
    this.#parts.store.accept();
    this.#unkept = false;
  }

  /** An event, a line of the log and one for people; what was said last is not said again. */
  #tell(
    state: DeliveryEvent['state'],
    target: string | null,
    policy: string | null,
    reason: string | null,
  ): void {
    const event: DeliveryEvent = { kind: 'delivery', state, target, policy, reason };
    const text = JSON.stringify(event);
    if (text === this.#said) return;
    this.#said = text;
    this.#log.info({ robot: this.#parts.robot, ...event }, 'delivery');
    say(`delivery: ${target ?? 'announcement'} ${state}${reason === null ? '' : `: ${reason}`}`);
    this.#parts.happened(event);
  }
}
