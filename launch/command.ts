// What every farsight command shares: its flags' parsing, its one-line errors and exit codes, its JSON on stdout.
import { Command, InvalidArgumentError } from 'commander';
import { FarsightError, messageOf, UsageError } from '../contract/errors.js';
import { installCommand } from '../contract/packages.js';

/** A command with `--json` and an example in its help. */
export function command(name: string, summary: string, example: string): Command {
  return new Command(name)
    .description(summary)
    .option('--json', 'print one JSON object as the last line of stdout')
    .showHelpAfterError(`(farsight ${name} --help shows every option)`)
    .addHelpText('after', `\nExample:\n  $ ${example}`)
    .configureOutput({ outputError: (text, write) => write(text) });
}

/**
 * Runs a command's work. What it returns is printed as the last line of stdout with `--json`, otherwise `show` prints
 * it for people; one that has not `succeeded` exits with 1. A `FarsightError` becomes one line on stderr.
 */
export async function execute<T>(
  json: boolean | undefined,
  work: () => Promise<T>,
  show: (result: T) => void,
  succeeded: (result: T) => boolean = () => true,
) {
  try {
    const result = await work();
    if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else show(result);
    if (!succeeded(result)) process.exitCode = 1;
  } catch (caught) {
    const error = missingPackage(caught) ?? caught;
    if (!(error instanceof FarsightError)) throw error;
    process.stderr.write(`error: ${messageOf(error)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

/** What a robot's installation, which leaves the trainer's packages out, says when one is asked for. */
function missingPackage(error: unknown): FarsightError | undefined {
  if ((error as NodeJS.ErrnoException | undefined)?.code !== 'ERR_MODULE_NOT_FOUND') return undefined;
  const name = /Cannot find package '([^']+)'/.exec(messageOf(error))?.[1];
  if (name === undefined) return undefined;
  return new FarsightError(
    `this command needs the package '${name}', which is not installed: ${installCommand(name)}`,
  );
}

/** Parsers for commander's options; each names what it wants. */
export const parse = {
  /** Of a flag that may be given several times: what all of them say. */
  several(text: string, before: readonly string[] = []): string[] {
    return [...before, text];
  },
  positiveInteger(text: string): number {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value <= 0)
      throw new InvalidArgumentError('wants a whole number above 0.');
    return value;
  },
  integer(text: string): number {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value))
      throw new InvalidArgumentError('wants a whole number.');
    return value;
  },
  seed(text: string): number {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < 0 || value >= 2 ** 32)
      throw new InvalidArgumentError('wants a whole number from 0 to 4294967295.');
    return value;
  },
  port(text: string): number {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value > 65535)
      throw new InvalidArgumentError('wants a port, from 0 to 65535.');
    return value;
  },
  number(text: string): number {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('wants a number.');
    return value;
  },
  positiveNumber(text: string): number {
    const value = Number(text);
    if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('wants a number above 0.');
    return value;
  },
  nonNegativeNumber(text: string): number {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < 0)
      throw new InvalidArgumentError('wants a number of at least 0.');
    return value;
  },
};

/** For progress and remarks: stderr, so that stdout holds only results. */
export function say(line: string): void {
  // What is drawn from the cursor on gives way; the next drawing comes below.
  process.stderr.write(`${process.stderr.isTTY ? '\x1b[J' : ''}${line}\n`);
}
