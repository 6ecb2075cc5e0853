// Windows of the benchmark on ROS 2: one controller beside the robot that keeps time, and cyclictest beside ours.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { FarsightError, messageOf } from '../../contract/errors.js';
import { type HistogramSample, LatencyHistogram } from '../../contract/histogram.js';
import { type LoopReport, type LoopView, reportOf } from '../../contract/loop.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { jointsOf } from '../../contract/terms.js';
import { LOOP_PRIORITY } from '../../controller/realtime.js';
import { controlRos } from '../controlRos.js';
import { pause } from '../pause.js';
import { runCyclictest } from './cyclictest.js';
import type { EventLoopOptions } from './eventLoopController.js';
import type {
  FromLatencyRobot,
  LatencyRobotOptions,
  MeasuredLatency,
  ToLatencyRobot,
} from './latencyRobot.js';
import { type Condition, startNeighbour } from './load.js';

export interface WindowOptions {
  /** Path of a policy whose first action is its first observation. */
  policy: string;
  rateHz: number;
  condition: Condition;
  /** Of measuring. */
  seconds: number;
  /** Whether our loop aligns its ticks to the sensors. */
  align: boolean;
  /** Ends it early; its reason is thrown. */
  stop: AbortSignal;
}
/** What our loop did meanwhile, beside what the robot measured. */
export interface OurLatency extends MeasuredLatency, Pick<LoopReport, 'missed' | 'scheduling'> {
  wake: HistogramSample;
  /** Of a thread of cyclictest at the same time, at the same rate, and above the loop: that never keeps it waiting. */
  cyclictest: HistogramSample;
}

/** Seconds between the first answer and the measuring: compilers finish, an alignment finds its phase. */
const SETTLE = 3;
/** Seconds that a controller has to answer the first message. */
const ANSWER = 60;
const MANAGEMENT_GARBAGE = new URL('./managementGarbage.js', import.meta.url);

