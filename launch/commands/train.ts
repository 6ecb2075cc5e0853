// farsight train: Algorithm 2 on a task, with live progress; --resume goes on after a crash.
import { type Command, Option } from 'commander';
import { UsageError } from '../../contract/errors.js';
import type { MetricsLine } from '../../trainer/report/metrics.js';
import type { RunConfig } from '../../trainer/run/runConfig.js';
import type { RunHooks, RunResult } from '../../trainer/run/train.js';
import { command, execute, parse, say } from '../command.js';
import type { ConfigFile } from '../configFile.js';
import {
  deviceOption,
  dumpOption,
  type EngineFlags,
  engineOption,
  makeEngine,
  threadsOption,
} from '../engineFlags.js';
import { startProgress } from '../progress.js';
import { stoppable } from '../signals.js';

/** A run that took so long ends with a clip in its report: shorter ones are tries. */
const CLIP_AFTER = { seconds: 60, environmentSteps: 1000 };

interface TrainFlags extends EngineFlags {
  task?: string;
  preset?: string;
  seed?: number;
  out?: string;
  config?: string;
  printConfig?: boolean;
  steps?: number;
  set: string[];
  resume?: boolean;
  json?: boolean;
}

export function trainCommand() {
  return command(
    'train',
    'train a policy with MPDP in simulation',
    'farsight train --task inverted-pendulum --preset smoke --seed 1 --out runs/pendulum',
  )
    .option(
      '--task <name|path>',
      'inverted-pendulum, hopper, walker2d, half-cheetah, ant, humanoid, or the path of your own',
    )
    .option('--preset <name>', 'paper, fast, wide or smoke (default: fast)')
    .option('--seed <number>', 'everything random follows from it (default: 1)', parse.seed)
    .option('--out <directory>', 'where the run is kept')
    .option(
      '--config <file>',
      'YAML of task, preset, seed, options, engine, device, threads; flags win over it',
    )
    .addOption(
      new Option('--print-config', 'print that YAML, with every option, and train nothing').conflicts([
        'resume',
        'json',
      ]),
    )
    .option('--steps <number>', 'environment steps', parse.positiveInteger)
    .option('--set <key=value>', 'change one option of the preset (repeatable)', parse.several, [])
    .option('--resume', 'go on with the run in --out, further when --steps or --set stopAtReturn says so')
    .addOption(engineOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(dumpOption())
    .action((flags: TrainFlags, command: Command) =>
      flags.printConfig
        ? execute(
            false,
            async () => printed(await asked(flags, command)),
            (yaml) => process.stdout.write(yaml),
          )
        : execute(
            flags.json,
            () => stoppable('a checkpoint', async (stop) => train(await asked(flags, command), stop)),
            ({ return: reached, interrupted, policy, directory }) => {
              const end = reached === null ? 'not evaluated yet' : `return ${reached.toFixed(1)}`;
              console.log(interrupted ? 'interrupted; go on with --resume' : end);
              if (policy) console.log(`policy ${policy}, report ${directory}/report.html`);
            },
          ),
    );
}

/** The flags over the file of --config, and the options that both set. */
interface Asked {
  flags: TrainFlags;
  file?: ConfigFile;
  /** Of the flags. */
  settings: string[];
}

async function asked(flags: TrainFlags, command: Command): Promise<Asked> {
  const settings = flags.steps === undefined ? flags.set : [...flags.set, `steps=${flags.steps}`];
  if (flags.config === undefined) return { flags, settings };
  const { readConfigFile } = await import('../configFile.js');
  const file = readConfigFile(flags.config);
  const given = Object.entries(flags).filter(([name]) => command.getOptionValueSource(name) === 'cli');
  return { flags: { ...flags, ...file.flags, ...Object.fromEntries(given) }, file, settings };
}

/** The configuration of a run that is to begin. */
async function newConfig({ flags, file, settings }: Asked): Promise<RunConfig> {
  const { resolveOptions, changeOptions } = await import('../../trainer/mpdp/options.js');
  const { task, preset = 'fast', seed = 1 } = flags;
  if (task === undefined) throw new UsageError('--task is missing: name a task, or a path to your own');
  const base = resolveOptions(preset, []);
  const options = file ? file.change(base, settings) : changeOptions(base, settings);
  return { task, preset, seed, options };
}

async function printed(asked: Asked): Promise<string> {
  const { printConfigFile } = await import('../configFile.js');
  const { loadTask } = await import('../../trainer/sim/task.js');
  const { task, preset, seed, options } = await newConfig(asked);
  const { engine, device, threads } = asked.flags;
  const { source } = await loadTask(task);
  return printConfigFile({ task: source, preset, seed, engine, device, threads, options });
}

async function train(asked: Asked, stop: AbortSignal): Promise<RunResult> {
  const { startRun, resumeRun } = await import('../../trainer/run/train.js');
  const { readConfig, extendedConfig } = await import('../../trainer/run/runConfig.js');
  const { flags, file, settings } = asked;
  const { out } = flags;
  if (out === undefined) throw new UsageError('--out is missing: name a directory for the run');
  if (flags.resume) {
    const request = { ...flags, settings: [...(file?.settings ?? []), ...settings] };
    const { options, task } = extendedConfig(readConfig(out), out, request);
    const engine = await makeEngine(flags);
    return withClip(
      task,
      stop,
      await withProgress(`train ${task}`, options.steps, stop, (hooks) =>
        resumeRun(out, engine, hooks, request),
      ),
    );
  }
  const config = await newConfig(asked);
  const engine = await makeEngine(flags);
  return withClip(
    config.task,
    stop,
    await withProgress(`train ${config.task}`, config.options.steps, stop, (hooks) =>
      startRun(out, config, engine, hooks),
    ),
  );
}

/** Shows the run's policy in its report, where that can be done and was worth the wait. */
async function withClip(task: string, stop: AbortSignal, result: RunResult): Promise<RunResult> {
  const { interrupted, return: reached, seconds, environmentSteps } = result;
  const isTry = seconds < CLIP_AFTER.seconds || environmentSteps < CLIP_AFTER.environmentSteps;
  if (interrupted || reached === null || isTry) return result;
  say('a clip of the best policy for the report …');
  const { addClip } = await import('../play/runClip.js');
  const without = await addClip(result.directory, task, stop);
  if (without) say(`the report has no clip: ${without}`);
  return result;
}

/** Shows a run's progress; `stop` ends it with a checkpoint. */
export async function withProgress(
  title: string,
  steps: number,
  stop: AbortSignal,
  work: (hooks: RunHooks) => Promise<RunResult>,
): Promise<RunResult> {
  const progress = startProgress({ title, total: steps, unit: 'steps' });
  let numbers: Record<string, string> = {};
  try {
    const result = await work({
      onStep: (done, line) => {
        if (line) numbers = { ...numbers, ...shown(line) };
        progress.update(done, numbers);
      },
      onRemark: say,
      stop,
    });
    progress.finish(`${result.return === null ? 'no evaluation yet' : `return ${result.return.toFixed(1)}`}`);
    return result;
  } finally {
    progress.finish();
  }
}

/** What is known now; the rest keeps what it was, as between two rounds of updates. */
function shown({ evaluation, updatesPerSecond, horizon, modelError }: MetricsLine): Record<string, string> {
  const numbers = [
    ['return', evaluation?.mean, 0],
    ['updates/s', updatesPerSecond, 0],
    ['horizon', horizon, 2],
    ['model error', modelError, 3],
  ] as const;
  return Object.fromEntries(
    numbers.flatMap(([name, value, digits]) => (value == null ? [] : [[name, value.toFixed(digits)]])),
  );
}
