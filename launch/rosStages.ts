// The stages of a controller on ROS 2, from unconfigured to a policy that acts and back, as people and peers ask for them.
import { FarsightError } from '../contract/errors.js';
import { isLatched, type LoopView, statusOf } from '../contract/loop.js';
import { STILL_PRESSED } from '../controller/controller.js';
import type { Guard } from '../controller/guard.js';
import type { Stage } from '../controller/ros/management/lifecycle.js';
import type { ManagementState } from '../controller/ros/management/messages.js';
import type { ManagementParameters } from '../controller/ros/management/parameters.js';
import type { ManagementHandlers } from '../controller/ros/management/startManagement.js';
import { say } from './command.js';
import type { CompanionOptions } from './companions.js';
import type { ControlResult } from './control.js';
import { pause } from './pause.js';
import { ServedPolicy } from './servedPolicy.js';

/** Seconds in which the loop answers a request. */
const ANSWER = 1;

export interface StagesOptions
  extends Pick<CompanionOptions, 'name' | 'record' | 'segment' | 'mqtt' | 'deliver'> {
  rosArguments: readonly string[];
  guard: Guard;
  /** Ended by a shutdown and by a loop that fails; ends the wait for a robot. */
  over: AbortController;
  /** Has the guard listen to the stop's topic that the parameters name. */
  listen: (parameters: ManagementParameters) => Promise<void>;
  /** Somebody says stop. */
  pressed: (by: string) => void;
  /** Called with each loop that serves a policy. */
  served?: (loop: LoopView) => void;
}

