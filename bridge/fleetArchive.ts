// What a dashboard keeps of robots for pages that are opened late: an hour of telemetry, events, the poses before a fault.
import { INTERVENTIONS, type Intervention, PHASES } from '../contract/loop.js';
import type { Pose, Received, Telemetry } from '../contract/telemetry.js';
import type { Happened, PageMessage, Replay, RobotCard } from './pageMessages.js';
import { HEAT, heatOf, PRESSURES, pressureOf, rowOf, TelemetryHistory } from './telemetryHistory.js';
import type { RobotState } from './watcher.js';

/** Robots; beyond them the one that was heard longest ago is forgotten. */
const MOST_ROBOTS = 100;
const EVENTS_KEPT = 1000;
const FAULTS_KEPT = 5;
/** Seconds of poses before a fault that are kept, and after it; and how many poses they are at most. */
const BEFORE = 30;
const AFTER = 2;
const MOST_POSES = 2000;
/** A robot's clock that differs by more than before was set, ms. */
const CLOCK_SET = 1000;

export class RobotArchive {
  readonly history = new TelemetryHistory();
  /** The newest, oldest first. */
  readonly events: Happened[] = [];
  /** The same of faults that are far enough back to be whole. */
  readonly replays: Replay[] = [];
  state: RobotState;
  #poses: { time: number; position: (number | null)[] }[] = [];
  #joints: string[] = [];
  #due: { fault: string; time: number } | undefined;
  #boot = '';
  #interventions: Telemetry['interventions'] | undefined;
  /** What this computer's clock is ahead of the robot's, ms, as far as the network lets it be known. */
  #ahead = Number.NaN;

  constructor(state: RobotState) {
    this.state = state;
  }

  card(): RobotCard {
    const { robot, connection, telemetry, transfer } = this.state;
    return {
      robot,
      connection,
      ...(telemetry && { telemetry }),
      ...(transfer && { transfer }),
    };
  }

  /** Of the newest rows, for the fleet's list. */
  get pressures(): number[] {
    const { history } = this;
    const from = Math.max(0, history.length - PRESSURES);
    return Array.from({ length: history.length - from }, (_, i) => short(pressureOf(history, from + i)));
  }

  /** Takes a message in at `now` (ms since 1970); returns what pages that show this robot are to be told. */
  take({ kind, message }: Received, now: number): PageMessage | undefined {
    const { robot } = message;
    if (kind === 'telemetry') {
      const time = Math.max(this.#clock(message.time, now), this.#last + 0.001);
      const values = rowOf(this.state.telemetry!, this.#interventionsIn(message));
      const heat = PHASES.flatMap((phase, i) => heatOf(message.window.phases[phase], i * HEAT.bins));
      this.history.push(time, values, heat);
      return { kind: 'second', robot, written: this.history.written, time, values: values.map(short), heat };
    }
    if (kind === 'event') {
      const time = Math.min(now / 1000, this.#translated(message.time, now));
      const happened: Happened = { time, event: message.event };
      this.events.push(happened);
      if (this.events.length > EVENTS_KEPT) this.events.shift();
      if (message.event.kind === 'fault') this.#due ??= { fault: message.event.fault, time };
      return { kind: 'event', robot, happened };
    }
    return kind === 'pose' ? this.#pose(message, now) : undefined;
  }

  get #last(): number {
    const { length } = this.history;
    return length > 0 ? this.history.time(length - 1) : -Infinity;
  }

  #pose({ robot, joints, position, time: said }: Pose, now: number): PageMessage {
    const time = this.#clock(said, now);
    if (joints.join() !== this.#joints.join()) {
      this.#joints = joints;
      this.#poses = [];
    }
    const poses = this.#poses;
    poses.push({ time, position });
    while (poses.length > MOST_POSES || poses[0].time < time - BEFORE - 2 * AFTER) poses.shift();
    const due = this.#due;
    if (!due || time < due.time + AFTER) return { kind: 'pose', robot, time, joints, position };
    this.#due = undefined;
    this.replays.push({ ...due, joints, poses: poses.filter((pose) => pose.time >= due.time - BEFORE) });
    if (this.replays.length > FAULTS_KEPT) this.replays.shift();
    return { kind: 'replays', robot, replays: this.replayTitles };
  }

  get replayTitles() {
    return this.replays.map(({ fault, time }) => ({ fault, time }));
  }

  /** A robot's time as this computer's, s: the least that a message of it took is taken for none. */
  #clock(said: string, now: number): number {
    const ahead = now - Date.parse(said);
    if (!(ahead > this.#ahead) || ahead > this.#ahead + CLOCK_SET) this.#ahead = ahead;
    return this.#translated(said, now);
  }

  #translated(said: string, now: number): number {
    return (Number.isNaN(this.#ahead) ? now : Date.parse(said) + this.#ahead) / 1000;
  }

  #interventionsIn({ boot, interventions }: Telemetry): Record<Intervention, number> {
    const before = boot === this.#boot ? this.#interventions : undefined;
    this.#boot = boot;
    this.#interventions = interventions;
    const since = (name: Intervention) => interventions[name] - (before ?? interventions)[name];
    return Object.fromEntries(INTERVENTIONS.map((name) => [name, Math.max(0, since(name))])) as Record<
      Intervention,
      number
    >;
  }
}

/** Five digits, which is more than a picture shows. */
function short(value: number): number {
  return Number(value.toPrecision(5));
}

/** All robots that were heard. */
export class FleetArchive {
  /** By name. */
  readonly robots = new Map<string, RobotArchive>();

  /** Takes a message in; returns what pages that watch its robot are to be told. */
  take(received: Received, state: RobotState, now: number): PageMessage | undefined {
    const { robot } = received.message;
    const archive = this.robots.get(robot) ?? new RobotArchive(state);
    archive.state = state;
    // The one that was heard longest ago comes first.
    this.robots.delete(robot);
    this.robots.set(robot, archive);
    if (this.robots.size > MOST_ROBOTS) this.robots.delete(this.robots.keys().next().value!);
    return archive.take(received, now);
  }
}
