// Runs a policy in real time on a robot behind ROS 2: the loop with its topics, and the node through which people ask.
import { FarsightError } from '../contract/errors.js';
import { LatencyHistogram } from '../contract/histogram.js';
import { isLatched, type LoopView, loopWords, perPhase, reportOf, statusOf } from '../contract/loop.js';
import { TraceRing } from '../contract/sharedMemory.js';
import { robotNameOf } from '../contract/telemetry.js';
import { type LoopOptions, STILL_PRESSED } from '../controller/controller.js';
import { Guard } from '../controller/guard.js';
import { stopNode } from '../controller/ros/link/loopNode.js';
import { readRobotMap } from '../controller/ros/link/robotMap.js';
import type { Stage } from '../controller/ros/management/lifecycle.js';
import type { ManagementState } from '../controller/ros/management/messages.js';
import { NODE_NAME } from '../controller/ros/management/node.js';
import type { ManagementParameters } from '../controller/ros/management/parameters.js';
import { type ManagementHandlers, startManagement } from '../controller/ros/management/startManagement.js';
import { autostart } from './autostart.js';
import { say } from './command.js';
import { type ControlOptions, type ControlResult, pause, sayFound } from './control.js';
import { ServedPolicy } from './servedPolicy.js';

export interface ControlRosOptions extends Omit<ControlOptions, 'policy' | 'seed'> {
  /** May also come from the parameter of that name. */
  policy?: string;
  /** Path of the robot map; the default map when left out. */
  robotMap?: string;
  alignTo?: LoopOptions['alignTo'];
  /** Configure and activate only when asked to over ROS 2. */
  wait?: boolean;
  /** `--ros-args …` */
  rosArguments: readonly string[];
  /** Called with each loop that serves a policy. */
  served?: (loop: LoopView) => void;
}

/** Between two lines about stops: a button that is held may say so a hundred times a second. */
const QUIET_MS = 1000;
/** Seconds in which the loop answers a request. */
const ANSWER = 1;

/**
 * Runs π₀ on the robot behind ROS 2 until `signal`, the end of `duration` after the first activation, or a shutdown
 * over ROS. Whatever ends it, the last command is the safe one. Throws a `FarsightError` that names what is missing.
 */
export async function controlRos(options: ControlRosOptions): Promise<ControlResult> {
  const controller = new RosController(options);
  try {
    return await controller.run();
  } finally {
    await controller.end();
  }
}

class RosController implements ManagementHandlers {
  readonly #options: ControlRosOptions;
  readonly #name: string;
  readonly #over = new AbortController();
  /** Ended when a person takes the first configuration and activation into their own hands. */
  readonly #autostart = new AbortController();
  #guard!: Guard;
  /** The emergency stop's topic that the guard listens to, as JSON. */
  #stopTopic: string | undefined;
  #stage: Stage = 'unconfigured';
  #served: ServedPolicy | undefined;
  #parameters: ManagementParameters | undefined;
  #result: ControlResult | undefined;
  #activatedAt: number | undefined;
  #failure: { error: unknown } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #stopManagement: () => Promise<void> = async () => {};
  #event: (text: string) => void = () => {};
  #pressedAt = -Infinity;

  constructor(options: ControlRosOptions) {
    this.#options = options;
    this.#name = options.name ?? robotNameOf();
  }

  async run(): Promise<ControlResult> {
    const { policy, task, rateHz, robotMap, stateDirectory, interpolation, alignTo, blendTime, core, wait } =
      this.#options;
    const { signal, started, rosArguments, keys } = this.#options;
    signal?.addEventListener('abort', () => this.#over.abort());
    if (signal?.aborted) this.#over.abort();
    this.#over.signal.addEventListener('abort', () => this.#autostart.abort());
    // Before all else: a stop must be heard from the first moment.
    this.#guard = await Guard.start({
      robot: this.#name,
      ros: stopNode(NODE_NAME, rosArguments),
      keys,
      pressed: (by) => this.#pressed(by),
    });
    const management = await startManagement({
      rosArguments,
      robot: this.#name,
      defaults: {
        ...(policy !== undefined && { policy }),
        ...(task !== undefined && { task }),
        ...(rateHz !== undefined && { rate: rateHz }),
        ...(robotMap !== undefined && { robot_map: robotMap }),
        ...(stateDirectory !== undefined && { state_directory: stateDirectory }),
        ...(interpolation !== undefined && { interpolation }),
        ...(alignTo !== undefined && { align_to: alignTo }),
        ...(blendTime !== undefined && { blend_time: blendTime }),
        ...(core !== undefined && { core }),
      },
      handlers: this.#handlers(),
      parameters: (values) => void this.#listen(values).catch((error: Error) => say(error.message)),
      state: () => this.#state(),
      lost: () => this.#served?.loop.trip('management lost'),
      log: say,
    });
    this.#stopManagement = () => management.stop();
    this.#event = (text) => management.event('warn', text);
    const { parameters } = management;
    const { state_directory: kept } = parameters;
    if (kept !== '') sayFound(await this.#guard.keep(kept));
    const told = (work: () => Promise<string>) => () =>
      void work().then(say, (error: Error) => say(error.message));
    started?.(
      {
        activate: told(() => this.activate()),
        deactivate: told(() => this.deactivate()),
        emergencyStop: told(() => this.emergencyStop('key')),
        rearm: told(() => this.rearm()),
      },
      0,
    );
    if (wait) {
      say('waiting to be configured and activated over ROS 2');
    } else {
      await autostart({
        configure: () => this.configure(parameters),
        activate: () => this.activate(),
        loop: () => this.#served?.loop.view,
        timed: this.#options.duration !== undefined,
        signal: this.#autostart.signal,
      });
    }
    await this.#watchOver();
    await this.#inTurn(() => this.#release());
    if (this.#failure) throw this.#failure.error;
    return this.#result ?? { ...nothingRan(), policyRateHz: 0 };
  }

  /** What peers ask ends the controller's own attempts to start. */
  #handlers(): ManagementHandlers {
    const asked = <Given extends unknown[]>(work: (...given: Given) => Promise<string>) => {
      return (...given: Given) => {
        this.#autostart.abort();
        return work.apply(this, given);
      };
    };
    return {
      configure: asked(this.configure),
      activate: asked(this.activate),
      deactivate: asked(this.deactivate),
      cleanup: asked(this.cleanup),
      shutdown: asked(this.shutdown),
      emergencyStop: (reason) => this.emergencyStop(reason),
      rearm: () => this.rearm(),
      swapPolicy: (path) => this.swapPolicy(path),
    };
  }

