// Runs a policy in real time on a robot behind ROS 2: the loop with its topics, and the node through which people ask.
import { LatencyHistogram } from '../contract/histogram.js';
import { type LoopView, loopWords, perPhase, reportOf } from '../contract/loop.js';
import { robotNameOf } from '../contract/telemetry.js';
import type { LoopOptions } from '../controller/controller.js';
import { Guard } from '../controller/guard.js';
import { stopNode } from '../controller/ros/link/loopNode.js';
import { readRobotMap } from '../controller/ros/link/robotMap.js';
import { NODE_NAME } from '../controller/ros/management/node.js';
import type { ManagementParameters } from '../controller/ros/management/parameters.js';
import { type ManagementHandlers, startManagement } from '../controller/ros/management/startManagement.js';
import { autostart } from './autostart.js';
import { say } from './command.js';
import { type ControlOptions, type ControlResult, sayFound } from './control.js';
import type { OpenDelivery } from './delivery.js';
import { avoidSharedMemory } from './fastDds.js';
import { pause } from './pause.js';
import { Stages } from './rosStages.js';

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

/**
 * Runs π₀ on the robot behind ROS 2 until `signal`, the end of `duration` after the first activation, or a shutdown
 * over ROS. Whatever ends it, the last command is the safe one. Throws a `FarsightError` that names what is missing.
 */
export async function controlRos(options: ControlRosOptions): Promise<ControlResult> {
  avoidSharedMemory();
  const controller = new RosController(options);
  try {
    return await controller.run();
  } finally {
    await controller.end();
  }
}

class RosController {
  readonly #options: ControlRosOptions;
  readonly #name: string;
  readonly #over = new AbortController();
  /** Ended when a person takes the first configuration and activation into their own hands. */
  readonly #autostart = new AbortController();
  #guard!: Guard;
  /** The emergency stop's topic that the guard listens to, as JSON. */
  #stopTopic: string | undefined;
  #stages: Stages | undefined;
  #deliver: OpenDelivery | undefined;
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
    const { signal, started, rosArguments, keys, record, segment, mqtt, served } = this.#options;
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
    const { deliver } = this.#options;
    this.#deliver = deliver && (await import('./delivery.js')).openDelivery(deliver);
    const stages = new Stages({
      name: this.#name,
      record,
      segment,
      mqtt,
      ...(this.#deliver && { deliver: this.#deliver }),
      rosArguments,
      guard: this.#guard,
      over: this.#over,
      listen: (parameters) => this.#listen(parameters),
      pressed: (by) => this.#pressed(by),
      served,
    });
    this.#stages = stages;
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
      handlers: this.#handlers(stages),
      parameters: (values) => void this.#listen(values).catch((error: Error) => say(error.message)),
      state: () => stages.state(),
      lost: () => stages.loop?.trip('management lost'),
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
        activate: told(() => stages.activate()),
        deactivate: told(() => stages.deactivate()),
        emergencyStop: told(() => stages.emergencyStop('key')),
        rearm: told(() => stages.rearm()),
      },
      0,
    );
    if (wait) {
      say('waiting to be configured and activated over ROS 2');
    } else {
      await autostart({
        configure: () => stages.configure(parameters),
        activate: () => stages.activate(),
        loop: () => stages.loop?.view,
        timed: this.#options.duration !== undefined,
        signal: this.#autostart.signal,
      });
    }
    await this.#watchOver(stages);
    await stages.end();
    if (stages.failure) throw stages.failure.error;
    return stages.result ?? { ...nothingRan(), policyRateHz: 0 };
  }

  /** What peers ask ends the controller's own attempts to start. */
  #handlers(stages: Stages): ManagementHandlers {
    const asked = <Given extends unknown[]>(work: (...given: Given) => Promise<string>) => {
      return (...given: Given) => {
        this.#autostart.abort();
        return work.apply(stages, given);
      };
    };
    return {
      configure: asked(stages.configure),
      activate: asked(stages.activate),
      deactivate: asked(stages.deactivate),
      cleanup: asked(stages.cleanup),
      shutdown: asked(stages.shutdown),
      emergencyStop: (reason) => stages.emergencyStop(reason),
      rearm: () => stages.rearm(),
      swapPolicy: (path) => stages.swapPolicy(path),
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
      await this.#stages?.end();
    } finally {
      this.#deliver?.store.close();
      await this.#stopManagement();
      await this.#guard?.close();
    }
  }

  async #watchOver(stages: Stages): Promise<void> {
    const { duration = Infinity, watch } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      const { activatedAt, loop } = stages;
      const seconds = activatedAt === undefined ? 0 : (performance.now() - activatedAt) / 1000;
      if (seconds > 0.5 && loop) watch?.(reportOf(loop.view), seconds, stages.state().sensors);
      if (seconds >= duration) return;
      await pause(Math.min(1, duration - seconds), signal);
    }
  }
}

/** The report of a controller that was never configured. */
function nothingRan() {
  const histograms = perPhase(() => new LatencyHistogram());
  return reportOf({ rateHz: 0, joints: [], words: loopWords(0), histograms });
}