/** Answers every request with a sentence, or throws a `FarsightError` that says why not; one at a time. */
export class Stages implements ManagementHandlers {
  /** When the policy first acted, by `performance.now()`. */
  activatedAt: number | undefined;
  /** What the loop that ended last came to. */
  result: ControlResult | undefined;
  /** Why a loop has failed, the first that did. */
  failure: { error: unknown } | undefined;
  readonly #options: StagesOptions;
  #stage: Stage = 'unconfigured';
  #served: ServedPolicy | undefined;
  #parameters: ManagementParameters | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: StagesOptions) {
    this.#options = options;
  }

  /** The loop that serves a policy. */
  get loop() {
    return this.#served?.loop;
  }

  configure(parameters: ManagementParameters): Promise<string> {
    return this.#inTurn(async () => {
      if (this.#served) throw new FarsightError('a policy is configured already: clean up first');
      this.#parameters = parameters;
      await this.#options.listen(parameters);
      const { deliver } = this.#options;
      const path = deliver
        ? (await import('./delivery.js')).startingPolicy(parameters.policy, deliver)
        : parameters.policy;
      return this.#serve(await this.#prepare(path), path);
    });
  }

  activate(): Promise<string> {
    return this.#inTurn(async () => {
      const { loop } = this.#need();
      await loop.activate();
      this.#stage = 'active';
      this.activatedAt ??= performance.now();
      return `the policy acts at ${loop.view.rateHz} Hz`;
    });
  }

  deactivate(): Promise<string> {
    return this.#inTurn(async () => {
      const { loop } = this.#need();
      loop.deactivate();
      await this.#await(
        () => statusOf(loop.view).mode !== 'policy',
        'the loop does not let go of the policy',
      );
      this.#stage = 'inactive';
      return `the robot is in ${statusOf(loop.view).mode}`;
    });
  }

  cleanup(): Promise<string> {
    return this.#inTurn(async () => {
      await this.#release();
      return 'the loop has ended; its last command was the safe one';
    });
  }

  async shutdown(): Promise<string> {
    const message = await this.cleanup();
    this.#stage = 'finalized';
    // After the answer is on its way.
    setTimeout(() => this.#options.over.abort(), 200);
    return message;
  }

  async emergencyStop(reason: string): Promise<string> {
    this.#options.guard.stop.press();
    this.#options.pressed(reason);
    const loop = this.#served?.loop;
    if (loop) await this.#await(() => isLatched(statusOf(loop.view).mode), 'the loop does not answer');
    return 'the emergency stop is set: the robot is stopped until it is rearmed';
  }

  rearm(): Promise<string> {
    return this.#inTurn(async () => {
      if (!this.#served) {
        const latched = await this.#options.guard.latched();
        if (latched === 'none') throw new FarsightError('nothing to rearm: no policy is configured');
        if (!(await this.#options.guard.rearm())) throw new FarsightError(STILL_PRESSED);
        return `rearmed after '${latched}'`;
      }
      const { loop } = this.#served;
      const before = statusOf(loop.view);
      if (!isLatched(before.mode)) throw new FarsightError(`nothing to rearm: the mode is ${before.mode}`);
      loop.rearm();
      // A fault whose cause still holds latches again within a tick.
      await pause(0.1);
      const now = statusOf(loop.view);
      if (isLatched(now.mode))
        throw new FarsightError(`${now.fault} still holds: the robot stays in ${now.mode}`);
      return `rearmed after '${before.fault}': the robot is in ${now.mode}; activate to go on`;
    });
  }

  swapPolicy(path: string): Promise<string> {
    return this.#inTurn(async () => {
      if (this.#stage === 'active') throw new FarsightError('the policy acts: deactivate first');
      const served = this.#need();
      if (isLatched(statusOf(served.loop.view).mode))
        throw new FarsightError('a fault is latched: rearm before another policy is served');
      // Made ready beside the old one, which goes on until then: one that does not do changes nothing.
      const next = await this.#prepare(path);
      if (isLatched(statusOf(served.loop.view).mode)) {
        await next.stop();
        throw new FarsightError('a fault has latched meanwhile: rearm before another policy is served');
      }
      return this.#serve(next, path, served);
    });
  }

  /** Ends what still runs. */
  end(): Promise<void> {
    return this.#inTurn(() => this.#release());
  }

  /** One request at a time, those of this side too. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #need(): ServedPolicy {
    if (!this.#served) throw new FarsightError('no policy is configured');
    return this.#served;
  }

  async #await(met: () => boolean, otherwise: string): Promise<void> {
    for (const end = performance.now() + 1000 * ANSWER; !met(); await pause(0.005)) {
      if (performance.now() > end) throw new FarsightError(otherwise);
    }
  }

  #prepare(path: string): Promise<ServedPolicy> {
    const { rosArguments, name, record, segment, mqtt, deliver, guard, over } = this.#options;
    let said = '';
    return ServedPolicy.prepare({
      path,
      parameters: this.#parameters!,
      rosArguments,
      name,
      record,
      segment,
      mqtt,
      ...(deliver && { deliver }),
      guard,
      waiting: (reasons) => {
        if (reasons !== said) say(`waiting for the robot: ${reasons}`);
        said = reasons;
      },
      signal: over.signal,
    });
  }

  async #serve(policy: ServedPolicy, path: string, before?: ServedPolicy): Promise<string> {
    this.#served = policy;
    const { loop } = policy;
    try {
      this.result = (await policy.begin(before)) ?? this.result;
    } catch (error) {
      await this.#release();
      throw error;
    }
    this.#options.served?.(loop.view);
    loop.ended.catch((error) => {
      this.failure ??= { error };
      this.#options.over.abort();
    });
    this.#stage = 'inactive';
    return `serving '${path}' at ${loop.view.rateHz} Hz, the policy waits to be activated`;
  }

  async #release(): Promise<void> {
    const served = this.#served;
    if (!served) return;
    this.#served = undefined;
    this.#stage = 'unconfigured';
    this.result = await served.stop();
  }

  /** What the node shows. */
  state(): ManagementState {
    const state = this.#served?.state() ?? {
      policy: null,
      loop: null,
      sensors: [],
      commands: [],
      conflicts: [],
    };
    // A fault takes the policy away, and rearming does not give it back.
    if (this.#stage === 'active' && state.loop?.mode !== 'policy') this.#stage = 'inactive';
    return { stage: this.#stage, ...state, stop: this.#options.guard.stop.state() };
  }
}
