// farsight deliver: signs policies, publishes them, serves them, and brings them to a fleet; the robot's side is in control.
import { join } from 'node:path';
import { Command } from 'commander';
import type { RoleState } from '../../bridge/policyRepository.js';
import type { SigningKey } from '../../bridge/signingKeys.js';
import { ROLES, type RoleName } from '../../contract/delivery.js';
import { UsageError } from '../../contract/errors.js';
import { changeSettings } from '../../contract/settings.js';
import { askedBy } from '../../contract/wholeFile.js';
import { command, execute, parse } from '../command.js';
import { deliverRolloutCommand } from './deliverRollout.js';
import { deliverServeCommand } from './deliverServe.js';

interface Options {
  repository: string;
  keys: string;
  /** `role=days` each. */
  expires: string[];
  json?: boolean;
}

export function deliverCommand() {
  const deliver = new Command('deliver')
    .description('publish signed policies, and bring them to a fleet in stages')
    .showHelpAfterError('(farsight deliver --help lists its commands)')
    .addCommand(keysCommand())
    .addCommand(initCommand())
    .addCommand(publishCommand())
    .addCommand(withdrawCommand())
    .addCommand(roleCommand())
    .addCommand(signCommand())
    .addCommand(refreshCommand())
    .addCommand(statusCommand())
    .addCommand(deliverServeCommand())
    .addCommand(deliverRolloutCommand());
  for (const one of deliver.commands)
    one.showHelpAfterError(`(farsight deliver ${one.name()} --help shows every option)`);
  return deliver;
}

/** A command on a repository with the keys at hand. */
function onRepository(name: string, summary: string, example: string): Command {
  return command(name, summary, example)
    .requiredOption('--repository <directory>', "the repository's files")
    .requiredOption('--keys <directory>', 'the keys at hand; those of other roles may be elsewhere')
    .option(
      '--expires <role=days>',
      'for how long what is signed now holds (default: root 365, targets 90, snapshot 7, timestamp 1 days)',
      perRole,
      [],
    );
}

/** `root=2,targets=1`, once or several times. */
const perRole = (text: string, before: string[]) => [...before, ...text.split(',')];

async function lifetimesOf(expires: readonly string[]): Promise<Record<RoleName, number>> {
  const { LIFETIMES, lifetimesSchema } = await import('../../bridge/policyRepository.js');
  const words = { source: '--expires', kind: 'role', form: 'ROLE=DAYS, such as root=365' };
  return changeSettings(lifetimesSchema, LIFETIMES, expires, words);
}

async function thresholdsOf(thresholds: readonly string[]): Promise<Record<RoleName, number>> {
  const { THRESHOLDS, thresholdsSchema } = await import('../../bridge/policyRepository.js');
  const words = { source: '--threshold', kind: 'role', form: 'ROLE=NUMBER, such as root=2' };
  return changeSettings(thresholdsSchema, THRESHOLDS, thresholds, words);
}

const names = (text: string) => text.split(',').filter((name) => name !== '');

async function open({ repository: directory, keys, expires }: Options) {
  const { PolicyRepository } = await import('../../bridge/policyRepository.js');
  const { readKeys } = await import('../../bridge/signingKeys.js');
  return PolicyRepository.open({ directory, keys: readKeys(keys), lifetimes: await lifetimesOf(expires) });
}

/** Runs what writes to the repository. */
const change: typeof execute = (json, work, ...rest) =>
  execute(json, () => askedBy('--repository', work), ...rest);

function showMissing(waitsFor: readonly string[], done: string): void {
  console.log(waitsFor.length === 0 ? done : `not in force yet: ${waitsFor.join('; ')}`);
}

function keysCommand() {
  return command('keys', 'make ed25519 keys', 'farsight deliver keys root-1 root-2 --out keys')
    .argument('<names...>', "each key's name: NAME.key, which nobody else may read, and NAME.pub")
    .requiredOption('--out <directory>', 'where they go')
    .action((wanted: string[], { out, json }: { out: string; json?: boolean }) =>
      execute(
        json,
        async () => {
          const { makeKeys } = await import('../../bridge/signingKeys.js');
          return askedBy('--out', () => makeKeys(out, wanted)).map(({ name, key }) => ({
            name,
            id: key.keyID,
          }));
        },
        (made) => {
          for (const { name, id } of made) console.log(`${join(out, name)}.key  ${id}`);
        },
      ),
    );
}

type InitOptions = Options &
  Partial<Record<RoleName, string[]>> & {
    /** `role=number` each. */
    threshold: string[];
  };

