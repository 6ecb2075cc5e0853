// What the dashboard's server tells its pages: one JSON object an event of the stream. Types alone: the page has them too.
import type { Pose, RobotEvent, Transfer } from '../contract/telemetry.js';
import type { RobotState, Summary } from './watcher.js';

/** A robot as it is now. */
export interface RobotCard {
  robot: string;
  connection: RobotState['connection'];
  telemetry?: Summary;
  transfer?: Transfer;
}

/** A robot's event at the time of the server's clock, s since 1970, as all times here. */
export interface Happened {
  time: number;
  event: RobotEvent['event'];
}

/** Poses around a fault. */
export interface Replay {
  fault: string;
  time: number;
  joints: string[];
  poses: { time: number; position: Pose['position'] }[];
}

/** A robot's shape, for MuJoCo; assets in base64. */
export interface RobotModel {
  xml: string;
  assets: [name: string, content: string][];
}

/** A run of `farsight train` or `farsight refit`. */
export interface RunCard {
  name: string;
  kind: 'training' | 'refit';
  task: string;
  preset: string;
  /** Whether a process works on it now. */
  running: boolean;
  steps: number;
  /** Steps that it is to make. */
  of: number;
  seconds: number;
  /** Environment steps and mean return. */
  evaluations: [steps: number, mean: number][];
  /** Of a refit that has ended. */
  refit?: { accepted: boolean; before: number; after: number };
}

export type PageMessage =
  /** First, and again whenever the connection to the broker changes. */
  | { kind: 'broker'; url: string; connected: boolean }
  | { kind: 'refused'; count: number; last?: string }
  /** All robots, first; `pressures` are of the newest rows of each (see `pressureOf`). */
  | { kind: 'fleet'; robots: (RobotCard & { pressures: number[] })[] }
  /** One of them that said something new. */
  | { kind: 'robot'; card: RobotCard }
  | { kind: 'runs'; runs: RunCard[] }
  /** Of the robot that the page shows: everything kept, then what comes. */
  | { kind: 'events'; robot: string; events: Happened[] }
  | { kind: 'event'; robot: string; happened: Happened }
  | { kind: 'replays'; robot: string; replays: Pick<Replay, 'fault' | 'time'>[] }
  /** A row of its history, the `written`th; heat as of `heatOf`, each phase's bins behind those of the one before. */
  | { kind: 'second'; robot: string; written: number; time: number; values: number[]; heat: number[] }
  | { kind: 'pose'; robot: string; time: number; joints: string[]; position: Pose['position'] };
