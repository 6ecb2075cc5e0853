// farsight control: runs a policy on a robot in real time and shows what the loop's time went to.
import { rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { makeDirectory } from '../../contract/directory.js';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import type { Fault } from '../../contract/loop.js';
import { firstFinding } from '../../contract/schemaErrors.js';
import { robotNameSchema } from '../../contract/telemetry.js';
import { askedBy, writeWhole } from '../../contract/wholeFile.js';
import { INTERPOLATIONS, type Interpolation } from '../../controller/shaping.js';
import { BROKER_CONFIG_HELP, type BrokerFlags, brokerOf } from '../brokerFlags.js';
import { command, execute, parse, say } from '../command.js';
import type { ControlOptions, ControlResult, Operator } from '../control.js';
import type { DeliveryOptions } from '../delivery.js';
import { isForeground } from '../foreground.js';
import { statusLine, summary } from '../latencySummary.js';
import { LiveView, liveLines } from '../liveView.js';
import { parseRosArguments } from '../rosArguments.js';
import { onStopSignal } from '../signals.js';

interface Options extends BrokerFlags {
  policy?: string;
  robot: 'sim' | 'ros2';
  robotMap?: string;
  wait?: boolean;
  rosArgs: string[];
  state?: string;
  blend?: number;
  interpolate?: Interpolation;
  alignTo?: 'sensors';
  core?: number;
  task?: string;
  rate?: number;
  duration?: number;
  name?: string;
  record?: string;
  segment?: number;
  report?: string;
  deliver?: string;
  trust?: string;
  slots?: string;
  poll?: number;
  shadow?: number;
  handover?: number;
  health?: number;
  seed: number;
  fault?: string[];
  json?: boolean;
}

/** Where the output is no terminal, seconds between two lines. */
const PLAIN_EVERY = 5;

export function controlCommand() {
  return command(
    'control',
    'run a policy on a robot in real time',
    'farsight control --policy runs/hopper/policy.onnx --robot sim --rate 500 --duration 60 --record recordings',
  )
    .option('--policy <file>', 'the policy file')
    .addOption(
      new Option('--robot <which>', 'the simulated robot, or one behind ROS 2')
        .choices(['sim', 'ros2'])
        .default('sim'),
    )
    .option('--task <name>', "refuse a policy for another task; for a task of your own, its file's path")
    .option(
      '--rate <hz>',
      "rate of the loop, a whole multiple of the policy's (default: the one nearest to 500)",
      parse.positiveNumber,
    )
    .option('--duration <seconds>', 'stop after this time (default: on Ctrl-C)', parse.positiveNumber)
    .option(
      '--name <robot>',
      "the robot's name in recordings and telemetry (default: the host name)",
      robotName,
    )
    .option(
      '--record <directory>',
      'record to MCAP files there: every policy step, gap and reset, and the ticks where mode, fault, flags or command change',
    )
    .option(
      '--segment <seconds>',
      'with --record: begin another file after so long; only files that are whole are uploaded (default: 120)',
      parse.positiveNumber,
    )
    .option('--report <file>', 'write what --json prints to this file, too')
    .option(
      '--mqtt <broker>',
      "publish telemetry to a broker's URL such as mqtt://localhost, or 'embedded': a broker in this process, for this computer alone",
    )
    .option('--mqtt-config <file>', BROKER_CONFIG_HELP)
    .option(
      '--deliver <url>',
      "run what 'farsight deliver' publishes there: tried, and rolled back when worse",
    )
    .option(
      '--trust <file>',
      'of the repository, its root metadata, which a person brought (docs/deliver.md)',
    )
    .option('--slots <directory>', 'where delivered policies are; the good one is served after a restart')
    .option(
      '--poll <seconds>',
      'look there so often; what is announced over MQTT is looked at at once (default: 60)',
      parse.positiveNumber,
    )
    .option(
      '--shadow <seconds>',
      'compute a delivered policy beside the acting one for so long (default: 10; 0: without)',
      parse.nonNegativeNumber,
    )
    .option(
      '--handover <seconds>',
      "time from the acting policy's commands to the delivered one's (default: 2)",
      parse.nonNegativeNumber,
    )
    .option(
      '--health <seconds>',
      'time that a delivered policy is on trial after that (default: 30)',
      parse.positiveNumber,
    )
    .option('--seed <n>', "seed of the simulated robot's start states", parse.seed, 1)
    .option(
      '--fault <fault=value>',
      "what is wrong with the simulated robot, such as mass=1.33; repeatable, 'farsight robot --help' lists them",
      parse.several,
    )
    .option('--core <n>', "the processor that the loop's thread stays on, such as an isolated one", processor)
    .option(
      '--state <directory>',
      'keep a latched fault there: after a restart it is still latched, until a person rearms',
    )
    .option(
      '--blend <seconds>',
      "time from the held command to the policy's after activation, and back (default: what the policy file says)",
      parse.nonNegativeNumber,
    )
    .addOption(
      new Option(
        '--interpolate <how>',
        "between the actions of a policy slower than the loop: 'hold' the last, or go to the newest in a line, one step later (default: hold)",
      ).choices(INTERPOLATIONS),
    )
    .addOption(
      new Option(
        '--align-to <what>',
        "ROS 2: 'sensors' shifts the ticks slowly to just after the sensors' messages and waits a little for late ones, for sensors at the loop's rate or a whole multiple or fraction of it (default: a fixed grid)",
      ).choices(['sensors']),
    )
    .option(
      '--robot-map <file>',
      'ROS 2: the YAML file that says which topic carries which joint (default: joint_states, forward_command_controller/commands)',
    )
    .option('--wait', 'ROS 2: configure and activate only when asked to, by a launch file or ros2 lifecycle')
    .addOption(
      new Option('--ros-args <arguments...>', 'ROS 2: its own arguments, up to -- or the end')
        .argParser(parseRosArguments)
        .default([], 'none'),
    )
    .action((options: Options) =>
      execute(
        options.json,
        () => run(options),
        (result) => console.log(summary(result)),
        (result) => result.fault === 'none',
      ),
    );
}

async function run(options: Options) {
  const onRos = options.robot === 'ros2';
  checkTogether(options, onRos);
  if (options.report) prepareReport(options.report);
  const stop = new AbortController();
  const releaseSignals = onStopSignal(() => stop.abort());
  const ours = isForeground();
  const live = process.stderr.isTTY && ours ? new LiveView(process.stderr) : undefined;
  let operator: Operator | undefined;
  const releaseKeys = process.stdin.isTTY && ours ? takeTerminal() : undefined;
  const keys = (pressed: string) => {
    for (const key of pressed) {
      if (key === 'q' || key === '\x03') stop.abort();
      else if (key === 'r') operator?.rearm();
      else if (key === 'a') operator?.activate();
      else if (key === 'h') operator?.deactivate();
    }
  };
  const started = (handle: Operator, rateHz: number) => {
    operator = handle;
    const end = options.duration === undefined ? 'until Ctrl-C' : `for ${options.duration} s`;
    const robot = onRos ? 'the robot behind ROS 2' : 'the simulated robot';
    if (rateHz > 0) say(`running '${options.policy}' on ${robot} at ${rateHz} Hz ${end}`);
    if (releaseKeys) say('keys: space emergency stop, r rearm, a activate, h hold, q stop');
  };
  let shown = 0;
  let faultShown: Fault = 'none';
  const watch: ControlOptions['watch'] = (report, seconds, sensors) => {
    if (report.fault !== faultShown && report.fault !== 'none') {
      say(`${report.mode}: ${report.fault}; the robot is told to damp until it is rearmed`);
    }
    faultShown = report.fault;
    if (live) live.show(liveLines(report, seconds, sensors));
    else if (seconds - shown >= PLAIN_EVERY) {
      shown = seconds;
      say(statusLine(report, seconds));
    }
  };
  try {
    const { policy, rate: rateHz, blend: blendTime, interpolate: interpolation, state, rosArgs } = options;
    const common = {
      ...options,
      mqtt: brokerOf(options),
      rateHz,
      blendTime,
      interpolation,
      stateDirectory: state,
      deliver: deliveryOf(options),
      faults: options.fault,
    };
    const run = { ...common, signal: stop.signal, started, watch, ...(releaseKeys && { keys }) };
    const result = onRos
      ? await (await import('../controlRos.js')).controlRos({ ...run, rosArguments: rosArgs })
      : await (await import('../control.js')).control({ ...run, policy: policy as string });
    if (options.report) writeReport(options.report, result);
    return result;
  } finally {
    releaseKeys?.();
    live?.clear();
    releaseSignals();
  }
}

/** Flags that want each other. */
function checkTogether(options: Options, onRos: boolean): void {
  const { policy, wait, robotMap, alignTo, rosArgs, fault, record, segment } = options;
  if (segment !== undefined && record === undefined)
    throw new UsageError('--segment: goes with --record <directory>');
  if (!policy && !(onRos && (wait || rosArgs.length > 0))) {
    throw new UsageError("--policy <file> is missing; with '--robot ros2' the parameter policy may name it");
  }
  if (onRos && fault)
    throw new UsageError("--fault: goes with '--robot sim'; a robot of its own has 'farsight robot --set'");
  if (onRos) return;
  const given = [
    wait && '--wait',
    robotMap && '--robot-map',
    alignTo && '--align-to',
    rosArgs.length > 0 && '--ros-args',
  ];
  const stray = given.find((flag) => flag);
  if (stray) throw new UsageError(`${stray}: goes with '--robot ros2'`);
}

/** Throws a `UsageError` for flags of a delivery that lack each other. */
function deliveryOf({
  deliver,
  trust,
  slots,
  poll,
  shadow,
  handover,
  health,
}: Options): DeliveryOptions | undefined {
  if (deliver === undefined) {
    const stray = Object.entries({ trust, slots, poll, shadow, handover, health }).find(
      ([, value]) => value !== undefined,
    );
    if (stray) throw new UsageError(`--${stray[0]}: goes with --deliver <url>`);
    return undefined;
  }
  if (trust === undefined || slots === undefined)
    throw new UsageError('--deliver: wants --trust <root metadata> and --slots <directory> beside it');
  const times = { poll: poll ?? 60, shadow: shadow ?? 10, blend: handover ?? 2, health: health ?? 30 };
  return { url: deliver, root: trust, slots, ...times };
}

function processor(text: string): number {
  const core = parse.integer(text);
  if (core < 0 || core > 1023) throw new InvalidArgumentError('wants the number of a processor, from 0.');
  return core;
}

function robotName(text: string): string {
  const parsed = robotNameSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`${firstFinding(parsed.error).message}.`);
  return parsed.data;
}

/** Keys come one by one from now on, for the guard's thread to read. Returns how to give the terminal back. */
function takeTerminal(): () => void {
  process.stdin.setRawMode(true);
  return () => void process.stdin.setRawMode(false);
}

/** Finds out before the run whether the report can be written after it. */
function prepareReport(path: string): void {
  try {
    makeDirectory(dirname(path));
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new Error('it is a directory');
  } catch (error) {
    throw new FarsightError(`--report '${path}' cannot be written: ${messageOf(error)}`);
  }
  const trial = `${path}.tmp`;
  askedBy('--report', () => writeWhole(trial, ''));
  rmSync(trial);
}

function writeReport(path: string, result: ControlResult): void {
  askedBy('--report', () => writeWhole(path, `${JSON.stringify(result, null, 2)}\n`));
}
