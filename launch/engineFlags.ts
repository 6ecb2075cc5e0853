// The flags that say what a command computes with, and the engine that they ask for.
import { availableParallelism } from 'node:os';
import { Option } from 'commander';
import { makeDirectory } from '../contract/directory.js';
import { FarsightError, messageOf } from '../contract/errors.js';
import { parse, say } from './command.js';

export const ENGINES = ['compiled', 'eager'] as const;
export const DEVICES = ['cpu', 'cuda'] as const;

export interface EngineFlags {
  engine: (typeof ENGINES)[number];
  device: (typeof DEVICES)[number];
  threads: number;
  dump?: string;
}

export const engineOption = () =>
  new Option('--engine <kind>', 'compiled, or eager: the slow reference')
    .choices(ENGINES)
    .default('compiled');

export const deviceOption = () =>
  new Option('--device <kind>', 'of the engine').choices(DEVICES).default('cpu');

export const threadsOption = () =>
  new Option('--threads <number>', 'threads of the compiled engine')
    .argParser(parse.positiveInteger)
    .default(Math.min(4, availableParallelism()));

export const dumpOption = () =>
  new Option('--dump <directory>', 'write every compiled program there, as a table and as ONNX');

/** The engine that the flags ask for; the eager one, whose programs take seconds, throws the reason of `stop` between them. */
export async function makeEngine({ engine, device, threads, dump }: EngineFlags, stop?: AbortSignal) {
  const { CompiledEngine, EagerEngine, selectEagerBackend } = await import('../trainer/tensor/engine.js');
  if (dump !== undefined) {
    try {
      makeDirectory(dump);
    } catch (error) {
      throw new FarsightError(`--dump '${dump}' cannot be made: ${messageOf(error)}; choose another`);
    }
  }
  if (engine === 'compiled') return new CompiledEngine({ threads, device, dumpDirectory: dump });
  say(`eager TensorFlow.js on backend '${await selectEagerBackend()}'`);
  return new EagerEngine(stop);
}
