// Publishes a running loop over MQTT: its telemetry once a second, its events at once, whether it is there at all.
import { randomUUID } from 'node:crypto';
import mqtt, { type IClientOptions } from 'mqtt';
import { FarsightError, messageOf } from '../contract/errors.js';
import type { LoopView } from '../contract/loop.js';
import {
  type Connection,
  type Happening,
  type RobotEvent,
  robotNameSchema,
  TELEMETRY_VERSION,
  type Telemetry,
  topicOf,
} from '../contract/telemetry.js';
import { startBroker } from './broker.js';
import { backOff, brokerUrl, RECONNECT, shownUrl } from './connection.js';
import { logger } from './log.js';
import { LoopObserver } from './observer.js';

const LOOK_MS = 20;
const TELEMETRY_MS = 1000;
const KEEPALIVE_S = 10;
/** Events sent and not yet acknowledged. */
const MOST_IN_FLIGHT = 16;
/** How long `stop` waits for the broker to take what is left. */
const FAREWELL_MS = 1000;

export interface TelemetryOptions {
  /** `embedded` starts a broker in this process; otherwise the URL of one. */
  broker: string;
  /** The robot's name, one level of the topics. */
  robot: string;
  /** Names this run of the loop; a new name when left out. */
  boot?: string;
  view: LoopView;
  /** The policy that acts. */
  policy: { sha256: string; task: string };
  /** Events kept while the broker is away, beyond which the oldest is dropped; 1000 when left out. */
  eventsKept?: number;
}

/**
 * Publishes from the calling thread until `stop`. Resolves at once: a broker that is not there is said once in the
 * log and tried again; meanwhile telemetry is dropped and events wait, in bounded memory, and the next telemetry
 * says what was dropped. Throws a `FarsightError` for a robot name or a URL that cannot be used.
 */
export async function startTelemetry(
  options: TelemetryOptions,
): Promise<{ url: string; stop(): Promise<void> }> {
  const { robot, view, policy, eventsKept = 1000 } = options;
  const named = robotNameSchema.safeParse(robot);
  if (!named.success) throw new FarsightError(`robot name '${robot}': ${named.error.issues[0].message}`);
  const log = logger('telemetry');
  const broker = options.broker === 'embedded' ? await startBroker() : undefined;
  const url = brokerUrl(broker?.url ?? options.broker);
  const shown = shownUrl(url);

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
  const connectionTopic = topicOf(robot, 'connection');

  const settings: IClientOptions = {
    protocolVersion: broker ? 4 : 5,
    clientId: `farsight-${robot}-${boot.slice(0, 8)}`,
    clean: true,
    keepalive: KEEPALIVE_S,
    connectTimeout: 5000,
    queueQoSZero: false,
    will: { topic: connectionTopic, payload: Buffer.from(connection('lost')), ...retained },
    ...RECONNECT,
  };
  const client = mqtt.connect(url.href, settings);
  backOff(client);

  const observer = new LoopObserver(view);
  const dropped = { telemetry: 0, events: 0 };
  const events: string[] = [];
  let eventSequence = 0;
  let telemetrySequence = 0;
  let inFlight = 0;
  let congested = false;
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
      client.publish(topicOf(robot, 'event'), events.shift()!, { qos: 1 }, (error) => {
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
    };
    // The callback comes when the socket has taken the message, not before.
    congested = true;
    client.publish(topicOf(robot, 'telemetry'), JSON.stringify(message), { qos: 0 }, () => {
      congested = false;
    });
  }

  let troubleSaid = false;
  client.on('connect', () => {
    log.info({ url: shown, robot }, 'connected to the broker');
    troubleSaid = false;
    congested = false;
    client.publish(connectionTopic, connection('online'), retained);
    send();
  });
  const trouble = (error?: Error) => {
    if (troubleSaid || stopping) return;
    troubleSaid = true;
    log.warn(
      { url: shown, robot, ...(error && { error: messageOf(error) }) },
      'no connection to the broker; the loop runs on, trying again',
    );
  };
  client.on('close', () => trouble());
  client.on('error', (error) => {
    // Reason 1 (MQTT 3.1.1) and 132 (MQTT 5): the broker does not speak the version we asked for.
    const code = 'code' in error ? error.code : undefined;
    if (client.options.protocolVersion === 5 && (code === 1 || code === 132)) {
      client.options.protocolVersion = 4;
    } else trouble(error.message ? error : new Error(String(code)));
  });

  say({ kind: 'policy loaded', policy });
  const look = () => {
    for (const event of observer.look(performance.now())) say(event);
  };
  const lookTimer = setInterval(look, LOOK_MS);
  const telemetryTimer = setInterval(publishTelemetry, TELEMETRY_MS);

  return {
    url: shown,
    async stop() {
      clearInterval(lookTimer);
      clearInterval(telemetryTimer);
      stopping = true;
      if (client.connected) {
        look();
        publishTelemetry();
        const lastWords = Promise.all([
          new Promise<void>((resolve) => {
            drained = resolve;
            if (inFlight + events.length === 0) resolve();
          }),
          client.publishAsync(connectionTopic, connection('offline'), retained).catch(() => {}),
        ]).then(() => true);
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<boolean>((resolve) => {
          timer = setTimeout(() => resolve(false), FAREWELL_MS);
        });
        const heard = await Promise.race([lastWords, late]);
        clearTimeout(timer);
        await client.endAsync(!heard);
      } else await client.endAsync(true);
      await broker?.stop();
    },
  };
}
