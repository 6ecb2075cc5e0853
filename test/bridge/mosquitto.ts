// A real Mosquitto for the tests: found, started on a port of its own, killed with -9 and started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../../launch/doctor/computer.js';

const binary = findProgram('mosquitto');

/** For a test's options: skips it, saying why, where Mosquitto is not installed. */
export const needsMosquitto = {
  skip: binary ? false : 'Mosquitto is not installed (Debian: apt install mosquitto)',
};

export class Mosquitto {
  readonly url: string;
  readonly #port: number;
  readonly folder = mkdtempSync(join(tmpdir(), 'farsight-mosquitto-'));
  #process: ChildProcess | undefined;

  /** `configure` gives the rest of its configuration, which may name files in `folder`; anyone may enter without. */
  constructor(port: number, configure = (_folder: string) => 'allow_anonymous true', protocol = 'mqtt') {
    this.#port = port;
    this.url = `${protocol}://127.0.0.1:${port}`;
    // Started by root it would become a user that cannot read the folder.
    const lines = [`listener ${port} 127.0.0.1`, configure(this.folder), 'user root'];
    writeFileSync(join(this.folder, 'mosquitto.conf'), `${lines.join('\n')}\n`);
  }

  async start(): Promise<void> {
    this.#process = spawn(binary!, ['-c', join(this.folder, 'mosquitto.conf')], { stdio: 'ignore' });
    while (!(await accepts(this.#port))) {
      if (this.#process.exitCode !== null) throw new Error('mosquitto did not start');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
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
    rmSync(this.folder, { recursive: true });
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
