// The embedded MQTT broker (aedes, MQTT 3.1.1), for a robot without a broker to talk to. It listens on loopback only.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { FarsightError } from '../contract/errors.js';

export interface Broker {
  url: string;
  stop(): Promise<void>;
}

/** Starts a broker on `port` of 127.0.0.1, a free one when left out. Throws a `FarsightError` when it is taken. */
export async function startBroker(port = 0): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    aedes.handle(socket);
  });
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    aedes.close();
    throw new FarsightError(`broker: port ${port} of 127.0.0.1 cannot be used (${(error as Error).message})`);
  }
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
