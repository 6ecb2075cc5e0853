// farsight bench trainer: imagined steps with all gradients a second, and what a whole environment step costs.
import { UsageError } from '../../contract/errors.js';
import type { Preset } from '../../trainer/mpdp/options.js';
import { type EnvironmentStep, measureEnvironmentStep } from '../bench/environmentStep.js';
import { command, execute, parse } from '../command.js';
import { deviceOption, dumpOption, type EngineFlags, makeEngine, threadsOption } from '../engineFlags.js';
import { startProgress } from '../progress.js';
import { stoppable } from '../signals.js';

/** Observation and action sizes of Hopper: with preset `paper`, the sizes of the paper. */
const OBSERVATIONS = 11;
const ACTIONS = 3;

export interface TrainerBenchmark {
  /** Imagined states a second: planned, scored, differentiated, and all policies updated. */
  imaginedStepsPerSecond: number;
  /** Improvements (Algorithm 1) a second at this horizon, every trajectory running its whole length. */
  updatesPerSecond: number;
  horizon: number;
  /** GFLOP/s in the matrix products of an improvement. */
  gflops: number;
  /** GFLOP/s of this machine's best matrix product, same runtime and threads, measured in turns with the above. */
  machineGflops: number;
  share: number;
  threads: number;
  /** With --eager: seconds of one improvement run eagerly over those of a compiled one. */
  eagerRatio?: number;
  environmentSteps: EnvironmentStep[];
}

interface Flags {
  horizon: number;
  seconds: number;
  threads: number;
  device: EngineFlags['device'];
  dump?: string;
  eager?: boolean;
  presets: string;
  json?: boolean;
}

export function benchTrainerCommand() {
  return command(
    'trainer',
    "measure planning with gradients beside the machine's own matrix products",
    'farsight bench trainer --seconds 20 --json',
  )
    .option('--horizon <number>', 'steps of every trajectory', parse.positiveInteger, 5)
    .option('--seconds <number>', 'time to measure for', parse.positiveNumber, 20)
    .addOption(threadsOption())
    .addOption(deviceOption())
    .option('--eager', 'run one improvement eagerly, too: about half a minute')
    .option(
      '--presets <names>',
      'whose environment steps to measure, too; none for none',
      'paper,fast,wide,smoke',
    )
    .addOption(dumpOption())
    .action((flags: Flags) =>
      execute(flags.json, () => stoppable('this step', (stop) => benchTrainer(flags, stop)), show),
    );
}

