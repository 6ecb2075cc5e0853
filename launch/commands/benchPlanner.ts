// farsight bench planner: what an action costs, from π₀ and from planning online over the same ensemble.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { readPolicyFile } from '../../contract/policyFile.js';
import { syntheticPolicy, syntheticTask } from '../bench/syntheticPolicy.js';
import { command, execute, parse } from '../command.js';
import { makeEngine } from '../engineFlags.js';
import { startProgress } from '../progress.js';
import { stoppable } from '../signals.js';

/** Observation and action sizes of Hopper, for networks with random weights. */
const OBSERVATIONS = 11;
const ACTIONS = 3;
const POLICY_RUNS = 5000;

export interface PlannerBenchmark {
  /** Median microseconds of one action from π₀, as the loop runs it. */
  policyMicros: number;
  /** Median microseconds of one action from the cross entropy method with PETS's settings. */
  plannerMicros: number;
  ratio: number;
  plans: number;
}

interface Flags {
  from?: string;
  plans: number;
  threads: number;
  json?: boolean;
}

export function benchPlannerCommand() {
  return command(
    'planner',
    'time an action from π₀ and from planning online over the same ensemble',
    'farsight bench planner --from runs/hopper --json',
  )
    .option('--from <run>', "a run: its policy and ensemble (default: random ones of the paper's sizes)")
    .option('--plans <number>', 'plans to time', parse.positiveInteger, 5)
    .option(
      '--threads <number>',
      'threads of the planner',
      parse.positiveInteger,
      Math.min(4, availableParallelism()),
    )
    .action((flags: Flags) =>
      execute(
        flags.json,
        () => stoppable('this plan', (stop) => benchPlanner(flags, stop)),
        ({ policyMicros, plannerMicros, ratio }) => {
          console.log(`π₀       ${policyMicros.toFixed(1)} µs an action`);
          console.log(
            `planner  ${(plannerMicros / 1000).toFixed(0)} ms an action, ${ratio.toFixed(0)} times as long`,
          );
        },
      ),
    );
}

async function benchPlanner({ from, plans, threads }: Flags, stop: AbortSignal): Promise<PlannerBenchmark> {
  const { makeCrossEntropyPlanner, PETS_OPTIONS } = await import('../../trainer/mpdp/crossEntropy.js');
  const { Policy } = await import('../../controller/policy.js');
  const { Random } = await import('../../trainer/random.js');
  const { Turns } = await import('../../trainer/turns.js');
  const engine = await makeEngine({ engine: 'compiled', device: 'cpu', threads });
  const random = new Random(1);
  const agent = await agentOf(from, engine);
  const { observationSize } = agent.networks;
  const file =
    from === undefined
      ? syntheticPolicy(syntheticTask(OBSERVATIONS, ACTIONS, 125))
      : readPolicyFile(join(from, 'policy.onnx'));
  const policy = new Policy('π₀', file.bytes, file.manifest);
  const acting = Array.from({ length: POLICY_RUNS }, () => {
    random.fillNormal(policy.observation);
    const began = performance.now();
    policy.run();
    return performance.now() - began;
  });
  policy.release();
  const plan = await makeCrossEntropyPlanner(engine, agent, PETS_OPTIONS, random);
  const progress = startProgress({ title: 'bench planner', total: plans, unit: 'plans' });
  const planning: number[] = [];
  const turns = new Turns(stop);
  while (planning.length < plans) {
    const observation = new Float32Array(observationSize);
    const began = performance.now();
    await plan(observation);
    planning.push(performance.now() - began);
    progress.update(planning.length);
    await turns.pass();
  }
  progress.finish();
  const policyMicros = 1000 * median(acting);
  const plannerMicros = 1000 * median(planning);
  return { policyMicros, plannerMicros, ratio: plannerMicros / policyMicros, plans };
}

async function agentOf(from: string | undefined, engine: Awaited<ReturnType<typeof makeEngine>>) {
  const { makeAgent, makeNetworks } = await import('../../trainer/mpdp/networks.js');
  const { resolveOptions } = await import('../../trainer/mpdp/options.js');
  const { Random } = await import('../../trainer/random.js');
  if (from === undefined) {
    const options = resolveOptions('paper', []);
    return makeAgent(makeNetworks(OBSERVATIONS, ACTIONS, options), options, new Random(1));
  }
  const { readConfig } = await import('../../trainer/run/runConfig.js');
  const { loadCheckpoint } = await import('../../trainer/run/checkpoint.js');
  const { Mpdp } = await import('../../trainer/mpdp/mpdp.js');
  const { loadTask } = await import('../../trainer/sim/task.js');
  const { task, options, seed } = readConfig(from);
  const learner = await Mpdp.create(await loadTask(task), options, seed, engine);
  loadCheckpoint(learner, join(from, 'checkpoint'));
  learner.dispose();
  return learner.agent;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
