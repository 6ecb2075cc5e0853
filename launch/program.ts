// The farsight command line's commands. Each is one file in commands/ and loads what it needs when run.
import { Command } from 'commander';
import { benchCommand } from './commands/bench.js';
import { bridgeCommand } from './commands/bridge.js';
import { checkCommand } from './commands/check.js';
import { collectCommand } from './commands/collect.js';
import { compareCommand } from './commands/compare.js';
import { completionCommand } from './commands/completion.js';
import { controlCommand } from './commands/control.js';
import { convertCommand } from './commands/convert.js';
import { deliverCommand } from './commands/deliver.js';
import { demoCommand } from './commands/demo.js';
import { doctorCommand } from './commands/doctor.js';
import { evalCommand } from './commands/eval.js';
import { experimentCommand } from './commands/experiment.js';
import { inspectCommand } from './commands/inspect.js';
import { monitorCommand } from './commands/monitor.js';
import { newCommand } from './commands/new.js';
import { playCommand } from './commands/play.js';
import { refitCommand } from './commands/refit.js';
import { robotCommand } from './commands/robot.js';
import { rolloutCommand } from './commands/rollout.js';
import { sweepCommand } from './commands/sweep.js';
import { trainCommand } from './commands/train.js';
import { workerCommand } from './commands/worker.js';

export function makeProgram(): Command {
  const program = new Command('farsight')
    .description('Plan far in simulation, act at once on the robot.')
    .version('0.1.0')
    .showHelpAfterError('(farsight --help lists the commands)');
  for (const make of [
    demoCommand,
    trainCommand,
    refitCommand,
    evalCommand,
    inspectCommand,
    playCommand,
    newCommand,
    checkCommand,
    compareCommand,
    sweepCommand,
    experimentCommand,
    workerCommand,
    rolloutCommand,
    controlCommand,
    robotCommand,
    bridgeCommand,
    collectCommand,
    convertCommand,
    deliverCommand,
    monitorCommand,
    benchCommand,
    doctorCommand,
    completionCommand,
  ]) {
    program.addCommand(make());
  }
  return program;
}