async function benchTrainer(
  { horizon, seconds, threads, device, dump, eager, presets }: Flags,
  stop: AbortSignal,
): Promise<TrainerBenchmark> {
  const { makeAgent, makeNetworks } = await import('../../trainer/mpdp/networks.js');
  const { FarsightedImprovement } = await import('../../trainer/mpdp/farsighted.js');
  const { PRESETS, resolveOptions } = await import('../../trainer/mpdp/options.js');
  const { Random } = await import('../../trainer/random.js');
  const { NdArray } = await import('../../trainer/tensor/array.js');
  const { tf } = await import('../../trainer/tensor/tf.js');
  const { Turns } = await import('../../trainer/turns.js');
  const measured = presets === 'none' ? [] : presets.split(',');
  for (const name of measured) {
    if (!Object.hasOwn(PRESETS, name))
      throw new UsageError(`--presets '${name}': choose from ${Object.keys(PRESETS).join(', ')}, or none`);
  }
  const options = resolveOptions('paper', [`horizonMax=${horizon}`]);
  const random = new Random(1);
  const engine = await makeEngine({ engine: 'compiled', device, threads, dump });
  const agent = makeAgent(makeNetworks(OBSERVATIONS, ACTIONS, options), options, random);
  const improvement = await FarsightedImprovement.create(engine, agent, options, () => false, random);
  const turns = new Turns(stop);
  const states = random.fillNormal(new Float32Array(options.batchSize * OBSERVATIONS));
  const improve = () => improvement.improve(states, Number.POSITIVE_INFINITY);
  const products = await Promise.all(
    [
      { a: [7, 256, 200], b: [7, 200, 200] },
      { a: [1024, 1024], b: [1024, 1024] },
    ].map(async (shapes) => {
      const program = await engine.program({
        name: `matrix product ${shapes.a}`,
        inputs: shapes,
        body: ({ a, b }) => ({ product: tf.matMul(a, b) }),
      });
      const arrays = { a: new NdArray(shapes.a), b: new NdArray(shapes.b) };
      random.fillNormal(arrays.a.data);
      random.fillNormal(arrays.b.data);
      const outputs = program.outputs();
      return { flops: program.matrixFlops, run: () => program.run(arrays, outputs) };
    }),
  );
  const eagerSeconds = async () => {
    const slow = await makeEngine({ engine: 'eager', device, threads }, stop);
    const reference = await FarsightedImprovement.create(slow, agent, options, () => false, random);
    const began = performance.now();
    await reference.improve(states, Number.POSITIVE_INFINITY);
    return (performance.now() - began) / 1000;
  };
  await improve();
  const progress = startProgress({ title: 'bench trainer', total: Math.round(seconds), unit: 's' });
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  let improvements = 0;
  let planning = 0;
  const rates = products.map(() => ({ flops: 0, seconds: 0 }));
  while (elapsed() < seconds) {
    planning += await timed(improve, 0.5, () => improvements++);
    for (const [i, { flops, run }] of products.entries()) {
      rates[i].seconds += await timed(run, 0.1, () => {
        rates[i].flops += flops;
      });
    }
    progress.update(Math.round(elapsed()));
    await turns.pass();
  }
  progress.finish();
  const environmentSteps: EnvironmentStep[] = [];
  for (const preset of measured) {
    environmentSteps.push(await measureEnvironmentStep(engine, preset as Preset, seconds / 4, stop));
  }
  const machineGflops = Math.max(...rates.map((rate) => rate.flops / rate.seconds)) / 1e9;
  const gflops = (improvement.matrixFlops(horizon) * improvements) / planning / 1e9;
  return {
    imaginedStepsPerSecond: (improvements * horizon * options.batchSize) / planning,
    updatesPerSecond: improvements / planning,
    horizon,
    gflops,
    machineGflops,
    share: gflops / machineGflops,
    threads,
    environmentSteps,
    ...(eager && { eagerRatio: (await eagerSeconds()) / (planning / improvements) }),
  };
}

/** Runs `work` again and again for about `seconds`; returns the seconds it took. */
async function timed(work: () => Promise<unknown>, seconds: number, onRun: () => void): Promise<number> {
  const began = performance.now();
  for (;;) {
    await work();
    onRun();
    const elapsed = (performance.now() - began) / 1000;
    if (elapsed >= seconds) return elapsed;
  }
}

function show({
  imaginedStepsPerSecond,
  updatesPerSecond,
  horizon,
  gflops,
  machineGflops,
  share,
  threads,
  eagerRatio,
  environmentSteps,
}: TrainerBenchmark) {
  console.log(
    `${Math.round(imaginedStepsPerSecond)} imagined states a second with all gradients (${threads} threads)`,
  );
  console.log(`${updatesPerSecond.toFixed(1)} improvements a second at horizon ${horizon}`);
  console.log(
    `${gflops.toFixed(0)} GFLOP/s of ${machineGflops.toFixed(0)} that matrix products reach here: ${(100 * share).toFixed(0)} %`,
  );
  if (eagerRatio !== undefined) console.log(`${eagerRatio.toFixed(0)} times as fast as eager TensorFlow.js`);
  for (const { preset, milliseconds, split, horizon } of environmentSteps) {
    const parts = Object.entries(split).map(([part, own]) => `${part} ${own.toFixed(2)}`);
    console.log(
      `${milliseconds.toFixed(1)} ms an environment step of ${preset} (ms: ${parts.join(', ')}; mean horizon ${horizon.toFixed(1)})`,
    );
  }
}
