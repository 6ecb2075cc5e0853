// The control process's side of the management process: starts it, hears it, answers it, and starts it anew when it dies.
import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { FarsightError, messageOf } from '../../../contract/errors.js';
import {
  type Answer,
  type Ask,
  type ManagementState,
  type ToManagement,
  toControlSchema,
} from './messages.js';
import type { ManagementParameters } from './parameters.js';

/**
 * What a person may ask of the controller. Each returns a line for the person when it is done, or throws a
 * `FarsightError` that says why it is refused, in which case nothing has changed; any other error means that it went
 * wrong halfway: the robot is stopped and the controller unconfigured. One is asked at a time, but for
 * `emergencyStop`, which may come at any moment.
 */
export interface ManagementHandlers {
  /** Load, verify and warm the policy; the loop holds afterwards. */
  configure(parameters: ManagementParameters): Promise<string>;
  activate(): Promise<string>;
  deactivate(): Promise<string>;
  /** Ends the loop, safely. */
  cleanup(): Promise<string>;
  /** The end of the controller, from any stage. */
  shutdown(): Promise<string>;
  emergencyStop(reason: string): Promise<string>;
  rearm(): Promise<string>;
  /** Serves another policy file from now on. */
  swapPolicy(path: string): Promise<string>;
}

export interface ManagementOptions {
  /** `--ros-args …` as ROS 2 has it, for remappings, namespace and parameters; or empty. */
  rosArguments: readonly string[];
  /** The robot's name, the hardware id in diagnostics. */
  robot: string;
  /** What the command line says of the parameters; ROS's own ways of giving them come first. */
  defaults: Partial<ManagementParameters>;
  handlers: ManagementHandlers;
  /** Told the node's parameters, at first and whenever one changes. */
  parameters?: (values: ManagementParameters) => void;
  /** The controller's state, asked for ten times a second. */
  state: () => ManagementState;
  /** Called at once when the management process died or gives no sign of life: bring the robot to its safe mode. */
  lost: (reason: string) => void;
  /** Lines for the operator, the management process's own among them. */
  log: (line: string) => void;
}

export interface ManagementHandle {
  /** The node's parameters as they are. */
  readonly parameters: ManagementParameters;
  /** Says something in the node's log, and so on /rosout. */
  event(level: 'info' | 'warn' | 'error', text: string): void;
  /** Ends the management process. */
  stop(): Promise<void>;
}

const STATE_MS = 100;
const WATCH_MS = 50;
/** Until the node is up. */
const START_MS = 60_000;
/** For a process that was told to stop. */
const STOP_MS = 3000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** A process that lived this long was healthy. */
const HEALTHY_MS = 30_000;
const PROCESS = fileURLToPath(new URL('./process.js', import.meta.url));

/**
 * Starts the management process and resolves when its node is up. Throws a `FarsightError` that names what is missing
 * when there is no ROS 2 or no rclnodejs, or when ROS refuses the arguments.
 */
export async function startManagement(options: ManagementOptions): Promise<ManagementHandle> {
  const management = new Management(options);
  await management.started;
  return management;
}

