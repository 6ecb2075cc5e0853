#!/usr/bin/env node
// The farsight command line: the list of its commands. Each is one file in commands/ and loads what it needs when run.
import { Command, CommanderError } from 'commander';
import { messageOf } from '../contract/errors.js';
import { benchCommand } from './commands/bench.js';
import { bridgeCommand } from './commands/bridge.js';
import { checkCommand } from './commands/check.js';
import { collectCommand } from './commands/collect.js';
import { compareCommand } from './commands/compare.js';
import { controlCommand } from './commands/control.js';
import { demoCommand } from './commands/demo.js';
import { doctorCommand } from './commands/doctor.js';
import { evalCommand } from './commands/eval.js';
import { inspectCommand } from './commands/inspect.js';
import { monitorCommand } from './commands/monitor.js';
import { newCommand } from './commands/new.js';
import { playCommand } from './commands/play.js';
import { refitCommand } from './commands/refit.js';
import { robotCommand } from './commands/robot.js';
import { rolloutCommand } from './commands/rollout.js';
import { trainCommand } from './commands/train.js';
import { foldRosArguments } from './rosArguments.js';

// ONNX Runtime would otherwise keep files in the home directory and send usage data to its maker, from a thread of its own.
process.env.ORT_DISABLE_TELEMETRY ??= '1';

const program = new Command('farsight')
  .description('Plan far in simulation, act at once on the robot.')
  .version('0.1.0')
  .showHelpAfterError('(farsight --help lists the commands)');
for (const make of [
  demoCommand,
  trainCommand,
  refitCommand,
  evalCommand,
  inspectCommand,
  playCommand,
  newCommand,
  checkCommand,
  compareCommand,
  rolloutCommand,
  controlCommand,
  robotCommand,
  bridgeCommand,
  collectCommand,
  monitorCommand,
  benchCommand,
  doctorCommand,
]) {
  program.addCommand(make());
}

// A pipe whose reader left (`| head`), or a terminal that went away, ends no work; a full disk is a failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code !== 'EPIPE' && code !== 'EIO') process.exitCode = 1;
  });
}

// Commander exits with 1 on wrong usage; ours is 2.
function exitWithOurCodes(command: Command): void {
  command.exitOverride();
  command.commands.forEach(exitWithOurCodes);
}
exitWithOurCodes(program);

try {
  await program.parseAsync(foldRosArguments(process.argv));
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(
      `error: ${process.env.FARSIGHT_DEBUG ? (error as Error).stack : messageOf(error)}\n`,
    );
    process.exitCode = 1;
  }
}
