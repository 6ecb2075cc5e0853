#!/usr/bin/env node
// The farsight command line: runs the command that it names, and ends with our exit codes.
import { type Command, CommanderError } from 'commander';
import { messageOf } from '../contract/errors.js';
import { whyUnwritable } from '../contract/wholeFile.js';
import { makeProgram } from './program.js';
import { foldRosArguments } from './rosArguments.js';

// ONNX Runtime would otherwise keep files in the home directory and send usage data to its maker, from a thread of its own.
process.env.ORT_DISABLE_TELEMETRY ??= '1';

// A pipe whose reader left (`| head`), or a terminal that went away, ends no work; a full disk is a failure.
let told = false;
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || error.code === 'EIO') return;
    process.exitCode = 1;
    if (stream === process.stdout && !told)
      process.stderr.write(`error: stdout cannot be written: ${whyUnwritable(error)}\n`);
    told = true;
  });
}

// Commander exits with 1 on wrong usage; ours is 2.
function exitWithOurCodes(command: Command): void {
  command.exitOverride();
  command.commands.forEach(exitWithOurCodes);
}
const program = await makeProgram(process.argv[2]);
exitWithOurCodes(program);

try {
  await program.parseAsync(foldRosArguments(process.argv));
} catch (error) {
  if (error instanceof CommanderError) {
    if (error.exitCode !== 0) process.exitCode = 2;
  } else {
    process.stderr.write(
      `error: ${process.env.FARSIGHT_DEBUG ? (error as Error).stack : messageOf(error)}\n`,
    );
    process.exitCode = 1;
  }
}
