// The command line's manners: help with an example everywhere, one clear line for what is wrong, JSON last on stdout.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { trainCommand } from '../../launch/commands/train.js';
import { makeProgram } from '../../launch/program.js';
import { resolveOptions } from '../../trainer/mpdp/options.js';
import { taskNames } from '../../trainer/sim/task.js';
import { startCommand } from '../fixtures/command.js';
import { temporaryDirectory } from '../fixtures/policy.js';

const directory = temporaryDirectory();
const hopper = fileURLToPath(new URL('../../../docs/hopper.onnx', import.meta.url));

const run = (...args: string[]) => startCommand(args).ended;

/** What a command prints for `--help`. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (piece) => {
      text += piece;
    },
  });
  command.outputHelp();
  return text;
}

describe('the command line', { concurrency: 2 }, () => {
  it('every command has help with an example', async () => {
    const names: string[] = [];
    const visit = (command: Command, path: string) => {
      for (const each of command.commands) visit(each, `${path} ${each.name()}`);
      if (command.commands.length > 0) return;
      names.push(path);
      const help = helpOf(command);
      assert.match(help, new RegExp(`\\nExample:\\n  \\$ ${path}\\b`), path);
      assert.match(help, /--json /, path);
    };
    visit(await makeProgram(), 'farsight');
    for (const name of ['train', 'eval', 'inspect', 'rollout', 'control', 'bench control', 'doctor'])
      assert.ok(names.includes(`farsight ${name}`), name);
    const { code, stdout, stderr } = await run('--help');
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /\nCommands:\n/);
  });

  it('the help of train names every built-in task', () => {
    const stdout = helpOf(trainCommand());
    for (const name of taskNames) assert.match(stdout, new RegExp(`[ \\n]${name},`), name);
  });

  it('wrong usage is told in one line with exit code 2, and leaves nothing', async () => {
    const out = join(directory, 'new');
    const taken = join(directory, 'taken');
    mkdirSync(taken);
    writeFileSync(join(taken, 'config.json'), '{}');
    const train = (...args: string[]) => ['train', '--task', 'inverted-pendulum', '--out', out, ...args];
    const cases: [string[], RegExp][] = [
      [train('--preset', 'slow'), /^--preset 'slow': choose one of paper, fast, wide, smoke$/],
      [train('--set', 'batchsize=3'), /^--set 'batchsize': no such option; the options are .*batchSize/],
      [
        train('--steps', '0'),
        /^option '--steps <number>' argument '0' is invalid\. wants a whole number above 0\.$/,
      ],
      [
        train('--seed', 'x'),
        /^option '--seed <number>' argument 'x' is invalid\. wants a whole number from 0 to 4294967295\.$/,
      ],
      [
        train('--engine', 'fast'),
        /^option '--engine <kind>' argument 'fast' is invalid\. Allowed choices are compiled, eager\.$/,
      ],
      [
        train('--device', 'tpu'),
        /^option '--device <kind>' argument 'tpu' is invalid\. Allowed choices are cpu, cuda\.$/,
      ],
      [train('--device', 'cuda'), /^--device cuda: .*ONNXRUNTIME_NODE_INSTALL=cuda12 .* use --device cpu$/],
      [train('--fast'), /^unknown option '--fast'$/],
      [['train', '--out', out], /^--task is missing: name a task, or a path to your own$/],
      [['train', '--task', 'inverted-pendulum'], /^--out is missing: name a directory for the run$/],
      [['train', '--task', 'hoper', '--out', out], /^unknown task 'hoper': choose one of inverted-pendulum/],
      [['control', '--policy', hopper, '--fault', 'mass=abc'], /^--fault mass: must be a number$/],
      [
        ['play', hopper, '--port', '99999'],
        /^option '--port <number>' argument '99999' is invalid\. wants a port, from 0 to 65535\.$/,
      ],
      [['check', 'constructor'], /^unknown task 'constructor': choose one of inverted-pendulum/],
      [['train', '--task', '__proto__', '--out', out], /^unknown task '__proto__': choose one of/],
      [
        ['bench', 'trainer', '--presets', 'toString'],
        /^--presets 'toString': choose from paper, fast, wide, smoke/,
      ],
      [
        ['train', '--task', 'inverted-pendulum', '--out', taken],
        /^--out '.*taken' holds a run already: go on with/,
      ],
      [['eval'], /^missing required argument 'policy'$/],
      [['rollout', '--task', 'inverted-pendulum'], /^required option '--state <file>' not specified$/],
      [
        ['bridge', '--recordings', out, '--collect', 'http://127.0.0.1:1', '--once'],
        /^--recordings '.*': no such directory$/,
      ],
      [['trian'], /^unknown command 'trian'$/],
    ];
    await Promise.all(
      cases.map(async ([args, wanted]) => {
        const { code, stdout, stderr } = await run(...args, '--json');
        const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
        assert.equal(errors.length, 1, `${args.join(' ')}: ${stderr}`);
        assert.match(errors[0].slice('error: '.length), wanted);
        assert.doesNotMatch(stderr, /\n {4}at /, 'a stack');
        assert.deepEqual([code, stdout], [2, ''], `${args.join(' ')}: ${stderr}`);
      }),
    );
    assert.equal(existsSync(out), false);
    assert.deepEqual(readdirSync(taken), ['config.json']);
  });

  it('a setting that does not do is named', () => {
    for (const [setting, wanted] of [
      ['batchSize', /^--set 'batchSize': wants key=value$/],
      ['batchSize=', /^--set batchSize: must be a number$/],
      ['batchSize=1.5', /^--set batchSize: must be a whole number$/],
      ['evaluateEvery=0', /^--set evaluateEvery: must be above 0$/],
      ['batchSize=1e9', /^--set batchSize: must be at most 100000$/],
      ['policyHidden=[1e9]', /^--set policyHidden.0: must be at most 10000$/],
      ['discount=2', /^--set discount: must be at most 1$/],
      ['layerNorm=1', /^--set layerNorm: must be true or false$/],
      ['activation=sine', /^--set activation: must be one of relu, /],
      ['elites=9', /^--set elites: must not exceed ensembleSize$/],
      ['modelHidden=[]', /^--set modelHidden: must not be empty$/],
    ] as const) {
      assert.throws(() => resolveOptions('smoke', [setting]), { name: 'UsageError', message: wanted });
    }
  });

  it('a failure that is not of usage exits with 1', async () => {
    const nowhere = join(directory, 'nowhere');
    const state = join(directory, 'state.json');
    const actions = join(directory, 'actions.json');
    writeFileSync(state, '{"qpos": [0, 0], "qvel": [0, 0]}');
    writeFileSync(actions, '[[0], [1, 2]]');
    const rollout = ['rollout', '--task', 'inverted-pendulum', '--state', state, '--actions'];
    const cases: [string[], RegExp][] = [
      [
        ['train', '--resume', '--out', nowhere],
        /^error: '.*config\.json' .*is '.*nowhere' the directory of a run\?\n$/,
      ],
      [
        [...rollout, actions],
        /^error: --actions '.*': action 1 has 2 numbers, task 'inverted-pendulum' wants 1\n$/,
      ],
      [
        ['train', '--task', 'inverted-pendulum', '--out', nowhere, '--dump', state],
        /^error: --dump '.*state\.json' cannot be made: .*; choose another\n$/,
      ],
      [[...rollout, nowhere], /^error: --actions '.*nowhere': no such file\n$/],
    ];
    for (const [args, wanted] of cases) {
      const { code, stdout, stderr } = await run(...args, '--json');
      assert.match(stderr, wanted);
      assert.deepEqual([code, stdout], [1, ''], args.join(' '));
    }
  });

  it('--json prints one object, and people get something else', async () => {
    const state = join(directory, 'start.json');
    const actions = join(directory, 'push.json');
    writeFileSync(state, '{"qpos": [0, 0.19], "qvel": [0, 0]}');
    writeFileSync(actions, '[[0], [-3], [0]]');
    const rollout = ['rollout', '--task', 'inverted-pendulum', '--state', state, '--actions', actions];
    const machine = await run(...rollout, '--json');
    assert.deepEqual([machine.code, machine.stderr], [0, '']);
    assert.match(machine.stdout, /^\{[^\n]*\}\n$/);
    const { observations, rewards, terminated } = JSON.parse(machine.stdout);
    assert.deepEqual([observations.length, rewards.length, terminated.length], [4, 3, 3]);
    assert.deepEqual(observations[0], [0, 0.19, 0, 0]);
    const person = await run(...rollout);
    assert.equal(person.code, 0);
    assert.throws(() => JSON.parse(person.stdout));
  });
});
