// Publishes once a second how a robot's recordings stand, from the bridge's process.
import { randomUUID } from 'node:crypto';
import { TELEMETRY_VERSION, type Transfer, type TransferState } from '../contract/telemetry.js';
import type { BrokerOptions } from './connection.js';
import { logger } from './log.js';
import { RobotClient } from './robotClient.js';

const EVERY_MS = 1000;

/** Until `stop`; a broker that is not there is tried again. Throws a `FarsightError` for what cannot be used. */
export function publishTransfer(
  broker: BrokerOptions,
  robot: string,
  state: () => TransferState,
): { url: string; stop(): Promise<void> } {
  const boot = randomUUID();
  let sequence = 0;
  let congested = false;
  const client = new RobotClient({
    ...{ broker, robot, boot, part: 'bridge', log: logger('bridge') },
    connected() {
      congested = false;
      publish();
    },
  });
  function publish(): void {
    const time = new Date().toISOString();
    const message: Transfer = {
      version: TELEMETRY_VERSION,
      ...{ robot, boot, time, sequence: sequence++ },
      ...state(),
    };
    if (!client.connected || congested) return;
    congested = true;
    client.publish('transfer', JSON.stringify(message), { qos: 0 }, () => {
      congested = false;
    });
  }
  const timer = setInterval(publish, EVERY_MS);
  return {
    url: client.url,
    async stop() {
      clearInterval(timer);
      client.farewell();
      publish();
      await client.end(!client.connected);
    },
  };
}
