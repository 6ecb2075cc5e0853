// The values of parameters as ROS messages carry them, those of a topic's quality of service too.
import { type ParameterName, type ParameterValue, typeOf } from './parameters.js';

/** As in rcl_interfaces/msg/ParameterType. */
export const TYPE = { notSet: 0, bool: 1, integer: 2, double: 3, string: 4 } as const;
/** As a duration, ns, without an end; as a double it is more than fits. */
const FOREVER = 2n ** 63n - 1n;

export interface ValueMessage {
  type: number;
  bool_value?: boolean;
  integer_value?: bigint;
  double_value?: number;
  string_value?: string;
}
export function valueMessage(name: ParameterName, value: ParameterValue): ValueMessage {
  const type = typeOf(name);
  if (typeof value === 'boolean') return { type, bool_value: value };
  if (typeof value === 'string') return { type, string_value: value };
  return type === TYPE.integer ? { type, integer_value: BigInt(value) } : { type, double_value: value };
}

/** A value of a QoS parameter, or for one that no QoS has what it is as text. */
export function plainQos(given: unknown): ParameterValue {
  const type = typeof given;
  return type === 'string' || type === 'boolean' || Number.isInteger(given)
    ? (given as ParameterValue)
    : String(given);
}

export function qosMessage(value: ParameterValue): ValueMessage {
  if (typeof value === 'boolean') return { type: TYPE.bool, bool_value: value };
  return typeof value === 'string'
    ? { type: TYPE.string, string_value: value }
    : { type: TYPE.integer, integer_value: BigInt(value) < FOREVER ? BigInt(value) : FOREVER };
}

/** What is no single value is undefined. */
export function plainValue(value: ValueMessage): ParameterValue | undefined {
  if (value.type === TYPE.bool) return value.bool_value;
  if (value.type === TYPE.integer) return Number(value.integer_value);
  if (value.type === TYPE.double) return value.double_value;
  return value.type === TYPE.string ? value.string_value : undefined;
}
