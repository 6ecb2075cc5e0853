// An MQTT connection: the broker's URL and its settings, secrets kept out of sight, versions, and the reconnecting.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { parse } from 'yaml';
import { z } from 'zod';
import { FarsightError, messageOf, UsageError } from '../contract/errors.js';
import { findingsOf } from '../contract/schemaErrors.js';

const PROTOCOLS = ['mqtt:', 'mqtts:', 'tcp:', 'ssl:', 'ws:', 'wss:'];
const SECURE = ['mqtts:', 'ssl:', 'wss:'];
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5000;
/** What a broker answers that does not speak the version: in MQTT 3.1.1, and in MQTT 5. */
const OTHER_VERSION = [1, 132];

/** A broker as flags name it. */
export interface BrokerOptions {
  /** `embedded`, where that is possible, or a URL without a password. */
  url: string;
  /** Path of a file of `brokerConfigSchema`. */
  config?: string;
}

/** The YAML file of `--mqtt-config`; paths in it are relative to it. */
const brokerConfigSchema = z.strictObject({
  username: z.string().min(1).optional(),
  password: z.string().min(1).optional(),
  /** PEM files: the broker's authority, and this client's certificate and key. */
  ca: z.string().optional(),
  cert: z.string().optional(),
  key: z.string().optional(),
  /** 5 when left out, and 3.1.1 when the broker does not speak that. */
  version: z.union([z.literal(5), z.literal('5'), z.literal('3.1.1')]).optional(),
});

/** Throws a `UsageError` that names the flag when MQTT cannot use the URL, or when it shows a secret to every user. */
export function brokerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.password) {
    throw new UsageError(
      `--mqtt '${shownUrl(url)}': a password does not belong on a command line: put it into the file of --mqtt-config, or into FARSIGHT_MQTT_PASSWORD`,
    );
  }
  if (!url?.hostname || !PROTOCOLS.includes(url.protocol)) {
    throw new UsageError(`--mqtt '${text}': wants a broker's URL, such as mqtt://192.168.1.10:1883`);
  }
  return url;
}

/** The URL as it may be shown: without user and password. */
export function shownUrl(url: URL): string {
  const shown = new URL(url);
  shown.username = '';
  shown.password = '';
  return shown.href;
}

/**
 * Connects, and again whenever the connection breaks, with MQTT 5 or what the settings say. Throws a `FarsightError`
 * that names the flag, file or field that does not do.
 */
export function connectTo(
  { url: text, config }: BrokerOptions,
  options: IClientOptions,
): { client: MqttClient; url: string } {
  const url = brokerUrl(text);
  const settings = config === undefined ? {} : readConfig(config);
  const { version, ca, cert, key } = settings;
  const { FARSIGHT_MQTT_USERNAME, FARSIGHT_MQTT_PASSWORD } = process.env;
  const username = settings.username ?? (url.username || undefined) ?? FARSIGHT_MQTT_USERNAME;
  const password = settings.password ?? FARSIGHT_MQTT_PASSWORD;
  url.username = '';
  if ((ca ?? cert ?? key) !== undefined && !SECURE.includes(url.protocol)) {
    throw new UsageError(
      `--mqtt '${url.href}': certificates want a protocol that uses them, such as mqtts://host:8883`,
    );
  }
  const folder = config === undefined ? '' : dirname(config);
  const pem = (field: string, path: string | undefined) => {
    if (path === undefined) return {};
    try {
      return { [field]: readFileSync(resolve(folder, path)) };
    } catch (error) {
      throw new FarsightError(`--mqtt-config '${config}', ${field}: ${messageOf(error)}`);
    }
  };
  const client = mqtt.connect(url.href, {
    ...options,
    ...(version !== undefined && { protocolVersion: version === '3.1.1' ? 4 : 5 }),
    ...(username && { username }),
    ...(password && { password }),
    ...pem('ca', ca),
    ...pem('cert', cert),
    ...pem('key', key),
    reconnectPeriod: FIRST_DELAY_MS,
    reconnectOnConnackError: true,
  });
  backOff(client);
  return { client, url: shownUrl(url) };
}

/** Goes over to MQTT 3.1.1 when that is why the broker refused. Returns whether it was. */
export function fallBack(client: MqttClient, error: Error): boolean {
  const code = 'code' in error ? error.code : undefined;
  if (client.options.protocolVersion !== 5 || !OTHER_VERSION.includes(code as number)) return false;
  client.options.protocolVersion = 4;
  return true;
}

function readConfig(path: string): z.infer<typeof brokerConfigSchema> {
  const refuse = (why: string) => new FarsightError(`--mqtt-config '${path}': ${why}`);
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw refuse(messageOf(error));
  }
  const parsed = brokerConfigSchema.safeParse(content ?? {});
  if (!parsed.success) throw refuse(findingsOf(parsed.error));
  if ((parsed.data.cert === undefined) !== (parsed.data.key === undefined))
    throw refuse('cert and key go together');
  if (parsed.data.password !== undefined && (statSync(path).mode & 0o077) !== 0)
    throw refuse(`others may read the password in it: chmod 600 '${path}'`);
  return parsed.data;
}

/** Doubles the delay with every failure up to five seconds, each with its own jitter. */
function backOff(client: MqttClient): void {
  let delay = FIRST_DELAY_MS;
  client.on('connect', () => {
    delay = FIRST_DELAY_MS;
    client.options.reconnectPeriod = delay;
  });
  // The client has set its timer before it says `close`: this is the delay after the next failure.
  client.on('close', () => {
    delay = Math.min(2 * delay, LONGEST_DELAY_MS);
    client.options.reconnectPeriod = delay * (0.5 + Math.random() / 2);
  });
}
