// Follows robots over MQTT: keeps for each the newest of what it said, and refuses what is not well formed.
import { FarsightError, messageOf } from '../contract/errors.js';
import { LatencyHistogram, type Percentiles } from '../contract/histogram.js';
import { type Phase, perPhase } from '../contract/loop.js';
import {
  type Connection,
  KINDS,
  type Received,
  type RobotEvent,
  readMessage,
  type Telemetry,
  type Transfer,
  topicOf,
} from '../contract/telemetry.js';
import { type BrokerOptions, connectTo } from './connection.js';

const EVENTS_KEPT = 6;
const CONNECT_TIMEOUT_MS = 5000;
/** Robots; beyond them the one that was heard longest ago is forgotten. */
export const MOST_ROBOTS = 5000;

/** A telemetry message with its histograms as percentiles, in µs. */
export type Summary = Omit<Telemetry, 'phases' | 'window'> & {
  phases: Record<Phase, Percentiles>;
  window: Omit<Telemetry['window'], 'phases'> & { phases: Record<Phase, Percentiles> };
};

/** What is known of one robot. */
export interface RobotState {
  robot: string;
  connection: Connection['state'];
  telemetry?: Summary;
  /** The same with its whole histograms. */
  raw?: Telemetry;
  /** How its recordings stand. */
  transfer?: Transfer;
  /** When that arrived, ms of `performance.now()`. */
  heard: number;
  /** The newest events, oldest first. */
  events: RobotEvent[];
  /** Telemetry of this boot that was sent but did not arrive here. */
  undelivered: number;
}

export interface WatchOptions {
  broker: BrokerOptions;
  /** This robot alone; all of them when left out. */
  robot?: string;
  /** Hears poses too, many a second and robot. */
  poses?: boolean;
  onMessage?: (received: Received, state: RobotState) => void;
  /** The connection to the broker broke or is back. */
  onBroker?: (connected: boolean) => void;
}

export interface Watcher {
  /** By name. */
  robots: Map<string, RobotState>;
  /** Messages that were not well formed, and why the newest was not. */
  refused: { count: number; last?: string };
  connected: boolean;
  /** The broker's, without user and password. */
  url: string;
  stop(): Promise<void>;
}

/**
 * Resolves when subscribed, and from then on connects again by itself. Throws a `FarsightError` when the broker
 * refuses or does not answer within five seconds.
 */
export async function watchRobots(options: WatchOptions): Promise<Watcher> {
  const robots = new Map<string, RobotState>();
  const counters = new Map<string, { boot: string; next: number; dropped: number }>();
  let stopped = false;
  // MQTT 3.1.1, which every broker speaks, the embedded one too, unless the settings say otherwise.
  const { client, url } = connectTo(options.broker, {
    protocolVersion: 4,
    resubscribe: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
  });
  const watcher: Watcher = {
    robots,
    refused: { count: 0 },
    connected: false,
    url,
    stop() {
      stopped = true;
      return client.endAsync(true);
    },
  };
  client.on('message', (topic, payload) => {
    const received = readMessage(topic, payload);
    if ('refused' in received) {
      watcher.refused.count++;
      watcher.refused.last = received.refused;
      return;
    }
    const { robot } = received.message;
    const state: RobotState = robots.get(robot) ?? {
      robot,
      connection: 'online',
      heard: 0,
      events: [],
      undelivered: 0,
    };
    // The one that was heard longest ago comes first.
    robots.delete(robot);
    robots.set(robot, state);
    if (robots.size > MOST_ROBOTS) {
      const [oldest] = robots.keys();
      robots.delete(oldest);
      counters.delete(oldest);
    }
    if (received.kind === 'connection') state.connection = received.message.state;
    else if (received.kind === 'event') {
      const { boot, sequence } = received.message;
      if (state.events.some((event) => event.boot === boot && event.sequence === sequence)) return;
      state.events = [...state.events, received.message].slice(-EVENTS_KEPT);
    } else if (received.kind === 'transfer') state.transfer = received.message;
    else if (received.kind === 'telemetry') {
      state.telemetry = summaryOf(received.message);
      state.raw = received.message;
      state.heard = performance.now();
      state.undelivered += undelivered(received.message, counters);
    }
    options.onMessage?.(received, state);
  });

  const setConnected = (connected: boolean) => {
    if (watcher.connected === connected || stopped) return;
    watcher.connected = connected;
    options.onBroker?.(connected);
  };
  let lastError: unknown = 'no answer within 5 s';
  client.on('error', (error) => {
    lastError = error.message ? error : String('code' in error ? error.code : error);
  });
  client.on('close', () => setConnected(false));
  const kinds = KINDS.filter((kind) => kind !== 'pose' || options.poses);
  const topics = kinds.map((kind) => topicOf(options.robot ?? '+', kind));
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve, reject) => {
    timer = setTimeout(reject, CONNECT_TIMEOUT_MS);
    client.once('close', reject);
    client.on('connect', () => {
      client.subscribeAsync(topics, { qos: 1 }).then(
        () => {
          client.off('close', reject);
          setConnected(true);
          resolve();
        },
        () => {},
      );
    });
  })
    .catch(async () => {
      await watcher.stop();
      throw new FarsightError(
        `broker '${watcher.url}' cannot be reached (${messageOf(lastError)}): is it running, and the URL right?`,
      );
    })
    .finally(() => clearTimeout(timer));
  return watcher;
}

export function summaryOf(telemetry: Telemetry): Summary {
  const { phases, window, ...rest } = telemetry;
  const percentiles = (of: Telemetry['phases']) =>
    perPhase((phase) => {
      const histogram = new LatencyHistogram();
      histogram.merge(of[phase]);
      return histogram.percentiles();
    });
  return { ...rest, phases: percentiles(phases), window: { ...window, phases: percentiles(window.phases) } };
}

/** How many messages before this one were sent by the robot and did not arrive. */
function undelivered(
  { robot, boot, sequence, dropped }: Telemetry,
  counters: Map<string, { boot: string; next: number; dropped: number }>,
): number {
  const before = counters.get(robot);
  counters.set(robot, { boot, next: sequence + 1, dropped: dropped.telemetry });
  if (before?.boot !== boot) return 0;
  return Math.max(0, sequence - before.next - (dropped.telemetry - before.dropped));
}
