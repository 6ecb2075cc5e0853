// The node's parameters as `ros2 param` sees them: the six services, the event topic, and the values themselves.
import { FarsightError } from '../../../contract/errors.js';
import { QOS_PREFIX, type QosOverrides } from '../rcl/qosOverrides.js';
import type { Stage } from './lifecycle.js';
import { overridesOf } from './parameterOverrides.js';
import {
  changeProblem,
  definitionOf,
  initialParameters,
  type ManagementParameters,
  PARAMETER_NAMES,
  type ParameterName,
  type ParameterValue,
  typeProblem,
  valueProblem,
} from './parameters.js';
import {
  plainQos,
  plainValue,
  qosMessage,
  TYPE,
  type ValueMessage,
  valueMessage,
} from './parameterValues.js';
import type { RosPublisher } from './rclnodejs.js';
import type { SafeNode } from './services.js';

/** As in rcutils. */
const SEVERITIES: Record<string, number> = { debug: 10, info: 20, warn: 30, error: 40 };

/** Of one request: an answer takes rclnodejs 50 µs a parameter, in which the node does nothing else. */
const MOST = 256;

type ParameterMessage = { name: string; value: ValueMessage };
type Names = { names: string[] };
type Parameters = { parameters: ParameterMessage[] };

/**
 * rclnodejs's own parameter services answer a request for an unknown name or a wrong type with an error that ends the
 * process, or with nothing; these answer it.
 */
export class ParameterServices {
  readonly values: ManagementParameters;
  readonly #safe: SafeNode;
  readonly #stage: () => Stage | undefined;
  readonly #changed: () => void;
  readonly #events: RosPublisher;

  /**
   * Values are `kept` from a process before, or come from ROS (arguments, parameter files), else from `defaults`.
   * `stage` is undefined while it changes. Throws a `FarsightError` that names every value that does not do.
   */
  constructor(
    safe: SafeNode,
    defaults: Record<string, ParameterValue>,
    kept: ManagementParameters | null,
    stage: () => Stage | undefined,
    changed: () => void,
  ) {
    this.#safe = safe;
    this.#stage = stage;
    this.#changed = changed;
    this.values = kept ?? { ...initialParameters(), ...defaults };
    const problems = kept ? [] : this.#override();
    if (problems.length > 0) throw new FarsightError(problems.join('; '));
    this.#apply('log_level');
    this.#events = safe.node.createPublisher('rcl_interfaces/msg/ParameterEvent', '/parameter_events');
    this.#serve();
    this.#tell(PARAMETER_NAMES, 'new_parameters');
  }

  /** Takes what ROS says over, and returns what is wrong with it. Others' parameters may stand in the same file. */
  #override(): string[] {
    const problems: string[] = [];
    for (const { name, type, value } of overridesOf(this.#safe.node)) {
      const given = typeof value === 'bigint' ? Number(value) : value;
      // Judged where the topic is opened.
      if (name.startsWith(QOS_PREFIX)) Object.assign(this.values, { [name]: plainQos(given) });
      else if (!definitionOf(name))
        this.#safe.node.getLogger().warn(`there is no parameter '${name}': ignored`);
      else {
        const problem = typeProblem(name, type) ?? valueProblem(name, given);
        if (problem) problems.push(problem);
        else Object.assign(this.values, { [name]: given });
      }
    }
    return problems;
  }

