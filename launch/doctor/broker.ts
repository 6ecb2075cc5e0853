// Doctor's checks of MQTT: a broker on this machine, and the one that --mqtt names.
import { spawnSync } from 'node:child_process';
import { messageOf, UsageError } from '../../contract/errors.js';
import { type Check, ok } from './check.js';
import { findProgram } from './computer.js';

const CONNECT_MS = 5000;

/** `url` is the broker that the fleet uses, when it is given: then not reaching it counts as broken. */
export async function brokerChecks(url: string | undefined): Promise<Check[]> {
  const checks = [mosquitto()];
  if (url !== undefined) checks.push(await connection(url));
  return checks;
}

function mosquitto(): Check {
  const path = findProgram('mosquitto');
  if (!path) {
    return {
      name: 'Mosquitto',
      status: 'missing',
      detail: "not installed; '--mqtt embedded' needs none",
      remedy: "'apt install mosquitto'",
    };
  }
  const version = /version (\S+)/.exec(spawnSync(path, ['-h'], { encoding: 'utf8' }).stdout)?.[1];
  return ok('Mosquitto', `${version ?? 'unknown version'}, ${path}`);
}

async function connection(url: string): Promise<Check> {
  let shown: string;
  try {
    const { protocol, host } = new URL(url);
    if (!/^(mqtts?|wss?):$/.test(protocol) || host === '') throw new Error('not a broker');
    shown = `${protocol}//${host}`;
  } catch {
    throw new UsageError(`--mqtt '${url}': wants mqtt://HOST:PORT, mqtts://, ws:// or wss://`);
  }
  const { default: mqtt } = await import('mqtt');
  const began = performance.now();
  try {
    const client = await mqtt.connectAsync(url, {
      protocolVersion: 5,
      connectTimeout: CONNECT_MS,
      reconnectPeriod: 0,
    });
    const took = performance.now() - began;
    await client.endAsync(true);
    return ok('MQTT broker', `${shown} answers MQTT 5 in ${took.toFixed(0)} ms`);
  } catch (error) {
    const why = messageOf(error) || (error as NodeJS.ErrnoException).code || 'no answer';
    return {
      name: 'MQTT broker',
      status: 'broken',
      detail: `${shown}: ${why}`,
      remedy: 'start the broker, or mend host, port, user and password in the URL',
    };
  }
}
