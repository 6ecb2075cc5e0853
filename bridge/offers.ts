// How a robot and one of several collectors find each other: the robot offers a file to the broker, whose shared
// subscription gives the offer to one of them, and that one answers with its URL.
import { randomUUID } from 'node:crypto';
import { FarsightError, messageOf } from '../contract/errors.js';
import { TELEMETRY_VERSION, topicOf } from '../contract/telemetry.js';
import {
  type Offer,
  type OfferAnswer,
  offerAnswerSchema,
  offerAnswerTopic,
  offerSchema,
} from '../contract/transfer.js';
import { type BrokerOptions, connectTo } from './connection.js';
import { logger } from './log.js';
import { isLoopback } from './loopback.js';
import { RobotClient } from './robotClient.js';

/** The group that shares the offers: all collectors at a broker. */
const GROUP = '$share/farsight-collect';
/** Before a file is offered again: whoever had the offer may have ended. After so many nobody is there, ms. */
const AGAIN_MS = 1000;
const MOST_OFFERS = 5;

/**
 * Answers robots that look for a collector with `url`, for as long as `hasRoom`; until `stop`. Throws a `FarsightError` for
 * settings that cannot be used.
 */
export function answerOffers(
  broker: BrokerOptions,
  url: string,
  hasRoom: (bytes: number) => boolean,
): { stop(): Promise<void> } {
  const log = logger('collect');
  const { client, url: shown } = connectTo(broker, {
    protocolVersion: 5,
    clientId: `farsight-collect-${randomUUID().slice(0, 8)}`,
    clean: true,
    connectTimeout: 5000,
  });
  let said = '';
  const trouble = (text: string) => {
    if (said !== text) log.error({ url: shown, error: text }, 'robots do not find this collector');
    said = text;
  };
  client.on('connect', ({ properties }) => {
    if (properties?.sharedSubscriptionAvailable === false)
      return trouble('this broker has no shared subscriptions');
    client.subscribe(`${GROUP}/${topicOf('+', 'offer')}`, { qos: 1 }, (error) => {
      if (error) return trouble(messageOf(error));
      said = '';
      log.info({ url: shown }, 'answers robots that look for a collector');
    });
  });
  client.on('error', (error) => trouble(messageOf(error)));
  client.on('close', () => {
    if (said === '') trouble('no connection to the broker; trying again');
  });
  client.on('message', (topic, payload) => {
    const offer = read(payload, offerSchema);
    if (!offer || topic !== topicOf(offer.robot, 'offer')) return log.warn({ topic }, 'is no offer');
    const { robot, sha256, bytes } = offer;
    if (!hasRoom(bytes)) return log.warn({ robot, bytes }, 'no room: another collector may have it');
    const answer: OfferAnswer = { version: TELEMETRY_VERSION, robot, sha256, url };
    client.publish(offerAnswerTopic(robot), JSON.stringify(answer), { qos: 1 });
  });
  return {
    async stop() {
      said = 'stopped';
      await client.endAsync(!client.connected);
    },
  };
}

/** The robot's side. */
export class CollectorFinder {
  readonly #client: RobotClient;
  readonly #robot: string;
  readonly #mayHaveToken: (url: URL) => boolean;
  #answered: (answer: OfferAnswer) => void = () => {};

  /** Connects in the background. With `token` only a collector behind TLS is taken: anybody may have answered. */
  constructor(broker: BrokerOptions, robot: string, token: boolean) {
    this.#robot = robot;
    this.#mayHaveToken = ({ protocol, hostname }) => !token || protocol === 'https:' || isLoopback(hostname);
    this.#client = new RobotClient({
      ...{ broker, robot, boot: randomUUID(), part: 'offers', log: logger('bridge') },
      connected() {},
      listen: {
        topic: offerAnswerTopic(robot),
        heard: (payload) => {
          const answer = read(payload, offerAnswerSchema);
          if (answer) this.#answered(answer);
        },
      },
    });
  }

  /** The broker's URL, without user and password. */
  get url(): string {
    return this.#client.url;
  }

  /** The URL of a collector that takes the file. Throws a `FarsightError` when none answers. */
  async find(file: Pick<Offer, 'sha256' | 'bytes'>, signal: AbortSignal): Promise<string> {
    const offer: Offer = { version: TELEMETRY_VERSION, robot: this.#robot, ...file };
    for (let i = 0; i < MOST_OFFERS && !signal.aborted; i++) {
      const answer = await new Promise<OfferAnswer | undefined>((resolve) => {
        const over = setTimeout(() => resolve(undefined), AGAIN_MS);
        this.#answered = (answer) => {
          if (answer.sha256 !== file.sha256) return;
          clearTimeout(over);
          resolve(answer);
        };
        if (this.#client.connected) this.#client.publish('offer', JSON.stringify(offer), { qos: 1 });
      });
      if (!answer) continue;
      if (this.#mayHaveToken(new URL(answer.url))) return answer.url;
      throw new FarsightError(
        `collector '${answer.url}' has no TLS: the token does not go there; start it with --tls-cert and --tls-key`,
      );
    }
    const why = this.#client.connected ? 'no collector with room answers' : 'no connection to the broker';
    throw new FarsightError(`${why} at ${this.url}: farsight collect --mqtt ${this.url}`);
  }

  async stop(): Promise<void> {
    await this.#client.end(!this.#client.connected);
  }
}

function read<T>(
  payload: Buffer,
  schema: { safeParse(value: unknown): { data?: T | undefined } },
): T | undefined {
  try {
    return schema.safeParse(JSON.parse(payload.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}
