// What an environment step of a preset costs on Hopper, all that Algorithm 2 does for it included.
import type { Preset } from '../../trainer/mpdp/options.js';
import type { Engine } from '../../trainer/tensor/engine.js';

/** Transitions of random actions that the model is trained on and plans start from. */
const TRANSITIONS = 5000;
/** Updates before the first one that counts. */
const WARM_UPDATES = 3;
const ENVIRONMENT_STEPS = 200;

export interface EnvironmentStep {
  preset: string;
  /** Of one environment step: the parts of `split` together. */
  milliseconds: number;
  /** The shares of acting and simulating, of the model's training, of the critic's and of the policies' updates. */
  split: { environment: number; model: number; critic: number; policy: number };
  /** Mean steps of a planned trajectory, and minibatches of one training of the model. */
  horizon: number;
  modelUpdates: number;
}

/** Trains the model once, then makes updates for about `seconds`. The reason of `stop` is thrown when it aborts. */
export async function measureEnvironmentStep(
  engine: Engine,
  preset: Preset,
  seconds: number,
  stop: AbortSignal,
): Promise<EnvironmentStep> {
  const { Mpdp } = await import('../../trainer/mpdp/mpdp.js');
  const { PRESETS } = await import('../../trainer/mpdp/options.js');
  const { loadTask } = await import('../../trainer/sim/task.js');
  const { Turns } = await import('../../trainer/turns.js');
  const options = { ...PRESETS[preset], warmupSteps: TRANSITIONS };
  const run = await Mpdp.create(await loadTask('hopper'), options, 1, engine);
  const { position } = run;
  const turns = new Turns(stop);
  const update = async () => {
    await run.update();
    await turns.pass();
  };
  /** Milliseconds that `work` adds to the split. */
  const spent = async (work: () => Promise<void>) => {
    const before = { ...position.timeSplit };
    await work();
    const { environment, model, critic, policy } = position.timeSplit;
    return {
      environment: 1000 * (environment - before.environment),
      model: 1000 * (model - before.model),
      critic: 1000 * (critic - before.critic),
      policy: 1000 * (policy - before.policy),
    };
  };
  /** Steps the environment alone: what a step brings is measured by itself. */
  const collect = async (steps: number) => {
    for (const end = position.environmentSteps + steps; position.environmentSteps < end; ) {
      Object.assign(position, { modelDue: false, criticUpdatesDue: 0, updatesDue: 0 });
      position.measuredAt = position.environmentSteps;
      await run.step();
      await turns.pass();
    }
  };
  try {
    await collect(TRANSITIONS);
    Object.assign(position, { modelDue: true, measuredAt: position.environmentSteps });
    const training = await spent(async () => void (await run.step(stop)));
    const { updates: modelUpdates } = position.modelFit as { updates: number };
    for (let i = 0; i < WARM_UPDATES; i++) await update();
    run.window.take(options.horizonMax);
    const began = performance.now();
    let updates = 0;
    const improving = await spent(async () => {
      for (; updates === 0 || performance.now() - began < 1000 * seconds; updates++) await update();
    });
    const { horizon } = run.window.take(options.horizonMax);
    const acting = await spent(() => collect(ENVIRONMENT_STEPS));
    const { updatesPerStep, criticUpdates, modelEvery } = options;
    const split = {
      environment: acting.environment / ENVIRONMENT_STEPS,
      model: training.model / modelEvery,
      critic: (improving.critic / updates) * (updatesPerStep + criticUpdates / modelEvery),
      // Updates of the critic alone want start states, too; the plans are what costs here.
      policy: (improving.policy / updates) * updatesPerStep,
    };
    const milliseconds = Object.values(split).reduce((sum, part) => sum + part, 0);
    return { preset, milliseconds, split, horizon: horizon as number, modelUpdates };
  } finally {
    run.dispose();
  }
}
