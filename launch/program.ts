// The farsight command line's commands. Each is one file in commands/, is loaded when it is named, and loads what it needs when run.
import { Command } from 'commander';

/** In the order of the help. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  demo: async () => (await import('./commands/demo.js')).demoCommand(),
  train: async () => (await import('./commands/train.js')).trainCommand(),
  refit: async () => (await import('./commands/refit.js')).refitCommand(),
  eval: async () => (await import('./commands/eval.js')).evalCommand(),
  inspect: async () => (await import('./commands/inspect.js')).inspectCommand(),
  play: async () => (await import('./commands/play.js')).playCommand(),
  new: async () => (await import('./commands/new.js')).newCommand(),
  check: async () => (await import('./commands/check.js')).checkCommand(),
  compare: async () => (await import('./commands/compare.js')).compareCommand(),
  sweep: async () => (await import('./commands/sweep.js')).sweepCommand(),
  experiment: async () => (await import('./commands/experiment.js')).experimentCommand(),
  worker: async () => (await import('./commands/worker.js')).workerCommand(),
  rollout: async () => (await import('./commands/rollout.js')).rolloutCommand(),
  control: async () => (await import('./commands/control.js')).controlCommand(),
  robot: async () => (await import('./commands/robot.js')).robotCommand(),
  bridge: async () => (await import('./commands/bridge.js')).bridgeCommand(),
  collect: async () => (await import('./commands/collect.js')).collectCommand(),
  convert: async () => (await import('./commands/convert.js')).convertCommand(),
  deliver: async () => (await import('./commands/deliver.js')).deliverCommand(),
  monitor: async () => (await import('./commands/monitor.js')).monitorCommand(),
  bench: async () => (await import('./commands/bench.js')).benchCommand(),
  doctor: async () => (await import('./commands/doctor.js')).doctorCommand(),
  completion: async () => (await import('./commands/completion.js')).completionCommand(),
};

/** The program with all of its commands; with the one that is `named` alone, when it has no need of the others. */
export async function makeProgram(named = ''): Promise<Command> {
  const program = new Command('farsight')
    .description('Plan far in simulation, act at once on the robot.')
    .version('0.1.0')
    .showHelpAfterError('(farsight --help lists the commands)');
  // What completes the others lists them.
  const alone = Object.hasOwn(COMMANDS, named) && named !== 'completion';
  for (const make of alone ? [COMMANDS[named]] : Object.values(COMMANDS)) program.addCommand(await make());
  return program;
}
