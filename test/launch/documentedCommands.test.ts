// Every command line of ours in the README and the docs is one that the commands take: names, flags, values, what they want.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { makeProgram } from '../../launch/program.js';

/** The lines of a page's shell blocks, continued ones joined, without comments; a variable is 1. */
function shellLines(page: string): string[] {
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block]) => block);
  return blocks
    .join('\n')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) =>
      line
        .replace(/\s#.*$/, '')
        .replaceAll(/\$(\([^)]*\)|\w+)/g, '1')
        .trim(),
    );
}

/** What follows `npx farsight` or `npm run demo` in a line, word by word, as a shell would have it. */
function callsIn(line: string): string[][] {
  return [...line.matchAll(/(?:npx farsight|npm run (?=demo))((?:'[^']*'|[^'|&;>])*)/g)].map(([, rest]) =>
    [...rest.matchAll(/'([^']*)'|(\S+)/g)]
      .map(([, quoted, plain]) => quoted ?? plain)
      .filter((word) => word !== '--'),
  );
}

/** Takes what the commands are given, and does nothing with it. */
async function taker(): Promise<Command> {
  const program = await makeProgram();
  const prepare = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} });
    if (command.commands.length === 0) command.action(() => {});
    command.commands.forEach(prepare);
  };
  prepare(program);
  return program;
}

const pages = [
  'README.md',
  ...readdirSync('docs').flatMap((name) => (/\.md$/.test(name) ? join('docs', name) : [])),
];
for (const page of pages) {
  const calls = shellLines(readFileSync(page, 'utf8')).flatMap(callsIn);
  if (calls.length === 0) continue;
  test(`${page}: ${calls.length} commands`, async () => {
    for (const words of calls) {
      await (await taker())
        .parseAsync(words, { from: 'user' })
        .catch((error) => assert.fail(`farsight ${words.join(' ')}: ${error.message}`));
    }
  });
}