  /** Has the guard listen to the stop's topic of the robot map that the parameters name. */
  async #listen({ robot_map: path }: ManagementParameters): Promise<void> {
    const topic = path === '' ? undefined : readRobotMap(path).emergencyStop;
    const wanted = JSON.stringify(topic);
    if (wanted === this.#stopTopic) return;
    this.#stopTopic = wanted;
    await this.#guard.listen(topic);
  }

  #pressed(by: string): void {
    if (performance.now() - this.#pressedAt < QUIET_MS) return;
    this.#pressedAt = performance.now();
    say(`emergency stop: ${by}`);
    this.#event(`emergency stop: ${by}`);
  }

  /** Ends what still runs, the node last. */
  async end(): Promise<void> {
    try {
      await this.#inTurn(() => this.#release());
    } finally {
      await this.#stopManagement();
      await this.#guard?.close();
    }
  }

  configure(parameters: ManagementParameters): Promise<string> {
    return this.#inTurn(async () => {
      if (this.#served) throw new FarsightError('a policy is configured already: clean up first');
      this.#parameters = parameters;
      await this.#listen(parameters);
      return this.#serve(await this.#prepare(parameters.policy), parameters.policy);
    });
  }

  activate(): Promise<string> {
    return this.#inTurn(async () => {
      const { loop } = this.#need();
      await loop.activate();
      this.#stage = 'active';
      this.#activatedAt ??= performance.now();
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
    setTimeout(() => this.#over.abort(), 200);
    return message;
  }

  async emergencyStop(reason: string): Promise<string> {
    this.#guard.stop.press();
    this.#pressed(reason);
    const loop = this.#served?.loop;
    if (loop) await this.#await(() => isLatched(statusOf(loop.view).mode), 'the loop does not answer');
    return 'the emergency stop is set: the robot is stopped until it is rearmed';
  }

  rearm(): Promise<string> {
    return this.#inTurn(async () => {
      if (!this.#served) {
        const latched = await this.#guard.latched();
        if (latched === 'none') throw new FarsightError('nothing to rearm: no policy is configured');
        if (!(await this.#guard.rearm())) throw new FarsightError(STILL_PRESSED);
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
    const { rosArguments, record, mqtt } = this.#options;
    let said = '';
    return ServedPolicy.prepare({
      path,
      parameters: this.#parameters!,
      rosArguments,
      name: this.#name,
      record,
      mqtt,
      guard: this.#guard,
      waiting: (reasons) => {
        if (reasons !== said) say(`waiting for the robot: ${reasons}`);
        said = reasons;
      },
      signal: this.#over.signal,
    });
  }

  async #serve(policy: ServedPolicy, path: string, before?: ServedPolicy): Promise<string> {
    this.#served = policy;
    const { loop } = policy;
    try {
      this.#result = (await policy.begin(before)) ?? this.#result;
    } catch (error) {
      await this.#release();
      throw error;
    }
    this.#options.served?.(loop.view);
    loop.ended.catch((error) => {
      this.#failure ??= { error };
      this.#over.abort();
    });
    this.#stage = 'inactive';
    return `serving '${path}' at ${loop.view.rateHz} Hz, the policy waits to be activated`;
  }

  async #release(): Promise<void> {
    const served = this.#served;
    if (!served) return;
    this.#served = undefined;
    this.#stage = 'unconfigured';
    this.#result = await served.stop();
  }

  #state(): ManagementState {
    const state = this.#served?.state() ?? {
      policy: null,
      loop: null,
      sensors: [],
      commands: [],
      conflicts: [],
    };
    // A fault takes the policy away, and rearming does not give it back.
    if (this.#stage === 'active' && state.loop?.mode !== 'policy') this.#stage = 'inactive';
    return { stage: this.#stage, ...state, stop: this.#guard.stop.state() };
  }

  async #watchOver(): Promise<void> {
    const { duration = Infinity, watch } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      const seconds = this.#activatedAt === undefined ? 0 : (performance.now() - this.#activatedAt) / 1000;
      if (seconds > 0.5 && this.#served) {
        watch?.(reportOf(this.#served.loop.view), seconds, this.#state().sensors);
      }
      if (seconds >= duration) return;
      await pause(Math.min(1, duration - seconds), signal);
    }
  }
}

/** The report of a controller that was never configured. */
function nothingRan() {
  const histograms = perPhase(() => new LatencyHistogram());
  return reportOf({ rateHz: 0, joints: [], words: loopWords(0), histograms, trace: new TraceRing(1, 1) });
}