class Management implements ManagementHandle {
  readonly started: Promise<void>;
  readonly #options: ManagementOptions;
  readonly #timers: NodeJS.Timeout[];
  #settleStarted: { resolve: () => void; reject: (error: Error) => void };
  #child!: ChildProcess;
  #ready = false;
  #readyOnce = false;
  #stopping = false;
  #parameters: ManagementParameters | undefined;
  #bornAt = 0;
  #heardAt = 0;
  #watchedAt = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #respawn: NodeJS.Timeout | undefined;
  /** The state before is still on its way to the process. */
  #stateUnderWay = false;
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: ManagementOptions) {
    this.#options = options;
    let settle!: { resolve: () => void; reject: (error: Error) => void };
    this.started = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.#settleStarted = settle;
    this.#timers = [
      setInterval(() => this.#sendState(), STATE_MS),
      setInterval(() => this.#watch(), WATCH_MS),
    ];
    this.#spawn();
  }

  /** Known once the node is up. */
  get parameters(): ManagementParameters {
    return this.#parameters!;
  }

  event(level: 'info' | 'warn' | 'error', text: string): void {
    this.#send({ kind: 'event', level, text });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#timers.forEach(clearInterval);
    clearTimeout(this.#respawn);
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    this.#send({ kind: 'stop' });
    const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(kill);
  }

  #spawn(): void {
    const child = fork(PROCESS, [], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
      execArgv: [],
    });
    this.#child = child;
    this.#ready = false;
    this.#stateUnderWay = false;
    this.#bornAt = this.#heardAt = this.#watchedAt = performance.now();
    for (const stream of [child.stdout!, child.stderr!])
      createInterface({ input: stream }).on('line', this.#options.log);
    child.on('message', (message) => child === this.#child && this.#hear(message));
    child.once('error', (error) => this.#options.log(`management process: ${error.message}`));
    child.once('exit', (code, signal) => child === this.#child && this.#ended(signal ?? `code ${code}`));
    const { rosArguments, defaults, robot } = this.#options;
    const values = this.#parameters ?? null;
    this.#send({ kind: 'start', rosArguments: [...rosArguments], defaults: { ...defaults }, values, robot });
  }

  #hear(message: unknown): void {
    this.#heardAt = performance.now();
    const parsed = toControlSchema.safeParse(message);
    if (!parsed.success) {
      this.#options.log(`management process: not understood: ${messageOf(parsed.error)}`);
      return;
    }
    const heard = parsed.data;
    if (heard.kind === 'parameters') {
      this.#parameters = heard.parameters;
      this.#options.parameters?.(heard.parameters);
    } else if (heard.kind === 'ready') {
      if (this.#readyOnce) this.#options.log(`node ${heard.node} is back`);
      this.#ready = this.#readyOnce = true;
      this.#settleStarted.resolve();
    } else if (heard.kind === 'unable') {
      if (this.#readyOnce) this.#options.log(`management process: ${heard.reason}`);
      else this.#giveUp(heard.reason);
    } else if (heard.kind === 'request') {
      const { id, ask } = heard;
      const child = this.#child;
      this.#answer(ask).then((answer) => {
        // A process that was started since counts its requests anew.
        if (child === this.#child) this.#send({ kind: 'answer', id, ...answer });
      });
    }
  }

  /** In the order in which they came; an emergency stop at once. */
  #answer(ask: Ask): Promise<Answer> {
    if (ask.kind === 'emergencyStop') return this.#do(ask);
    const answer = this.#work.then(() => this.#do(ask));
    this.#work = answer;
    return answer;
  }

  async #do(ask: Ask): Promise<Answer> {
    const { handlers, log } = this.#options;
    try {
      return { outcome: 'success', message: await perform(handlers, ask) };
    } catch (error) {
      const message = messageOf(error);
      const refused = error instanceof FarsightError;
      log(`${ask.kind}: ${refused ? '' : 'went wrong: '}${message}`);
      return { outcome: refused ? 'failure' : 'error', message };
    }
  }

  #sendState(): void {
    if (!this.#ready || this.#stateUnderWay) return;
    this.#stateUnderWay = true;
    const child = this.#child;
    this.#send({ kind: 'state', state: this.#options.state() }, () => {
      if (child === this.#child) this.#stateUnderWay = false;
    });
  }

  /** A process that hangs is a dead one. While this thread itself was held up, nobody could be heard. */
  #watch(): void {
    const now = performance.now();
    const heldUp = now - this.#watchedAt > 4 * WATCH_MS;
    this.#watchedAt = now;
    if (heldUp) {
      this.#heardAt = now;
      return;
    }
    const silence = now - this.#heardAt;
    const longest = this.#ready ? 1000 * this.parameters.heartbeat_timeout : START_MS;
    if (silence > longest) {
      this.#heardAt = now;
      if (this.#ready) this.#lost(`no sign of life for ${(silence / 1000).toFixed(1)} s`);
      this.#child.kill('SIGKILL');
    }
  }

  #ended(how: string): void {
    if (this.#stopping) return;
    if (!this.#readyOnce) {
      this.#giveUp(`it ended by ${how} before its node was up`);
      return;
    }
    if (this.#ready) this.#lost(`ended by ${how}`);
    if (performance.now() - this.#bornAt > HEALTHY_MS) this.#pauseMs = FIRST_PAUSE_MS;
    this.#respawn = setTimeout(() => this.#spawn(), this.#pauseMs);
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs);
  }

  #lost(reason: string): void {
    this.#ready = false;
    this.#options.lost(reason);
    this.#options.log(`the management process is lost (${reason}); it is started anew`);
  }

  #giveUp(reason: string): void {
    this.#settleStarted.reject(new FarsightError(`the ROS 2 node cannot start: ${reason}`));
    void this.stop();
  }

  #send(message: ToManagement, done: () => void = () => {}): void {
    if (this.#child.connected) this.#child.send(message, done);
    else done();
  }
}

function perform(handlers: ManagementHandlers, ask: Ask): Promise<string> {
  if (ask.kind === 'configure') return handlers.configure(ask.parameters);
  if (ask.kind === 'emergencyStop') return handlers.emergencyStop(ask.reason);
  if (ask.kind === 'swapPolicy') return handlers.swapPolicy(ask.path);
  return handlers[ask.kind]();
}
