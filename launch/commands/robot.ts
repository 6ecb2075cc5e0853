// farsight robot: the simulated robot as its own ROS 2 node, physics at real time, with faults to rehearse.

import { command, execute, parse, say } from '../command.js';
import { avoidSharedMemory } from '../fastDds.js';
import { faultsSchema } from '../robot/faults.js';
import type { RobotNodeResult } from '../robot/node.js';
import { parseRosArguments } from '../rosArguments.js';
import { onStopSignal } from '../signals.js';

interface Options {
  task: string;
  rate: number;
  robotMap?: string;
  set?: string[];
  seed: number;
  duration?: number;
  rosArgs?: string[];
  json?: boolean;
}

const DETAILS = `
Topics and a service (relative to the namespace; remap them with --ros-args):
  joint_states                            sensor_msgs/JointState, out: position and velocity, stamped
  forward_command_controller/commands     std_msgs/Float64MultiArray, in: one number for each action
                                          (with --robot-map the map's topics, messages, names, signs and offsets
                                          instead of these two)
  ~/fault                                 std_msgs/String, in: 'delay=0.02 loss=0.1', or 'none' to heal
  ~/reset                                 std_srvs/Trigger: goes to a new start state
  ~/resets, ~/terminations                std_msgs/Header, out: the stamp of the first joint state after a new
                                          start, and of the first for which the task's termination holds
The robot holds its start state until a command means to move. Without commands for 0.1 s it damps.

Faults (--set, and ~/fault while it runs):
${Object.entries(faultsSchema.shape)
  .map(([key, { description }]) => `  ${key.padEnd(16)} ${description}`)
  .join('\n')}`;

export function robotCommand() {
  return command(
    'robot',
    'the simulated robot as its own ROS 2 node',
    `farsight robot --task inverted-pendulum --set delay=0.005
  $ ros2 topic pub --once /farsight_robot/fault std_msgs/msg/String "data: loss=0.2"`,
  )
    .requiredOption('--task <name|path>', 'a built-in task or the path of your own')
    .option('--rate <hz>', 'sensor messages a second', parse.positiveNumber, 1000)
    .option('--robot-map <file>', "the controller's map of a robot, whose topics this one then has")
    .option('--set <fault=value>', 'a fault from the beginning (repeatable)', parse.several)
    .option('--seed <n>', "seed of the start states and of the faults' chances", parse.seed, 1)
    .option('--duration <seconds>', 'stop after this time (default: on Ctrl-C)', parse.positiveNumber)
    .option('--ros-args <arguments>', "ROS 2's own arguments, up to -- or the end", parseRosArguments)
    .addHelpText('after', DETAILS)
    .action((options: Options) =>
      execute(
        options.json,
        () => run(options),
        (result) => console.log(summary(result)),
      ),
    );
}

async function run(options: Options): Promise<RobotNodeResult> {
  const { runRobotNode } = await import('../robot/node.js');
  avoidSharedMemory();
  const stop = new AbortController();
  const releaseSignals = onStopSignal(() => stop.abort());
  let timer: NodeJS.Timeout | undefined;
  try {
    return await runRobotNode(
      {
        ...options,
        // Empty as the parameter of the controller: the default map.
        robotMap: options.robotMap || undefined,
        faults: options.set ?? [],
        rosArguments: options.rosArgs ?? [],
      },
      stop.signal,
      {
        ready({ task, joints, topics }) {
          say(
            `robot '${task}' with joints ${joints.join(', ')}: ${topics.sensors.join(', ')} at ${options.rate} Hz`,
          );
          say(`commands: ${topics.commands.join(', ')}; faults: ${topics.faults}`);
          if (options.duration !== undefined) timer = setTimeout(() => stop.abort(), options.duration * 1000);
        },
        say,
      },
    );
  } finally {
    clearTimeout(timer);
    releaseSignals();
  }
}

function summary(result: RobotNodeResult): string {
  const { task, seconds, dropped, published, received, refusals, resets } = result;
  const refused = Object.entries(refusals).map(([reason, count]) => `${count} ${reason}`);
  return [
    `${task}: ${seconds.toFixed(1)} s${dropped > 0 ? `, of which ${dropped.toFixed(1)} s were dropped` : ''}`,
    `published ${published} measurements; received ${received} commands${refused.length > 0 ? `, refused ${refused.join(', ')}` : ''}`,
    `new starts: ${resets}`,
  ].join('\n');
}
