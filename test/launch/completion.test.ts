// farsight completion: what real shells offer once the script is sourced.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { trainerChoices } from '../../launch/commands/completion.js';
import { completionScript, type Shell } from '../../launch/completion.js';
import { makeProgram } from '../../launch/program.js';
import { optionsSchema } from '../../trainer/mpdp/options.js';
import { taskNames } from '../../trainer/sim/task.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
mkdirSync(join(directory, 'runs'));
writeFileSync(join(directory, 'my robot.mjs'), '');

const choices = await trainerChoices();
const program = await makeProgram();
const scriptOf = (shell: Shell) => completionScript(shell, program, choices);

/** The lines that a shell prints, in a directory with 'runs' and 'my robot.mjs'. */
function linesOf(shell: string, program: string, ...args: string[]): string[] {
  const { status, stdout, stderr } = spawnSync(shell, ['-c', program, ...args], {
    cwd: directory,
    env: { ...process.env, HOME: directory },
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter((line) => line !== '');
}

const names = program.commands.map((command) => command.name());
/** The words before the cursor, the last one begun, and what is offered for it. */
const offers: [string[], string[]][] = [
  [[''], names],
  [['be'], ['bench']],
  [['bench', 'c'], ['control']],
  [
    ['train', '--pr'],
    ['--preset', '--print-config'],
  ],
  [
    ['train', '--preset', ''],
    ['paper', 'fast', 'wide', 'smoke'],
  ],
  [['train', '--preset', 'smoke', '--engine', 'e'], ['eager']],
  [['train', '--seed', ''], []],
  [
    ['train', '--task', 'h'],
    ['hopper', 'half-cheetah', 'humanoid'],
  ],
  [['train', '--task', 'my'], ['my robot.mjs']],
  [['train', '--set', ''], Object.keys(optionsSchema.shape).map((key) => `${key}=`)],
  [['robot', '--set', ''], []],
  [
    ['control', '--robot', ''],
    ['sim', 'ros2'],
  ],
  [
    ['check', ''],
    [...taskNames, 'my robot.mjs', 'runs'],
  ],
  [['eval', 'r'], ['runs']],
  [['train', '--out', 'bench', '--resu'], ['--resume']],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
];

test('bash completes commands, flags, choices and files', () => {
  const program = `eval "$0"; COMP_WORDS=(farsight "$@"); COMP_CWORD=$#
    $(complete -p farsight | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' "\${COMPREPLY[@]}"`;
  const offered = (words: string[]) => linesOf('bash', program, scriptOf('bash'), ...words).sort();
  for (const [words, wanted] of offers) assert.deepEqual(offered(words), [...wanted].sort(), words.join(' '));
  // As bash splits '--preset=s'.
  assert.deepEqual(offered(['train', '--preset', '=', 's']), ['smoke']);
  assert.deepEqual(offered(['train', '--preset', '=']), ['fast', 'paper', 'smoke', 'wide']);
});

const skip = spawnSync('fish', ['--version']).status === 0 ? false : 'needs fish';
test('fish completes them too', { skip }, () => {
  for (const [words, wanted] of offers) {
    const line = ['farsight', ...words].join(' ');
    const lines = linesOf('fish', 'source $argv[1]; complete -C $argv[2]', written(scriptOf('fish')), line);
    const offered = lines.map((text) => text.split('\t')[0].replace(/\/$/, ''));
    assert.deepEqual(offered.sort(), [...wanted].sort(), line);
  }
});

function written(script: string): string {
  writeFileSync(join(directory, '.script'), script);
  return join(directory, '.script');
}

test('the command prints the script, and knows three shells', async () => {
  const { stdout } = await startCommand(['completion', 'bash']).ended;
  assert.equal(stdout, scriptOf('bash'));
  const { code, stderr } = await startCommand(['completion', 'tcsh']).ended;
  assert.equal(code, 2);
  assert.match(stderr, /'tcsh' is invalid for argument 'shell'\. Allowed choices are bash, zsh, fish\./);
});
