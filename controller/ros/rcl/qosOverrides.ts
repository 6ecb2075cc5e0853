// QoS of a topic as ROS parameters give it: qos_overrides.<topic>.<publisher or subscription>.<policy>, as rclcpp has it.
import { FarsightError } from '../../../contract/errors.js';
import type { Qos } from './qos.js';

export const QOS_PREFIX = 'qos_overrides.';
/** Parameters by their names, those that begin with QOS_PREFIX among them. */
export type QosOverrides = Readonly<Record<string, string | number | boolean>>;

/** Most messages that may wait: all of them are read in one tick. */
const DEEPEST = 256;
/** ns, as rmw has it; 0 is no end either. */
const FOREVER = 2 ** 63 - 1;

/** What each policy makes of a value; undefined when it does not do, for it wants what is said beside it. */
const POLICIES: Record<string, { wants: string; take(value: unknown): Partial<Qos> | undefined }> = {
  reliability: oneOf('reliability', { reliable: 'reliable', best_effort: 'bestEffort' }),
  durability: oneOf('durability', { volatile: 'volatile', transient_local: 'transientLocal' }),
  liveliness: oneOf('liveliness', { automatic: 'automatic', manual_by_topic: 'manual' }),
  history: { wants: 'keep_last', take: (value) => (value === 'keep_last' ? {} : undefined) },
  depth: {
    wants: `a whole number from 1 to ${DEEPEST}`,
    take: (value) =>
      Number.isInteger(value) && (value as number) >= 1 && (value as number) <= DEEPEST
        ? { depth: value as number }
        : undefined,
  },
  deadline: nanoseconds('deadline'),
  liveliness_lease_duration: nanoseconds('lease'),
};

function oneOf<Policy extends 'reliability' | 'durability' | 'liveliness'>(
  policy: Policy,
  values: Record<string, NonNullable<Qos[Policy]>>,
) {
  return {
    wants: `one of ${Object.keys(values).join(', ')}`,
    take: (value: unknown) =>
      Object.hasOwn(values, String(value)) ? { [policy]: values[String(value)] } : undefined,
  };
}

function nanoseconds(field: 'deadline' | 'lease') {
  return {
    wants: 'a whole number of nanoseconds',
    take: (value: unknown) =>
      Number.isInteger(value) && (value as number) >= 0
        ? { [field]: value === 0 || (value as number) >= FOREVER ? undefined : (value as number) / 1e9 }
        : undefined,
  };
}

/**
 * `qos` with what `overrides` say of the publisher or subscription of `topic`, a full name. Throws a `FarsightError`
 * for a policy or a value that is none.
 */
export function overriddenQos(
  qos: Qos,
  topic: string,
  kind: 'publisher' | 'subscription',
  overrides: QosOverrides,
): Qos {
  const prefix = `${QOS_PREFIX}${topic}.`;
  let changed = qos;
  for (const [name, value] of Object.entries(overrides)) {
    if (!name.startsWith(prefix)) continue;
    const [entity, policy, ...rest] = name.slice(prefix.length).split('.');
    if (!/^(publisher|subscription)(_|$)/.test(entity) || policy === undefined || rest.length > 0)
      throw new FarsightError(`parameter ${name}: no QoS; it would be ${prefix}${kind}.<policy>`);
    if (entity !== kind) continue;
    if (!Object.hasOwn(POLICIES, policy))
      throw new FarsightError(`parameter ${name}: ${policy} is none of ${Object.keys(POLICIES).join(', ')}`);
    const { wants, take } = POLICIES[policy];
    const taken = take(value);
    if (!taken) throw new FarsightError(`parameter ${name} is '${value}': it wants ${wants}`);
    changed = { ...changed, ...taken };
  }
  return changed;
}
