// farsight deliver rollout: brings a published policy to the robots of a fleet, in stages, and halts when they do worse.
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import type { RolloutResult } from '../../bridge/rollout.js';
import { FarsightError, UsageError } from '../../contract/errors.js';
import { whyUnusable } from '../../contract/schemaErrors.js';
import { robotNameSchema } from '../../contract/telemetry.js';
import { BROKER_CONFIG_HELP, type BrokerFlags, brokerOf } from '../brokerFlags.js';
import { command, execute, parse, say } from '../command.js';
import { onStopSignal } from '../signals.js';

interface Options extends BrokerFlags {
  repository: string;
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
    .argument('<target>', "as 'farsight deliver publish' named it")
    .requiredOption(
      '--repository <directory>',
      "the repository's files; the record goes there, rollouts.jsonl",
    )
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

async function run(target: string, options: Options): Promise<RolloutResult> {
  const { Rollout } = await import('../../bridge/rollout.js');
  const { PolicyRepository } = await import('../../bridge/policyRepository.js');
  const { repository: directory, failures, interventions, patience, soak } = options;
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

function readGroups(path: string): z.infer<typeof groupsSchema> {
  try {
    return groupsSchema.parse(parseYaml(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new FarsightError(`--groups '${path}': ${whyUnusable(error)}`);
  }
}
