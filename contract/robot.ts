// The wire between the loop and a robot's side (simulated or ROS 2): sensors in, commands out, through shared memory.
import { LatestValue } from './sharedMemory.js';

/**
 * Layout of the sensor cell: stamp (seconds, CLOCK_MONOTONIC), resets so far, 1 when the task's termination holds,
 * messages so far that came after a reading of the cell though they are stamped before it, then position `[joints]` and
 * velocity `[joints]` in the order of `jointsOf`. A stamp of 0 means none came yet.
 */
export const SENSOR = { stamp: 0, resets: 1, terminal: 2, late: 3, vectors: 4 } as const;
/**
 * Layout of the command cell: stamp of the tick that sent it (seconds, CLOCK_MONOTONIC), the loop's mode (index in
 * MODES), then one command for each action term. In `damping` and `fault` the robot's side ignores the commands'
 * values and damps.
 */
export const COMMAND = { stamp: 0, mode: 1, vectors: 2 } as const;

/** What the loop sees of a robot, once a tick: `read` gives the newest sensor cell, `publish` sends `writable`. */
export interface RobotLink {
  sensors: { read(): Float64Array };
  commands: { readonly writable: Float64Array; publish(): void };
}
/** The two cells in shared memory. A thread makes its own view from the same buffers. */
export interface RobotCells {
  sensors: LatestValue;
  commands: LatestValue;
}
export interface RobotLinkBuffers {
  sensors: SharedArrayBuffer;
  commands: SharedArrayBuffer;
}

export function robotLink(joints: number, actions: number, buffers?: RobotLinkBuffers): RobotCells {
  return {
    sensors: new LatestValue(SENSOR.vectors + 2 * joints, buffers?.sensors),
    commands: new LatestValue(COMMAND.vectors + actions, buffers?.commands),
  };
}
