// All that the engine runs for an agent, as its options want it.
import type { Random } from '../random.js';
import type { Task } from '../sim/task.js';
import type { Engine } from '../tensor/engine.js';
import { type Actor, makeActor } from './actor.js';
import { type Arrivals, makeArrivals } from './commandDelay.js';
import { makeCriticUpdate, type UpdateCritic } from './critic.js';
import { Dynamics } from './dynamics.js';
import { makeExpansionTargets } from './expansionTargets.js';
import { FarsightedImprovement } from './farsighted.js';
import { type MixedTargets, makeMixedTargets } from './mixedTargets.js';
import type { Agent } from './networks.js';
import type { Options } from './options.js';
import { StartStates } from './startStates.js';
import { makeTargetValue } from './targetValue.js';
import { makeTemperatureUpdate, type UpdateTemperature } from './temperature.js';
import { makeTransitionTargets } from './transitionTargets.js';

export interface Programs {
  actor: Actor;
  dynamics: Dynamics;
  startStates?: StartStates;
  /** Where commands take effect late. */
  arrivals?: Arrivals;
  criticTargets: MixedTargets;
  updateCritic: UpdateCritic;
  improvement: FarsightedImprovement;
  updateTemperature: UpdateTemperature;
}

export async function makePrograms(
  engine: Engine,
  agent: Agent,
  options: Options,
  task: Task,
  random: Random,
): Promise<Programs> {
  const { terminated } = task;
  const targetValue = await makeTargetValue(engine, agent, options);
  const arrivals =
    options.commandDelay > 0 ? await makeArrivals(engine, agent, options.batchSize) : undefined;
  const transitionTargets = makeTransitionTargets(options, targetValue, arrivals);
  const expansionTargets =
    options.criticTarget === 'expansion'
      ? await makeExpansionTargets(engine, agent, options, terminated, targetValue)
      : undefined;
  return {
    actor: await makeActor(engine, agent, task),
    dynamics: await Dynamics.create(engine, agent, options),
    startStates:
      options.startStates === 'rollouts'
        ? await StartStates.create(engine, agent, options, terminated)
        : undefined,
    arrivals,
    criticTargets: expansionTargets
      ? options.realShare > 0
        ? makeMixedTargets(agent, options, expansionTargets, transitionTargets)
        : (states, _, random) => expansionTargets(states, random)
      : (_, batch, random) => transitionTargets(batch, random),
    updateCritic: await makeCriticUpdate(engine, agent, options),
    improvement: await FarsightedImprovement.create(engine, agent, options, terminated, random),
    updateTemperature: await makeTemperatureUpdate(engine, agent, options),
  };
}
