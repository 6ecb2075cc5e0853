// What publisher and watcher share of an MQTT connection: the URL's check, its form without secrets, the reconnecting.
import type { MqttClient } from 'mqtt';
import { UsageError } from '../contract/errors.js';

const PROTOCOLS = ['mqtt:', 'mqtts:', 'tcp:', 'ssl:', 'ws:', 'wss:'];
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5000;

/** Throws a `UsageError` that names the URL when MQTT cannot use it. */
export function brokerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
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

/** The first delay before connecting again. */
export const RECONNECT = { reconnectPeriod: FIRST_DELAY_MS, reconnectOnConnackError: true };

/** Doubles the delay with every failure up to five seconds, each with its own jitter. */
export function backOff(client: MqttClient): void {
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
