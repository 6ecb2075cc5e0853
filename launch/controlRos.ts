// Runs a policy in real time on a robot behind ROS 2: the loop with its topics, and the node through which people ask.
import { FarsightError } from '../contract/errors.js';
import { LatencyHistogram } from '../contract/histogram.js';
import { type LoopStatus, type LoopView, loopWords, perPhase, reportOf, statusOf } from '../contract/loop.js';
import { TraceRing } from '../contract/sharedMemory.js';
import { robotNameOf } from '../contract/telemetry.js';
import type { LoopOptions } from '../controller/controller.js';
import type { Stage } from '../controller/ros/lifecycle.js';
import { type ManagementHandlers, startManagement } from '../controller/ros/management.js';
import type { ManagementState } from '../controller/ros/managementMessages.js';
import type { ManagementParameters } from '../controller/ros/managementParameters.js';
import { say } from './command.js';
import { type ControlOptions, type ControlResult, pause } from './control.js';
import { readServedPolicy, ServedPolicy } from './servedPolicy.js';

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
  #stage: Stage = 'unconfigured';
  #served: ServedPolicy | undefined;
  #parameters: ManagementParameters | undefined;
  #result: ControlResult | undefined;
  #activatedAt: number | undefined;
  #failure: { error: unknown } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #stopManagement: () => Promise<void> = async () => {};

  constructor(options: ControlRosOptions) {
    this.#options = options;
    this.#name = options.name ?? robotNameOf();
  }

  async run(): Promise<ControlResult> {
    const { policy, task, rateHz, robotMap, stateDirectory, interpolation, alignTo, blendTime, core, wait } =
      this.#options;
    const management = await startManagement({
      rosArguments: this.#options.rosArguments,
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
      handlers: this,
      state: () => this.#state(),
      lost: () => this.#served?.loop.trip('management lost'),
      log: say,
    });
    this.#stopManagement = () => management.stop();
    const { signal, started } = this.#options;
    signal?.addEventListener('abort', () => this.#over.abort());
    if (signal?.aborted) this.#over.abort();
    if (!wait) {
      say(await this.configure(management.parameters));
      // A fault that is still latched waits here for whoever rearms; a timed run has nobody to wait for.
      await this.activate().then(say, (error: Error) => {
        if (this.#options.duration !== undefined) throw error;
        say(error.message);
      });
    } else say('waiting to be configured and activated over ROS 2');
    const told = (work: Promise<string>) => void work.then(say, (error: Error) => say(error.message));
    started?.(
      {
        activate: () => told(this.activate()),
        deactivate: () => told(this.deactivate()),
        emergencyStop: () => told(this.emergencyStop('key')),
        rearm: () => told(this.rearm()),
      },
      this.#served?.loop.view.rateHz ?? 0,
    );
    await this.#watchOver();
    await this.#inTurn(() => this.#release());
    if (this.#failure) throw this.#failure.error;
    return this.#result ?? { ...nothingRan(), policyRateHz: 0 };
  }

  /** Ends what still runs, the node last. */
  async end(): Promise<void> {
    try {
      await this.#inTurn(() => this.#release());
    } finally {
      await this.#stopManagement();
    }
  }

  configure(parameters: ManagementParameters): Promise<string> {
    return this.#inTurn(async () => {
      if (this.#served) throw new FarsightError('a policy is configured already: clean up first');
      this.#parameters = parameters;
      return this.#serve(parameters.policy);
    });
  }

  activate(): Promise<string> {
    return this.#inTurn(async () => {
      const { loop } = this.#need();
      await this.#await(
        () => statusOf(loop.view).mode !== 'inactive',
        'no sensors: every sensor topic of the robot map, and its emergency stop topic, must be heard first',
      );
      const { mode, fault } = statusOf(loop.view);
      if (mode === 'damping' || mode === 'fault')
        throw new FarsightError(`${mode}: ${fault}; look at the robot, then rearm`);
      loop.activate();
      await this.#await(() => statusOf(loop.view).mode !== 'hold', 'the loop does not take up the policy');
      const now = statusOf(loop.view);
      if (now.mode !== 'policy') throw new FarsightError(`${now.mode}: ${now.fault}`);
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
    const { loop } = this.#need();
    loop.emergencyStop();
    say(`emergency stop: ${reason}`);
    await this.#await(() => isLatched(statusOf(loop.view)), 'the loop does not answer');
    return 'the robot is told to damp until it is rearmed';
  }

  rearm(): Promise<string> {
    return this.#inTurn(async () => {
      const { loop } = this.#need();
      const before = statusOf(loop.view);
      if (!isLatched(before)) throw new FarsightError(`nothing to rearm: the mode is ${before.mode}`);
      loop.rearm();
      // A fault whose cause still holds latches again within a tick.
      await pause(0.1);
      const now = statusOf(loop.view);
      if (isLatched(now)) throw new FarsightError(`${now.fault} still holds: the robot stays in ${now.mode}`);
      return `rearmed after '${before.fault}': the robot is in ${now.mode}; activate to go on`;
    });
  }

  swapPolicy(path: string): Promise<string> {
    return this.#inTurn(async () => {
      if (this.#stage === 'active') throw new FarsightError('the policy acts: deactivate first');
      const served = this.#need();
      if (isLatched(statusOf(served.loop.view)))
        throw new FarsightError('a fault is latched: rearm before another policy is served');
      // Before the old one ends: a file that does not do changes nothing.
      readServedPolicy(path, this.#parameters!);
      await this.#release();
      return this.#serve(path);
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

  async #serve(path: string): Promise<string> {
    const { rosArguments, record, mqtt, served } = this.#options;
    const parameters = this.#parameters!;
    const name = this.#name;
    this.#served = await ServedPolicy.start({ path, parameters, rosArguments, name, record, mqtt });
    const { loop } = this.#served;
    served?.(loop.view);
    loop.ended.catch((error) => {
      this.#failure ??= { error };
      this.#over.abort();
    });
    this.#stage = 'inactive';
    return `serving '${path}' at ${loop.view.rateHz} Hz, the robot is held`;
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
    return { stage: this.#stage, ...state };
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

function isLatched({ mode }: LoopStatus): boolean {
  return mode === 'damping' || mode === 'fault';
}

/** The report of a controller that was never configured. */
function nothingRan() {
  const histograms = perPhase(() => new LatencyHistogram());
  return reportOf({ rateHz: 0, joints: [], words: loopWords(0), histograms, trace: new TraceRing(1, 1) });
}
