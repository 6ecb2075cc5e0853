// Faults of the body: its masses, its friction and the strength of its actuators, as factors on the compiled model.
import type { MjModel } from '@mujoco/mujoco';
import type { Faults } from './faults.js';

/** MuJoCo's arrays that a fault scales or adds to; each is a new view of its memory at every access. */
const ARRAYS = [
  'body_mass',
  'body_inertia',
  'geom_friction',
  'actuator_gainprm',
  'actuator_biasprm',
  'dof_frictionloss',
] as const;
type Arrays = Record<(typeof ARRAYS)[number], Float64Array>;

/** The body of a healthy `model`. */
export class ModelFaults {
  readonly #healthy: Arrays;

  constructor(model: MjModel) {
    this.#healthy = Object.fromEntries(
      ARRAYS.map((name) => [name, (model[name] as Float64Array).slice()]),
    ) as Arrays;
  }

  /** Whether the two ask for different bodies. */
  static differ(one: Readonly<Faults>, other: Readonly<Faults>): boolean {
    return (['mass', 'gain', 'jointFriction', 'contactFriction'] as const).some(
      (key) => one[key] !== other[key],
    );
  }

  /** Gives `model` the body that `faults` make of the healthy one. */
  apply(model: MjModel, { mass, gain, jointFriction, contactFriction }: Readonly<Faults>): void {
    const scale = (factor: number, names: (keyof Arrays)[]) => {
      for (const name of names) model[name].set(this.#healthy[name].map((value) => value * factor));
    };
    scale(mass, ['body_mass', 'body_inertia']);
    scale(contactFriction, ['geom_friction']);
    // The bias holds a servo's own feedback, whose strength goes with its gain.
    scale(gain, ['actuator_gainprm', 'actuator_biasprm']);
    model.dof_frictionloss.set(this.#healthy.dof_frictionloss.map((value) => value + jointFriction));
  }
}
