// A real Redis for the tests: found, started on a port of its own with its append-only file, killed with -9 and started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { findProgram } from '../../launch/doctor/computer.js';
import { freePort } from '../fixtures/freePort.js';

const binary = findProgram('redis-server');

/** For a test's options: skips it, saying why, where Redis is not installed. */
export const needsRedis = {
  skip: binary ? false : 'Redis is not installed (Debian: apt install redis-server)',
};

export class RedisServer {
  readonly url: string;
  readonly #port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'farsight-redis-'));
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.#port = port;
    this.url = `redis://127.0.0.1:${port}`;
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    await server.start();
    return server;
  }

  /** Resolves when it has read what it kept and answers. */
  async start(): Promise<void> {
    this.#process = spawn(
      binary!,
      [
        ...['--port', `${this.#port}`, '--bind', '127.0.0.1', '--dir', this.#folder],
        ...['--appendonly', 'yes', '--save', ''],
      ],
      { stdio: 'ignore' },
    );
    const client = new Redis(this.url, { maxRetriesPerRequest: null, retryStrategy: () => 20 });
    client.on('error', () => {});
    await client.ping();
    client.disconnect();
  }

  async kill(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (!running || running.exitCode !== null) return;
    running.kill('SIGKILL');
    await once(running, 'exit');
  }

  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true });
  }
}
