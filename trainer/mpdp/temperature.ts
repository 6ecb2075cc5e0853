// α learned so that the policy's entropy becomes what is wanted (SAC's automatic temperature).
import { makeAdam } from '../nets/adam.js';
import { ENTROPY_COEFFICIENT } from '../nets/critic.js';
import { gradientOf } from '../tensor/array.js';
import type { Engine } from '../tensor/engine.js';
import { type Agent, LOG_ENTROPY_COEFFICIENT } from './networks.js';
import type { Options } from './options.js';

/** One step on log α, down log α · (entropy - target), from the mean entropy of a batch. */
export type UpdateTemperature = (entropy: number) => Promise<void>;

export async function makeTemperatureUpdate(
  engine: Engine,
  { networks, temperature, scales }: Agent,
  { entropyCoefficient, targetEntropy, learningRate }: Options,
): Promise<UpdateTemperature> {
  if (entropyCoefficient !== 'learned') return async () => {};
  const target = targetEntropy ?? -networks.actionSize;
  const optimize = await makeAdam(engine, temperature.flat.shape[0], { learningRate });
  const gradient = temperature.gradients[gradientOf(LOG_ENTROPY_COEFFICIENT)].data;
  return async (entropy) => {
    gradient[0] = entropy - target;
    await optimize(temperature);
    const logAlpha = temperature.arrays[LOG_ENTROPY_COEFFICIENT].data[0];
    scales[ENTROPY_COEFFICIENT].data[0] = Math.exp(logAlpha);
  };
}
