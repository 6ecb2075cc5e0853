// How long a stop takes: a task whose commands cannot come to rest in the time that is allowed is refused.
import { CommandLimits } from './commandLimits.js';
import { FarsightError } from './errors.js';
import type { TaskInterface } from './terms.js';

/** Seconds that commands may take to the safe ones. */
export const LONGEST_STOP = 1;

/**
 * Throws a `FarsightError` that names the joint when some effort or velocity, at the end of its range and still moving
 * on as fast as it may, takes longer than LONGEST_STOP to come to 0. A position that stands still is safe anywhere.
 */
export function checkStopTime(
  { observation, action, safety }: Pick<TaskInterface, 'observation' | 'action' | 'safety'>,
  rateHz: number,
): void {
  const limits = new CommandLimits({ observation, action, safety }, rateHz);
  const most = Math.ceil(LONGEST_STOP * rateHz);
  for (const [i, { kind, joint, limits: range }] of action.entries()) {
    if (kind === 'position') continue;
    const { commandRate = Infinity, commandAcceleration = Infinity } =
      safety.joints.find((entry) => entry.joint === joint) ?? {};
    for (const end of range) {
      limits.startAt(Float64Array.from(action, (_, k) => (k === i ? end : 0)));
      // As fast as it can be and still stop before the range ends.
      const fastest = Math.min(commandRate, Math.sqrt(commandAcceleration * (range[1] - range[0])));
      const turning = commandAcceleration < Infinity ? fastest / commandAcceleration : 0;
      let ticks = 0;
      do limits.halt();
      while (limits.command[i] !== 0 && ++ticks <= 100 * most);
      const seconds = ticks === 0 ? 0 : ticks / rateHz + turning;
      if (seconds <= LONGEST_STOP) continue;
      throw new FarsightError(
        `a stop takes joint '${joint}' ${ticks > 100 * most ? 'more than 100' : seconds.toFixed(1)} s from a ${kind} of ${end} to 0, longer than the ${LONGEST_STOP} s that are allowed: raise its commandRate or commandAcceleration, or set its stop to 'immediate'`,
      );
    }
  }
}