/** Measures `farsight control --robot ros2`. Garbage is made in its management process. */
export async function ourWindow(options: WindowOptions): Promise<OurLatency> {
  const { policy, rateHz, condition, seconds, align, stop } = options;
  return besideRobot(options, async (robot) => {
    let view: LoopView | undefined;
    const over = new AbortController();
    const { NODE_OPTIONS } = process.env;
    if (condition === 'garbage')
      process.env.NODE_OPTIONS = `${NODE_OPTIONS ?? ''} --import=${MANAGEMENT_GARBAGE}`;
    const ended = controlRos({
      policy,
      rateHz,
      rosArguments: [],
      signal: over.signal,
      alignTo: align ? 'sensors' : undefined,
      served: (loop) => {
        view = loop;
      },
    });
    try {
      const endedEarly = ended.then(() => {
        throw new FarsightError('the controller was ended before its time: run the benchmark again');
      });
      const failed = Promise.race([endedEarly, aborted(stop)]);
      await Promise.race([robot.answered(), failed]);
      await Promise.race([pause(SETTLE, stop), failed]);
      const [seen, wake] = [new LatencyHistogram(), new LatencyHistogram()];
      view!.histograms.wake.advance(seen, wake);
      const { missed } = reportOf(view!);
      // Not the loop's interval itself: else the two would meet in every tick or in none.
      const interval = Math.round(1e6 / rateHz) + 1;
      const yardstick = runCyclictest({ interval, seconds, priority: LOOP_PRIORITY + 1, stop });
      const measuring = Promise.all([robot.measure(seconds), yardstick]);
      const [measured, cyclictest] = await Promise.race([measuring, failed]);
      const { fault, scheduling, ...report } = reportOf(view!);
      if (fault !== 'none') throw new FarsightError(`the controller stopped the robot meanwhile: ${fault}`);
      view!.histograms.wake.advance(seen, wake);
      return {
        ...measured,
        wake: wake.sample(),
        cyclictest: cyclictest.wake.sample(),
        missed: report.missed - missed,
        scheduling,
      };
    } finally {
      over.abort();
      if (NODE_OPTIONS === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = NODE_OPTIONS;
      await ended.catch(() => {});
    }
  });
}

/** Measures the same policy on rclnodejs's event loop. Garbage is made on that. */
export async function eventLoopWindow(options: WindowOptions): Promise<MeasuredLatency> {
  const { policy, condition, seconds, stop } = options;
  return besideRobot(options, async (robot) => {
    const given: EventLoopOptions = { policy, garbage: condition === 'garbage' };
    const controller = start('./eventLoopController.js', given, 'the event-loop controller');
    const failed = Promise.race([controller.failed, aborted(stop)]);
    try {
      await Promise.race([robot.answered(), failed]);
      await Promise.race([pause(SETTLE, stop), failed]);
      return await Promise.race([robot.measure(seconds), failed]);
    } finally {
      await controller.end();
    }
  });
}

interface LatencyRobot {
  /** Resolves with the first answer; rejects when the robot fails, or none comes. */
  answered(): Promise<unknown>;
  measure(seconds: number): Promise<MeasuredLatency>;
}

/** Does `work` while a robot of its own publishes, and a neighbour computes if one is wanted. */
async function besideRobot<Result>(
  { policy, rateHz, condition }: WindowOptions,
  work: (robot: LatencyRobot) => Promise<Result>,
): Promise<Result> {
  const { manifest } = readPolicyFile(policy);
  const given: LatencyRobotOptions = { joints: jointsOf(manifest), commands: manifest.action.length, rateHz };
  const robot = start('./latencyRobot.js', given, 'the robot');
  const endNeighbour = condition === 'neighbour' ? startNeighbour() : () => {};
  const over = new AbortController();
  const heard = <Kind extends FromLatencyRobot['kind']>(kind: Kind, seconds: number) => {
    const message = new Promise<Extract<FromLatencyRobot, { kind: Kind }>>((resolve, reject) =>
      robot.child.on('message', (message: FromLatencyRobot) => {
        if (message.kind === kind) resolve(message as Extract<FromLatencyRobot, { kind: Kind }>);
        else if (message.kind === 'failed') reject(new FarsightError(`the robot: ${message.message}`));
      }),
    );
    const late = pause(seconds, over.signal).then(() => {
      throw new FarsightError(`the robot was not ${kind} in ${seconds} s`);
    });
    return Promise.race([message, robot.failed, late]);
  };
  const tell = (message: ToLatencyRobot) => robot.child.send(message);
  try {
    return await Promise.race([
      robot.failed,
      work({
        answered: () => heard('answered', ANSWER),
        async measure(seconds) {
          tell('begin');
          await Promise.race([pause(seconds, over.signal), robot.failed]);
          over.signal.throwIfAborted();
          const measured = heard('measured', ANSWER);
          tell('end');
          return measured;
        },
      }),
    ]);
  } finally {
    over.abort();
    endNeighbour();
    await robot.end();
  }
}

/** Rejects with the reason of `stop`. */
function aborted(stop: AbortSignal): Promise<never> {
  // One that goes with the window, and its listener with it.
  const own = AbortSignal.any([stop]);
  return new Promise((_, reject) => {
    if (own.aborted) reject(own.reason);
    else own.addEventListener('abort', () => reject(own.reason), { once: true });
  });
}

/** A process of the benchmark's; `failed` rejects when it ends by itself. */
function start(file: string, options: object, what: string) {
  const child: ChildProcess = fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(options)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: [],
    // A terminal's Ctrl-C is for the benchmark, which then ends it.
    detached: true,
  });
  let said = '';
  child.stderr!.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-500);
  });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let ending = false;
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (error) => reject(new FarsightError(`${what} does not start: ${messageOf(error)}`)));
    child.once('close', () => {
      if (!ending) reject(new FarsightError(`${what} ended: ${said.trim() || 'without a word'}`));
    });
  });
  // Told to whoever awaits it.
  failed.catch(() => {});
  return {
    child,
    failed,
    end(): Promise<void> {
      ending = true;
      child.kill('SIGKILL');
      return gone;
    },
  };
}
