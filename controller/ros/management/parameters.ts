// The parameters of the controller's ROS 2 node: names, kinds, ranges, and when each may change.
import type { Stage } from './lifecycle.js';

export type ParameterValue = boolean | number | string;

interface Definition {
  initial: ParameterValue;
  /** A number is a double unless this says that it is whole. */
  integer?: true;
  /** Smallest and largest allowed value. */
  range?: readonly [number, number];
  choices?: readonly string[];
  /** Why it can be nothing but what it is initially. */
  fixed?: string;
  /** The last stage in which it may change; `always`: it takes effect at once. */
  change: 'never' | 'unconfigured' | 'inactive' | 'always';
  description: string;
}

export const PARAMETERS = {
  policy: {
    initial: '',
    change: 'inactive',
    description: 'Path of the policy file. Read at configure, and by ~/reload_policy',
  },
  task: {
    initial: '',
    change: 'unconfigured',
    description: 'Refuse a policy for another task; empty: any task',
  },
  robot_map: {
    initial: '',
    change: 'unconfigured',
    description: "Path of the YAML file that maps the policy's joints to topics; empty: the default map",
  },
  state_directory: {
    initial: '',
    change: 'never',
    description: 'Directory that keeps a latched fault across a restart; empty: none is kept',
  },
  rate: {
    initial: 0,
    range: [0, 20_000],
    change: 'unconfigured',
    description:
      "Rate of the loop, Hz: a whole multiple of the policy's own; 0: the multiple that is nearest to 500",
  },
  interpolation: {
    initial: 'hold',
    choices: ['hold', 'linear'],
    change: 'unconfigured',
    description:
      "Between two of the policy's actions: hold the last, or ramp to the newest (one step of delay)",
  },
  align_to: {
    initial: 'none',
    choices: ['none', 'sensors'],
    change: 'unconfigured',
    description:
      "Shift the loop's ticks slowly to just after the sensors' messages, which come at its rate or a whole multiple or fraction of it, and wait a little for one that is late",
  },
  blend_time: {
    initial: -1,
    range: [-1, 60],
    change: 'unconfigured',
    description: "Seconds from the held command to the policy's after activation; -1: the policy file's own",
  },
  sensor_timeout: {
    initial: 0,
    range: [0, 10],
    change: 'unconfigured',
    description: "Sensors older than this fault the controller, s; 0: the policy file's own",
  },
  robot_timeout: {
    initial: 30,
    range: [0, 86_400],
    change: 'unconfigured',
    description:
      "Seconds that configure waits for the robot's topics, saying what is still missing, before it is refused",
  },
  heartbeat_timeout: {
    initial: 2,
    range: [0.3, 60],
    change: 'always',
    description:
      "Without a sign of life of this node's process for this long, the loop brings the robot to its safe mode, s; its end is noticed at once. The loop's own watch over the control process takes the value of configure",
  },
  core: {
    initial: -1,
    integer: true,
    range: [-1, 1023],
    change: 'unconfigured',
    description: "The processor that the loop's thread stays on, such as an isolated one; -1: any",
  },
  use_sim_time: {
    initial: false,
    fixed:
      "it cannot be true, because the loop ticks on this computer's time and does not follow /clock: leave it false, give the simulator's topics 'stamp: arrival' in the robot map, and run the simulator at real time",
    change: 'always',
    description: "Only false: the loop ticks on this computer's time and does not follow /clock",
  },
  log_level: {
    initial: 'info',
    choices: ['debug', 'info', 'warn', 'error'],
    change: 'always',
    description: "The least severity of what this node's logger says",
  },
  'diagnostics.missed_warn': {
    initial: 1,
    integer: true,
    range: [1, 1_000_000],
    change: 'always',
    description: 'This many ticks missed in a second are a warning in /diagnostics',
  },
  'diagnostics.missed_error': {
    initial: 10,
    integer: true,
    range: [1, 1_000_000],
    change: 'always',
    description: 'This many ticks missed in a second are an error in /diagnostics',
  },
  'diagnostics.wake_p99_warn': {
    initial: 200,
    range: [1, 1e6],
    change: 'always',
    description: "The loop's wake-up lateness at p99 over a second that is a warning in /diagnostics, µs",
  },
  'diagnostics.wake_p99_error': {
    initial: 1000,
    range: [1, 1e6],
    change: 'always',
    description: "The loop's wake-up lateness at p99 over a second that is an error in /diagnostics, µs",
  },
  'diagnostics.sensor_age_warn': {
    initial: 0.02,
    range: [0.0001, 60],
    change: 'always',
    description: 'The age of a sensor that is a warning in /diagnostics, s',
  },
  'diagnostics.sensor_age_error': {
    initial: 0.1,
    range: [0.0001, 60],
    change: 'always',
    description: 'The age of a sensor that is an error in /diagnostics, s',
  },
} as const satisfies Record<string, Definition>;

