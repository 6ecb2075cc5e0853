// A robot's side of an MQTT connection: its topics, what each message carries beside its JSON, and trouble said once.
import type { IClientPublishOptions, MqttClient } from 'mqtt';
import { FarsightError, messageOf } from '../contract/errors.js';
import { firstFinding } from '../contract/schemaErrors.js';
import { type Kind, robotNameSchema, TELEMETRY_VERSION, topicOf } from '../contract/telemetry.js';
import { type BrokerOptions, connectTo, fallBack } from './connection.js';
import type { Log } from './log.js';

const KEEPALIVE_S = 10;
/** Seconds for which a broker keeps a message for those that are away; what is retained it keeps. */
const EXPIRY: Record<Kind | 'offer', number | undefined> = {
  connection: undefined,
  telemetry: 10,
  event: 24 * 3600,
  transfer: 10,
  pose: 1,
  offer: 2,
};

export interface RobotClientOptions {
  broker: BrokerOptions;
  robot: string;
  /** Names this run. */
  boot: string;
  /** Tells the clients of one robot apart. */
  part: string;
  /** Said by the broker when the connection breaks without a word. */
  will?: { kind: Kind; payload: string };
  /** MQTT 3.1.1 from the start. */
  old?: boolean;
  log: Log;
  /** A topic to listen to, and what to do with what comes; whatever comes, it does not throw. */
  listen?: { topic: string; heard(payload: Buffer): void };
  /** Whenever the connection is there. */
  connected(): void;
}

export class RobotClient {
  /** The broker's, without user and password. */
  readonly url: string;
  readonly #client: MqttClient;
  readonly #options: RobotClientOptions;
  #closing = false;

  /** Connects in the background. Throws a `FarsightError` for a name, a URL or settings that cannot be used. */
  constructor(options: RobotClientOptions) {
    const { broker, robot, boot, part, will, log } = options;
    const named = robotNameSchema.safeParse(robot);
    if (!named.success)
      throw new FarsightError(`robot name '${robot}': ${firstFinding(named.error).message}`);
    this.#options = options;
    const { client, url } = connectTo(broker, {
      protocolVersion: options.old ? 4 : 5,
      clientId: `farsight-${part}-${robot}-${boot.slice(0, 8)}`,
      clean: true,
      keepalive: KEEPALIVE_S,
      connectTimeout: 5000,
      queueQoSZero: false,
      ...(will && {
        will: { topic: topicOf(robot, will.kind), payload: Buffer.from(will.payload), qos: 1, retain: true },
      }),
    });
    this.#client = client;
    this.url = url;
    let said = false;
    const trouble = (error?: Error) => {
      if (said || this.#closing) return;
      said = true;
      log.warn(
        { url, robot, boot, ...(error && { error: messageOf(error) }) },
        'no connection to the broker; trying again',
      );
    };
    client.on('connect', () => {
      log.info({ url, robot, boot, mqtt: client.options.protocolVersion }, 'connected to the broker');
      said = false;
      if (options.listen) client.subscribe(options.listen.topic, { qos: 1 });
      options.connected();
    });
    client.on('message', (topic, payload) => {
      if (topic === options.listen?.topic) options.listen.heard(payload);
    });
    client.on('close', () => trouble());
    client.on('error', (error) => {
      if (fallBack(client, error)) return;
      trouble(error.message ? error : new Error(String('code' in error ? error.code : error)));
    });
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  /** `done` comes when the broker, or for QoS 0 the socket, has it. */
  publish(
    kind: Kind | 'offer',
    payload: string,
    settings: { qos: 0 | 1; retain?: boolean },
    done: (error?: Error) => void = () => {},
  ): void {
    const { robot, boot } = this.#options;
    const expiry = EXPIRY[kind];
    const options: IClientPublishOptions = { ...settings };
    if (this.#client.options.protocolVersion === 5) {
      options.properties = {
        contentType: 'application/json',
        userProperties: { robot, boot, version: String(TELEMETRY_VERSION) },
        ...(expiry !== undefined && { messageExpiryInterval: expiry }),
      };
    }
    this.#client.publish(topicOf(robot, kind), payload, options, done);
  }

  /** Ends the connection; without `force` after what was published has left. */
  async end(force: boolean): Promise<void> {
    this.#closing = true;
    await this.#client.endAsync(force);
  }

  /** From now on a broken connection is no trouble. */
  farewell(): void {
    this.#closing = true;
  }
}