function initCommand() {
  const init = onRepository(
    'init',
    'make an empty repository',
    'farsight deliver init --repository policies --keys keys --root root-1,root-2,root-3 --threshold root=2',
  );
  for (const role of ROLES)
    init.option(
      `--${role} <names>`,
      `keys of the role, by their names (default: ${role}, made when missing)`,
      names,
    );
  return init
    .option('--threshold <role=number>', 'how many of its keys must sign (default: 1)', perRole, [])
    .action((options: InitOptions) =>
      change(
        options.json,
        async () => {
          const { PolicyRepository } = await import('../../bridge/policyRepository.js');
          const { makeKey, readKeys } = await import('../../bridge/signingKeys.js');
          const { makeDirectory } = await import('../../contract/directory.js');
          const lifetimes = await lifetimesOf(options.expires);
          const thresholds = await thresholdsOf(options.threshold);
          makeDirectory(options.keys);
          const keys = readKeys(options.keys);
          const found = (name: string, mayMake: boolean): SigningKey => {
            const key = keys.find((each) => each.name === name);
            if (key) return key;
            if (!mayMake) throw new UsageError(`key '${name}': not in '${options.keys}'`);
            keys.push(askedBy('--keys', () => makeKey(options.keys, name)));
            return keys.at(-1)!;
          };
          const roles = Object.fromEntries(
            ROLES.map((role) => [
              role,
              {
                keys: (options[role] ?? [role]).map((name) => found(name, options[role] === undefined)),
                threshold: thresholds[role],
              },
            ]),
          ) as Parameters<typeof PolicyRepository.init>[1];
          return PolicyRepository.init({ directory: options.repository, keys, lifetimes }, roles).roles();
        },
        (roles) => {
          showRoles(roles);
          console.log(`\nbring to every robot: ${join(options.repository, 'metadata', '1.root.json')}`);
        },
      ),
    );
}

function publishCommand() {
  return onRepository(
    'publish',
    'add a policy file to the signed targets',
    'farsight deliver publish runs/pendulum-2/policy.onnx --repository policies --keys keys',
  )
    .argument('<policy>', 'the policy file')
    .action((path: string, options: Options) =>
      change(
        options.json,
        async () => (await open(options)).publish(path),
        ({ target, waitsFor }) => showMissing(waitsFor, `published ${target}`),
      ),
    );
}

function withdrawCommand() {
  return onRepository(
    'withdraw',
    'take a policy off the signed targets: no robot begins to run it any more',
    'farsight deliver withdraw inverted-pendulum-56c7d853/2.onnx --repository policies --keys keys',
  )
    .argument('<target>', 'its name')
    .action((target: string, options: Options) =>
      change(
        options.json,
        async () => (await open(options)).withdraw(target),
        ({ waitsFor }) => showMissing(waitsFor, `withdrawn ${target}`),
      ),
    );
}

interface RoleOptions extends Options {
  add: string[];
  remove: string[];
  threshold?: number;
}

function roleCommand() {
  return onRepository(
    'role',
    'change who signs for a role: a lost, a leaked, a new key; root and targets without a change are signed for another term',
    'farsight deliver role root --add root-4 --remove root-1 --repository policies --keys keys',
  )
    .argument('<role>', ROLES.join(', '))
    .option('--add <names>', 'keys in --keys, their public halves do', names, [])
    .option('--remove <names>', 'keys in --keys, their public halves do', names, [])
    .option('--threshold <number>', 'how many must sign', parse.positiveInteger)
    .action((role: string, options: RoleOptions) =>
      change(
        options.json,
        async () => {
          if (!ROLES.includes(role as RoleName))
            throw new UsageError(`role '${role}': wants one of ${ROLES.join(', ')}`);
          const { readKeys } = await import('../../bridge/signingKeys.js');
          const keys = readKeys(options.keys);
          const named = (wanted: string[]) =>
            wanted.map((name) => {
              const key = keys.find((each) => each.name === name);
              if (!key) throw new UsageError(`key '${name}': not in '${options.keys}'`);
              return key;
            });
          const { threshold } = options;
          const asked = {
            add: named(options.add),
            remove: named(options.remove),
            ...(threshold && { threshold }),
          };
          const repository = await open(options);
          const isAsItWas = asked.add.length + asked.remove.length === 0 && threshold === undefined;
          if (isAsItWas && role === 'targets') return { waitsFor: repository.renewTargets() };
          return { waitsFor: repository.changeRole(role as RoleName, asked) };
        },
        ({ waitsFor }) => showMissing(waitsFor, `changed ${role}`),
      ),
    );
}

function signCommand() {
  return onRepository(
    'sign',
    'sign what waits in staged/ with the keys at hand',
    'farsight deliver sign --repository policies --keys /media/stick/keys',
  ).action((options: Options) =>
    change(
      options.json,
      async () => ({ waitsFor: (await open(options)).sign() }),
      ({ waitsFor }) => showMissing(waitsFor, 'signed: nothing waits'),
    ),
  );
}

function refreshCommand() {
  return onRepository(
    'refresh',
    'sign that the repository is current; for a timer, several times a day',
    'farsight deliver refresh --repository policies --keys online-keys',
  ).action((options: Options) =>
    change(
      options.json,
      async () => {
        const repository = await open(options);
        repository.refresh();
        return repository.roles();
      },
      showRoles,
    ),
  );
}

function statusCommand() {
  return onRepository(
    'status',
    'who signs what, until when it holds, and which policies there are',
    'farsight deliver status --repository policies --keys keys',
  ).action((options: Options) =>
    execute(
      options.json,
      async () => {
        const repository = await open(options);
        const targets = [...repository.targets()].map(([target, about]) => ({ target, ...about }));
        return { roles: repository.roles(), targets };
      },
      ({ roles, targets }) => {
        showRoles(roles);
        console.log('');
        for (const { target, sha256, length } of targets)
          console.log(`${target}  ${sha256.slice(0, 12)}  ${length} bytes`);
      },
    ),
  );
}

function showRoles(roles: readonly RoleState[]): void {
  for (const { role, version, expires, threshold, keys } of roles)
    console.log(
      `${role.padEnd(9)}  version ${String(version).padEnd(4)} until ${expires}  ${threshold} of ${keys.length}: ${keys.join(', ')}`,
    );
}
