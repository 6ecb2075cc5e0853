// What can be wrong with the simulated robot, so that people can rehearse it: the settings, their limits and their text form.
import { z } from 'zod';
import { UsageError } from '../../contract/errors.js';
import { changeSettings } from '../../contract/settings.js';

/** Of sensors and of actuators, seconds. */
export const LONGEST_DELAY = 1;

const delay = z.number().min(0).max(LONGEST_DELAY);
const deviation = z.number().min(0);
const joints = z.string().min(1);
const scale = z.number().positive().max(100);

/** Every setting at its default is a healthy robot. Changes take effect from the next physics step on. */
export const faultsSchema = z.strictObject({
  delay: delay.default(0).describe('seconds from a measurement to its message; its stamp stays'),
  loss: z.number().min(0).max(1).default(0).describe('probability that a sensor message is lost'),
  positionNoise: deviation.default(0).describe('standard deviation of measured positions, rad or m'),
  velocityNoise: deviation.default(0).describe('standard deviation of measured velocities, rad/s or m/s'),
  stuck: joints.default('none').describe("joint whose readings stay as they are now; or 'all'"),
  jump: z.number().default(0).describe('added to every measured position from now on, rad or m'),
  nan: joints.default('none').describe("joint whose readings are NaN; or 'all'"),
  freeze: z.boolean().default(false).describe('no sensor messages at all'),
  backward: z.number().min(0).default(0).describe('seconds by which stamps are set back'),
  gain: z.number().min(0).max(10).default(1).describe('strength of the actuators; 1 is healthy, 0 limp'),
  actuatorDelay: delay.default(0).describe('seconds from a command to its effect'),
  mass: scale.default(1).describe('factor on the mass and inertia of every body'),
  jointFriction: z.number().min(0).default(0).describe('dry friction added to every joint, N or N m'),
  contactFriction: scale.default(1).describe('factor on the friction of every contact'),
});
export type Faults = z.output<typeof faultsSchema>;

export const HEALTHY: Readonly<Faults> = faultsSchema.parse({});

const WORDS = { kind: 'fault', form: 'key=value, or none to heal the robot' };

/**
 * `faults` changed by `key=value` settings; the setting `none` heals everything set before it. Throws a `UsageError`
 * for a key, a value or a joint (of `known`) that does not exist, beginning with the `source` of the settings.
 */
export function changeFaults(
  faults: Readonly<Faults>,
  settings: readonly string[],
  known: readonly string[],
  source = 'fault',
): Faults {
  const healed = settings.lastIndexOf('none');
  const changed = changeSettings(faultsSchema, healed < 0 ? faults : HEALTHY, settings.slice(healed + 1), {
    source,
    ...WORDS,
  });
  for (const key of ['stuck', 'nan'] as const) {
    const named = changed[key];
    if (named !== 'none' && named !== 'all' && !known.includes(named)) {
      throw new UsageError(
        `${source} ${key}: there is no joint '${named}'; choose ${known.join(', ')}, all or none`,
      );
    }
  }
  return changed;
}

/** What differs from a healthy robot, as settings; `none` when nothing does. */
export function describeFaults(faults: Readonly<Faults>): string {
  const keys = Object.keys(HEALTHY) as (keyof Faults)[];
  const settings = keys.filter((key) => faults[key] !== HEALTHY[key]).map((key) => `${key}=${faults[key]}`);
  return settings.length > 0 ? settings.join(' ') : 'none';
}
