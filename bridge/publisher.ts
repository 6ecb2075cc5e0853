// Publishes a running loop over MQTT: its telemetry once a second, its events at once, its pose, whether it is there at all.
import { randomUUID } from 'node:crypto';
import { actingPolicy, type LoopView, ROW } from '../contract/loop.js';
import {
  type Connection,
  type Happening,
  type Pose,
  type RecordingState,
  type RobotEvent,
  type StopState,
  TELEMETRY_VERSION,
  type Telemetry,
} from '../contract/telemetry.js';
import type { ObservationTerm } from '../contract/terms.js';
import { startBroker } from './broker.js';
import type { BrokerOptions } from './connection.js';
import { logger } from './log.js';
import { LoopSignals } from './loopSignals.js';
import { machineState } from './machineState.js';
import { LoopObserver } from './observer.js';
import { PoseReader } from './poseReader.js';
import { RobotClient, type RobotClientOptions } from './robotClient.js';

const LOOK_MS = 20;
/** Looks at the loop for one pose: 25 a second. */
const LOOKS_A_POSE = 2;
const TELEMETRY_MS = 1000;
/** Events sent and not yet acknowledged. */
const MOST_IN_FLIGHT = 16;
/** How long `stop` waits for the broker to take what is left. */
const FAREWELL_MS = 1000;

export interface TelemetryOptions {
  /** With the URL `embedded` a broker is started in this process. */
  broker: BrokerOptions;
  /** The robot's name, one level of the topics. */
  robot: string;
  /** Names this run of the loop; a new name when left out. */
  boot?: string;
  view: LoopView;
  /** Of the policies. */
  task: string;
  /** Their observation, which tells where the joints are; without it no pose is told. */
  observation?: readonly ObservationTerm[];
  /** What is recorded, and the emergency stop, as they are now. */
  recording?: () => RecordingState | null;
  emergencyStop?: () => StopState;
  /** A topic to listen to beside, as `RobotClientOptions` has it. */
  listen?: RobotClientOptions['listen'];
  /** Events kept while the broker is away, beyond which the oldest is dropped; 1000 when left out. */
  eventsKept?: number;
}

export interface LoopTelemetry {
  url: string;
  /** Tells an event that the loop's memory does not show. */
  say(event: Happening): void;
  stop(): Promise<void>;
}

/**
 * Publishes from the calling thread until `stop`. Resolves at once: a broker that is not there is said once in the
 * log and tried again; meanwhile telemetry is dropped and events wait, in bounded memory, and the next telemetry
 * says what was dropped. Throws a `FarsightError` for a robot name or a URL that cannot be used.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<LoopTelemetry> {
  const { robot, view, task, eventsKept = 1000 } = options;
  let policy = { sha256: actingPolicy(view), task };
  const log = logger('telemetry');
  const embedded = options.broker.url === 'embedded' ? await startBroker() : undefined;

  const boot = options.boot ?? randomUUID();
  const envelope = () => ({
    version: TELEMETRY_VERSION as typeof TELEMETRY_VERSION,
    robot,
    boot,
    time: new Date().toISOString(),
  });
  const connection = (state: Connection['state']) =>
    JSON.stringify({ ...envelope(), state, rateHz: view.rateHz, policy } satisfies Connection);
  const retained = { qos: 1, retain: true } as const;

  const client = new RobotClient({
    broker: embedded ? { url: embedded.url } : options.broker,
    old: embedded !== undefined,
    ...{ robot, boot, log, part: 'loop' },
    will: { kind: 'connection', payload: connection('lost') },
    ...(options.listen && { listen: options.listen }),
    connected() {
      congested = false;
      poseUnderWay = false;
      client.publish('connection', connection('online'), retained);
      send();
    },
  });

  const observer = new LoopObserver(view);
  const signals = new LoopSignals(view);
  const pose = new PoseReader(options.observation ?? []);
  let looks = 0;
  let posed = Number.NaN;
  const dropped = { telemetry: 0, events: 0 };
  const events: string[] = [];
  let eventSequence = 0;
  let telemetrySequence = 0;
  let inFlight = 0;
  let congested = false;
  let poseUnderWay = false;
  let stopping = false;
  let drained = () => {};

  function say(event: Happening): void {
    const message: RobotEvent = { ...envelope(), sequence: eventSequence++, event };
    if (events.length >= eventsKept) {
      events.shift();
      dropped.events++;
    }
    events.push(JSON.stringify(message));
    send();
  }

  /** Sends what waits, as far as the broker acknowledges. What was sent is the client's to repeat. */
  function send(): void {
    while (client.connected && events.length > 0 && inFlight < MOST_IN_FLIGHT) {
      inFlight++;
      client.publish('event', events.shift()!, { qos: 1 }, (error) => {
        inFlight--;
        if (error) dropped.events++;
        if (stopping && inFlight + events.length === 0) drained();
        send();
      });
    }
  }

  function publishTelemetry(): void {
    const sequence = telemetrySequence++;
    if (!client.connected || congested) {
      dropped.telemetry++;
      return;
    }
    const message: Telemetry = {
      ...envelope(),
      sequence,
      ...observer.state(),
      policy,
      dropped,
      ...signals.state(),
      machine: machineState(),
      recording: options.recording?.() ?? null,
      emergencyStop: options.emergencyStop?.() ?? null,
    };
    // The callback comes when the socket has taken the message, not before.
    congested = true;
    client.publish('telemetry', JSON.stringify(message), { qos: 0 }, () => {
      congested = false;
    });
  }

  /** The newest tick's, unless it was told already, or the one before has not left yet. */
  function publishPose(): void {
    const tick = signals.newest[ROW.tick];
    if (pose.joints.length === 0 || tick === posed || poseUnderWay || !client.connected) return;
    posed = tick;
    const message: Pose = { ...envelope(), joints: pose.joints, position: pose.positions(signals.newest) };
    poseUnderWay = true;
    client.publish('pose', JSON.stringify(message), { qos: 0 }, () => {
      poseUnderWay = false;
    });
  }

  /** Says which policy acts, when it is another one. */
  function lookAtPolicy(): void {
    const sha256 = actingPolicy(view);
    if (sha256 === policy.sha256) return;
    policy = { sha256, task };
    say({ kind: 'policy loaded', policy });
    if (client.connected) client.publish('connection', connection('online'), retained);
  }

  say({ kind: 'policy loaded', policy });
  const look = () => {
    signals.look();
    lookAtPolicy();
    if (++looks % LOOKS_A_POSE === 0) publishPose();
    for (const event of observer.look(performance.now())) say(event);
  };
  const lookTimer = setInterval(look, LOOK_MS);
  const telemetryTimer = setInterval(publishTelemetry, TELEMETRY_MS);

  return {
    url: client.url,
    say,
    async stop() {
      clearInterval(lookTimer);
      clearInterval(telemetryTimer);
      stopping = true;
      client.farewell();
      if (client.connected) {
        look();
        publishTelemetry();
        const lastWords = Promise.all([
          new Promise<void>((resolve) => {
            drained = resolve;
            if (inFlight + events.length === 0) resolve();
          }),
          new Promise<void>((resolve) => {
            client.publish('connection', connection('offline'), retained, () => resolve());
          }),
        ]).then(() => true);
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<boolean>((resolve) => {
          timer = setTimeout(() => resolve(false), FAREWELL_MS);
        });
        const heard = await Promise.race([lastWords, late]);
        clearTimeout(timer);
        await client.end(!heard);
      } else await client.end(true);
      await embedded?.stop();
    },
  };
}
