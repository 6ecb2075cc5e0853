// Actions as networks have them, in [-1, 1], and as actuators take them, in their own units.
import type { Task } from '../sim/task.js';

export function toActuators({ action: terms }: Pick<Task, 'action'>, action: Float32Array): Float32Array {
  return action.map((value, i) => {
    const [low, high] = terms[i].limits;
    return low + ((value + 1) / 2) * (high - low);
  });
}

/** The inverse; a command beyond its actuator's limits comes to their end. */
export function fromActuators(
  { action: terms }: Pick<Task, 'action'>,
  command: ArrayLike<number>,
): Float32Array {
  return Float32Array.from(command, (value, i) => {
    const [low, high] = terms[i].limits;
    return Math.min(1, Math.max(-1, (2 * (value - low)) / (high - low) - 1));
  });
}
