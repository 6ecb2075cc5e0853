// farsight bench: the benchmarks, each with its yardstick measured in the same run.
import { Command } from 'commander';
import { benchControlCommand } from './benchControl.js';
import { benchPlannerCommand } from './benchPlanner.js';
import { benchRosCommand } from './benchRos.js';
import { benchTrainerCommand } from './benchTrainer.js';

export function benchCommand() {
  const bench = new Command('bench')
    .description("measure the trainer or the loop beside this machine's own limits")
    .showHelpAfterError('(farsight bench --help lists the benchmarks)')
    .addCommand(benchTrainerCommand())
    .addCommand(benchControlCommand())
    .addCommand(benchPlannerCommand())
    .addCommand(benchRosCommand());
  for (const one of bench.commands) {
    one.showHelpAfterError(`(farsight bench ${one.name()} --help shows every option)`);
  }
  return bench;
}