  #serve(): void {
    const service = (name: string) => [`rcl_interfaces/srv/${name}`, `~/${snake(name)}`] as const;
    const serve: SafeNode['serve'] = (...args) => this.#safe.serve(...args);
    serve(...service('ListParameters'), ({ prefixes, depth }: { prefixes: string[]; depth: bigint }) => ({
      result: listed(this.#names(), prefixes, Number(depth)),
    }));
    serve(...service('GetParameters'), ({ names }: Names) => ({
      values: few(names).map((name) => this.#read(name)),
    }));
    serve(...service('GetParameterTypes'), ({ names }: Names) => ({
      types: few(names).map((name) => this.#read(name).type),
    }));
    serve(...service('DescribeParameters'), ({ names }: Names) => ({
      descriptors: few(names).map((name) => this.#describe(name)),
    }));
    serve(...service('SetParameters'), ({ parameters }: Parameters) => ({
      results: few(parameters).map((one) => this.#set([one])),
    }));
    serve(...service('SetParametersAtomically'), ({ parameters }: Parameters) => ({
      result:
        parameters.length <= MOST
          ? this.#set(parameters)
          : { successful: false, reason: `more than ${MOST} parameters at once` },
    }));
  }

  #names(): string[] {
    const names = [...this.#safe.node.getParameterNames(), ...Object.keys(this.values)];
    return [...PARAMETER_NAMES, ...new Set(names.filter((name) => name.startsWith(QOS_PREFIX)))];
  }

  #read(name: string): ValueMessage {
    if (definitionOf(name)) return valueMessage(name as ParameterName, this.values[name as ParameterName]);
    if (!this.#names().includes(name)) return { type: TYPE.notSet };
    const given = (this.values as QosOverrides)[name];
    if (given !== undefined) return qosMessage(given);
    const { type, value } = this.#safe.node.getParameter(name);
    if (type === TYPE.integer) return { type, integer_value: BigInt(value as bigint) };
    return type === TYPE.bool
      ? { type, bool_value: value as boolean }
      : { type: TYPE.string, string_value: String(value) };
  }

  #describe(name: string) {
    const definition = definitionOf(name);
    const { type } = this.#read(name);
    const common = { name, type, integer_range: [], floating_point_range: [], dynamic_typing: false };
    if (!definition) {
      const known = type !== TYPE.notSet;
      const description = known ? 'Quality of service, fixed when the node starts' : '';
      return { ...common, description, additional_constraints: '', read_only: known };
    }
    const { description, change, choices, range, integer } = definition;
    const when = {
      never: 'Fixed when the node starts.',
      unconfigured: 'May change while the node is unconfigured.',
      inactive: 'May change while the node is not active.',
      always: 'May change at any time, with effect at once.',
    }[change];
    const [low, high] = range ?? [0, 0];
    return {
      ...common,
      description,
      additional_constraints: `${choices ? `One of ${choices.join(', ')}. ` : ''}${when}`,
      read_only: change === 'never',
      integer_range: range && integer ? [{ from_value: BigInt(low), to_value: BigInt(high), step: 1n }] : [],
      floating_point_range: range && !integer ? [{ from_value: low, to_value: high, step: 0 }] : [],
    };
  }

  /** All of them or none. */
  #set(parameters: ParameterMessage[]): { successful: boolean; reason: string } {
    const wanted = parameters.map(({ name, value }) => ({
      name,
      type: value.type,
      value: plainValue(value),
    }));
    for (const { name, type, value } of wanted) {
      const problem = this.#setProblem(name, type, value);
      if (problem) return { successful: false, reason: problem };
    }
    const names: ParameterName[] = [];
    for (const { name, value } of wanted) {
      Object.assign(this.values, { [name]: value });
      this.#apply(name as ParameterName);
      names.push(name as ParameterName);
    }
    this.#tell(names, 'changed_parameters');
    this.#changed();
    return { successful: true, reason: '' };
  }

  #setProblem(name: string, type: number, value: unknown): string | undefined {
    if (name.startsWith(QOS_PREFIX)) return `${name} is read-only: give it when the node starts`;
    const problem = typeProblem(name, type) ?? valueProblem(name, value);
    if (problem) return problem;
    const stage = this.#stage();
    return stage
      ? changeProblem(name as ParameterName, stage)
      : 'the node is changing its state: try again when it has';
  }

  #apply(name: ParameterName): void {
    const { node } = this.#safe;
    if (name === 'log_level') node.getLogger().setLoggerLevel(SEVERITIES[this.values.log_level]);
  }

  #tell(names: readonly ParameterName[], what: 'new_parameters' | 'changed_parameters'): void {
    const { seconds, nanoseconds } = this.#safe.node.now().secondsAndNanoseconds;
    this.#events.publish({
      stamp: { sec: Number(seconds), nanosec: Number(nanoseconds) },
      node: this.#safe.node.getFullyQualifiedName(),
      new_parameters: [],
      changed_parameters: [],
      deleted_parameters: [],
      [what]: names.map((name) => ({ name, value: valueMessage(name, this.values[name]) })),
    });
  }
}

/** What is too much to be meant is answered as nothing, as rclcpp answers what it does not know. */
function few<T>(items: readonly T[]): readonly T[] {
  return items.length <= MOST ? items : [];
}

function snake(name: string): string {
  return name.replaceAll(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}

/** As rclcpp lists: names that are, or lie under, a prefix, at most `depth` levels below it (0: all). */
function listed(all: readonly string[], prefixes: readonly string[], depth: number) {
  const levels = (text: string) => text.split('.').length;
  const within = (name: string) =>
    prefixes.length === 0
      ? depth === 0 || levels(name) <= depth
      : prefixes.some(
          (prefix) =>
            name === prefix ||
            (name.startsWith(`${prefix}.`) && (depth === 0 || levels(name) - levels(prefix) <= depth)),
        );
  const names = all.filter(within);
  const parents = names
    .filter((name) => name.includes('.'))
    .map((name) => name.slice(0, name.lastIndexOf('.')));
  return { names, prefixes: [...new Set(parents)] };
}