export type ParameterName = keyof typeof PARAMETERS;
export const PARAMETER_NAMES = Object.keys(PARAMETERS) as ParameterName[];
type Widened<V> = V extends string ? string : V extends number ? number : boolean;
/** The node's own; what ROS was given for the QoS of topics stands beside them, by its name (see QosOverrides). */
export type ManagementParameters = {
  -readonly [N in ParameterName]: Widened<(typeof PARAMETERS)[N]['initial']>;
};

export function definitionOf(name: string): Definition | undefined {
  return Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name as ParameterName] : undefined;
}

export function initialParameters(): ManagementParameters {
  return Object.fromEntries(
    PARAMETER_NAMES.map((name) => [name, PARAMETERS[name].initial]),
  ) as ManagementParameters;
}

/** The types of a parameter's value, in the order of rcl_interfaces/msg/ParameterType. */
const TYPES = [
  ...['not set', 'bool', 'integer', 'double', 'string'],
  ...['byte_array', 'bool_array', 'integer_array', 'double_array', 'string_array'],
] as const;

/** The type of a parameter's value, an index in rcl_interfaces/msg/ParameterType. */
export function typeOf(name: ParameterName): number {
  const { initial, integer } = definitionOf(name)!;
  const type = { boolean: 'bool', number: integer ? 'integer' : 'double', string: 'string' } as const;
  return TYPES.indexOf(type[typeof initial as 'string']);
}

/** Why a value of `type` does not do for a parameter, as rclcpp says it; undefined when it does, or there is none. */
export function typeProblem(name: string, type: number): string | undefined {
  if (!definitionOf(name) || type === typeOf(name as ParameterName)) return undefined;
  const [own, given] = [typeOf(name as ParameterName), type].map((one) => TYPES[one] ?? 'unknown');
  const hint = own === 'double' && given === 'integer' ? ` (give it a decimal point, as in 500.0)` : '';
  return `Wrong parameter type, parameter {${name}} is of type {${own}}, setting it to {${given}} is not allowed.${hint}`;
}

/** Why `value` does not do for a parameter, whatever the stage; undefined when it does. */
export function valueProblem(name: string, value: unknown): string | undefined {
  const definition = definitionOf(name);
  if (!definition) return `there is no parameter '${name}'`;
  const { initial, integer, range, choices, fixed } = definition;
  if (typeof value !== typeof initial || (typeof value === 'number' && !Number.isFinite(value))) {
    const kind = typeof initial === 'number' ? 'number' : typeof initial;
    return `${name} wants a ${integer ? 'whole number' : kind}`;
  }
  if (fixed && value !== initial) return `${name}: ${fixed}`;
  if (integer && !Number.isInteger(value)) return `${name} wants a whole number`;
  if (range && ((value as number) < range[0] || (value as number) > range[1]))
    return `${name} is ${value}, outside ${range[0]} to ${range[1]}`;
  if (choices && !choices.includes(value as string))
    return `${name} is '${value}': it wants one of ${choices.join(', ')}`;
  return undefined;
}

/** Why a parameter may not change in a stage; undefined when it may. */
export function changeProblem(name: ParameterName, stage: Stage): string | undefined {
  const { change } = PARAMETERS[name] as Definition;
  if (change === 'never') return `${name} is read-only: give it when the node starts`;
  if (change === 'unconfigured' && stage !== 'unconfigured')
    return `${name} cannot change while the node is ${stage}: bring it to unconfigured first (ros2 lifecycle set <node> ${stage === 'active' ? 'deactivate, then ' : ''}cleanup)`;
  if (change === 'inactive' && stage === 'active')
    return `${name} cannot change while the node is active: deactivate it first`;
  return undefined;
}
