// The time of a simulated robot's thread: physics steps on absolute deadlines, at real-time priority below the controller's.
import { type Clock, takeRealtimeThread } from '../../controller/realtime.js';

/** Under SCHED_FIFO: below the controller's loop and the middleware's threads, above whatever else computes. */
const PRIORITY = 70;
/** Simulated time behind the clock that is made up, seconds; more is dropped. */
const LARGEST_BACKLOG = 0.05;

/** Makes the calling thread a robot's. Its clock is CLOCK_MONOTONIC. */
export function takeRobotThread() {
  return takeRealtimeThread([], PRIORITY);
}

export interface PaceResult {
  /** On the clock, and those of them that the physics could not follow. */
  seconds: number;
  dropped: number;
}

/**
 * Calls `step` with the time in ns, once every `timestep` seconds, until the first word of `stop` is set; `behind` when
 * lost time is first dropped.
 */
export function pace(
  clock: Clock,
  timestep: number,
  stop: Int32Array,
  step: (now: number) => void,
  behind?: () => void,
): PaceResult {
  const times = new Float64Array(2);
  const [now, deadline] = [0, 1];
  clock.stamp(times, now);
  const start = times[now];
  times[deadline] = start;
  let dropped = 0;
  while (Atomics.load(stop, 0) === 0) {
    times[deadline] += timestep * 1e9;
    clock.stamp(times, now);
    const late = (times[now] - times[deadline]) / 1e9;
    if (late > LARGEST_BACKLOG) {
      if (dropped === 0) behind?.();
      dropped += late;
      // Not at once: a thread of real-time priority that never sleeps starves the machine.
      times[deadline] = times[now] + timestep * 1e9;
    }
    clock.sleepUntil(times, deadline);
    clock.stamp(times, now);
    step(times[now]);
  }
  return { seconds: (times[now] - start) / 1e9, dropped };
}
