// The flags that say which MQTT broker a command uses, and how.
import type { BrokerOptions } from '../bridge/connection.js';
import { UsageError } from '../contract/errors.js';

export interface BrokerFlags {
  mqtt?: string;
  mqttConfig?: string;
}

export const BROKER_CONFIG_HELP =
  "YAML with the broker's username, password, ca, cert, key and version (secrets also in FARSIGHT_MQTT_USERNAME and FARSIGHT_MQTT_PASSWORD)";

/** Throws a `UsageError` for settings without a broker. */
export function brokerOf({ mqtt: url, mqttConfig: config }: BrokerFlags): BrokerOptions | undefined {
  if (url === undefined) {
    if (config !== undefined) throw new UsageError('--mqtt-config: goes with --mqtt <broker>');
    return undefined;
  }
  return { url, ...(config !== undefined && { config }) };
}
