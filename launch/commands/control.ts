// farsight control: runs a policy on a robot in real time and shows what the loop's time went to.
import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { makeDirectory } from '../../contract/directory.js';
import { FarsightError, messageOf, UsageError } from '../../contract/errors.js';
import type { Fault, LoopReport } from '../../contract/loop.js';
import { robotNameSchema } from '../../contract/telemetry.js';
import type { LoopHandle } from '../../controller/controller.js';
import { command, execute, parse, say } from '../command.js';
import type { ControlResult } from '../control.js';
import { statusLine, summary } from '../latencySummary.js';

interface Options {
  policy: string;
  robot: 'sim' | 'ros2';
  task?: string;
  rate?: number;
  duration?: number;
  name?: string;
  record?: string;
  report?: string;
  mqtt?: string;
  seed: number;
  json?: boolean;
}

/** Where the output is no terminal, seconds between two lines. */
const PLAIN_EVERY = 5;
/** The last is a terminal that went away. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function controlCommand() {
  return command(
    'control',
    'run a policy on a robot in real time',
    'farsight control --policy runs/hopper/policy.onnx --robot sim --rate 500 --duration 60 --record recordings',
  )
    .requiredOption('--policy <file>', 'the policy file')
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
    .option('--report <file>', 'write what --json prints to this file, too')
    .option(
      '--mqtt <broker>',
      "publish telemetry to a broker's URL such as mqtt://localhost, or 'embedded': a broker in this process, for this computer alone",
    )
    .option('--seed <n>', "seed of the simulated robot's start states", parse.integer, 1)
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
  if (options.robot === 'ros2') {
    throw new UsageError(
      '--robot ros2: the ROS 2 node is not part of this version yet; --robot sim runs the simulated robot',
    );
  }
  if (options.report) prepareReport(options.report);
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  // Once: a second Ctrl-C ends the process at once.
  for (const signal of SIGNALS) process.once(signal, onSignal);
  const { control } = await import('../control.js');
  const live = process.stderr.isTTY;
  let releaseKeys = () => {};
  const started = (loop: LoopHandle) => {
    const end = options.duration === undefined ? 'until Ctrl-C' : `for ${options.duration} s`;
    say(`running '${options.policy}' on the simulated robot at ${loop.view.rateHz} Hz ${end}`);
    if (process.stdin.isTTY) releaseKeys = listenToKeys(loop, onSignal);
  };
  let shown = 0;
  let faultShown: Fault = 'none';
  const watch = (report: LoopReport, seconds: number) => {
    if (report.fault !== faultShown && report.fault !== 'none') {
      if (live) process.stderr.write('\x1b[K');
      say(`${report.mode}: ${report.fault}; the robot is told to damp until it is rearmed`);
    }
    faultShown = report.fault;
    const line = statusLine(report, seconds);
    const ended = stop.signal.aborted || seconds >= (options.duration ?? Number.POSITIVE_INFINITY);
    // The cursor goes back to the line's start, so that a line of the log takes its place.
    if (live) process.stderr.write(`${ended ? '' : line.slice(0, process.stderr.columns - 1)}\x1b[K\r`);
    else if (seconds - shown >= PLAIN_EVERY) {
      shown = seconds;
      say(line);
    }
  };
  try {
    const result = await control({ ...options, rateHz: options.rate, signal: stop.signal, started, watch });
    if (options.report) writeReport(options.report, result);
    return result;
  } finally {
    releaseKeys();
    if (live) process.stderr.write('\x1b[K');
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

function robotName(text: string): string {
  const parsed = robotNameSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`${parsed.error.issues[0].message}.`);
  return parsed.data;
}

/** Makes the terminal's keys the operator's. Returns how to give them back. */
function listenToKeys(loop: LoopHandle, stop: () => void): () => void {
  say('keys: space emergency stop, r rearm, a activate, h hold, q stop');
  const act: Record<string, () => void> = {
    ' ': loop.emergencyStop,
    r: loop.rearm,
    a: loop.activate,
    h: loop.deactivate,
    q: stop,
    '\x03': stop,
  };
  const onKey = (keys: Buffer) => {
    for (const key of keys.toString()) act[key]?.();
  };
  process.stdin.setRawMode(true).on('data', onKey).resume();
  return () => {
    process.stdin.off('data', onKey).setRawMode(false).pause();
  };
}

/** Finds out before the run whether the report can be written after it. */
function prepareReport(path: string): void {
  try {
    makeDirectory(dirname(path));
    const aside = asideOf(path);
    writeFileSync(aside, '');
    rmSync(aside);
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new Error('it is a directory');
  } catch (error) {
    throw new FarsightError(`--report '${path}' cannot be written: ${messageOf(error)}`);
  }
}

const asideOf = (path: string) => `${path}.${process.pid}.tmp`;

/** Through a file beside it: a crash leaves the old report or the new one, never a part. */
function writeReport(path: string, result: ControlResult): void {
  const aside = asideOf(path);
  try {
    writeFileSync(aside, `${JSON.stringify(result, null, 2)}\n`);
    renameSync(aside, path);
  } catch (error) {
    throw new FarsightError(`--report '${path}' cannot be written: ${messageOf(error)}`);
  }
}
