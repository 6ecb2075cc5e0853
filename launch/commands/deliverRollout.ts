// farsight deliver rollout: brings a published policy to the robots of a fleet, in stages, and halts when they do worse.
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import type { RolloutResult } from '../../bridge/rollout.js';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { readPolicyFile } from '../../contract/policyFile.js';
import { whyUnusable } from '../../contract/schemaErrors.js';
import { robotNameSchema } from '../../contract/telemetry.js';
import { askedBy } from '../../contract/wholeFile.js';
import { BROKER_CONFIG_HELP, type BrokerFlags, brokerOf } from '../brokerFlags.js';
import { command, execute, parse, say } from '../command.js';
import { onStopSignal } from '../signals.js';

interface Options extends BrokerFlags {
  repository: string;
  keys?: string;
  stages: string;
  groups?: string;
  failures: number;
  interventions: number;
  patience: number;
  soak: number;
  json?: boolean;
}

const groupsSchema = z.record(z.string().min(1), z.array(robotNameSchema).min(1));

export function deliverRolloutCommand() {
  return command(
    'rollout',
    'bring a published policy to the robots, in stages; halts when they fail',
    'farsight deliver rollout inverted-pendulum-56c7d853/2.onnx --repository policies --groups groups.yaml --stages canary,25%,100% --mqtt mqtt://fleet.local',
  )
    .argument('<target>', "as 'farsight deliver publish' named it; with --keys, a policy file")
    .requiredOption(
      '--repository <directory>',
      "the repository's files; the record goes there, rollouts.jsonl",
    )
    .option('--keys <directory>', 'publish the policy file first, where it is not, signed by the keys there')
    .requiredOption('--mqtt <url>', "the fleet's broker")
    .option('--mqtt-config <file>', BROKER_CONFIG_HELP)
    .option(
      '--stages <list>',
      "groups' names and percentages of the robots that are heard, in their order",
      '100%',
    )
    .option('--groups <file>', 'YAML: the names of each group of robots')
    .option('--failures <n>', 'robots that may fail before it halts', parse.integer, 0)
    .option(
      '--interventions <share>',
      'halt when limits change so much more of the ticks of a robot than before',
      parse.positiveNumber,
      0.1,
    )
    .option('--patience <seconds>', 'time for the robots of a stage to accept it', parse.positiveNumber, 600)
    .option(
      '--soak <seconds>',
      'watch a stage for so long after its last robot accepted',
      parse.nonNegativeNumber,
      60,
    )
    .action((target: string, options: Options) =>
      execute(
        options.json,
        () => run(target, options),
        ({ accepted, failed, reason }) =>
          console.log(
            `${accepted.length} robots accepted it, ${failed.length} failed${reason === undefined ? '' : `; HALTED: ${reason}`}`,
          ),
        ({ done }) => done,
      ),
    );
}

async function run(named: string, options: Options): Promise<RolloutResult> {
  const { Rollout } = await import('../../bridge/rollout.js');
  const { PolicyRepository } = await import('../../bridge/policyRepository.js');
  const { repository: directory, failures, interventions, patience, soak } = options;
  const target = options.keys === undefined ? named : await published(named, options.keys, directory);
  const about = PolicyRepository.open({ directory, keys: [] }).targets().get(target);
  if (!about) throw new UsageError(`target '${target}': not in the repository; see farsight deliver status`);
  const stop = new AbortController();
  const release = onStopSignal(() => stop.abort());
  try {
    return await new Rollout({
      ...{
        directory,
        target,
        task: about.task,
        sha256: about.sha256,
        failures,
        interventions,
        patience,
        soak,
      },
      stages: options.stages.split(','),
      groups: options.groups === undefined ? {} : readGroups(options.groups),
      broker: brokerOf(options)!,
      onRecord: ({ stage, robot, what, reason }) =>
        say(
          `${stage}: ${robot === undefined ? '' : `${robot} `}${what}${reason === undefined ? '' : `: ${reason}`}`,
        ),
      signal: stop.signal,
    }).run();
  } finally {
    release();
  }
}

/** The name of the policy file's target; published now unless it is. */
async function published(path: string, keys: string, directory: string): Promise<string> {
  const { PolicyRepository } = await import('../../bridge/policyRepository.js');
  const { readKeys } = await import('../../bridge/signingKeys.js');
  const repository = PolicyRepository.open({ directory, keys: readKeys(keys) });
  const { sha256 } = readPolicyFile(path);
  const known = [...repository.targets()].find(([, about]) => about.sha256 === sha256);
  if (known) return known[0];
  const { target, waitsFor } = askedBy('--repository', () => repository.publish(path));
  if (waitsFor.length > 0)
    throw new FarsightError(
      `published ${target}, not in force yet: ${waitsFor.join('; ')}; then farsight deliver rollout ${target}`,
    );
  say(`published ${target}`);
  return target;
}

function readGroups(path: string): z.infer<typeof groupsSchema> {
  try {
    return groupsSchema.parse(parseYaml(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new FarsightError(`--groups '${path}': ${whyUnusable(error)}`);
  }
}
